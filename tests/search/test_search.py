"""Search against a plain loop over all rows."""

import numpy as np
import pytest

from tests.search.double import DIM, make_rows, new_gallery, unit
from vireid.search import Gallery, Query, SearchOptions, search

COUNT = 60


@pytest.fixture(scope="module")
def gallery(tmp_path_factory) -> Gallery:
    """60 rows of 12 identities and four cameras; some of neither."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(COUNT, DIM)))
    made = new_gallery(tmp_path_factory.mktemp("searched") / "g")
    pids = [None if k % 7 == 3 else f"p{k % 12}" for k in range(COUNT)]
    camids = [None if k % 5 == 4 else str(k % 4) for k in range(COUNT)]
    made.add(make_rows(vectors, pid=pids, camid=camids))
    return made


def everything(gallery: Gallery) -> list[dict]:
    return gallery.rows(["id", "pid", "camid", "vector"]).to_pylist()


def expected(rows: list[dict], vector: np.ndarray, top: int, allowed=lambda row: True) -> list[str]:
    """Ids of the most similar rows."""
    scores = [(float(np.dot(np.float64(row["vector"]), vector)), row) for row in rows]
    ranked = sorted((-score, k) for k, (score, row) in enumerate(scores) if allowed(row))
    return [rows[k]["id"] for _, k in ranked[:top]]


def queries(count: int, **known) -> list[Query]:
    vectors = unit(np.random.default_rng(1).normal(size=(count, DIM)))
    return [Query(vector, **known) for vector in vectors]


def found(results) -> list[list[str]]:
    return [[one.id for one in matches] for matches in results.matches]


@pytest.mark.parametrize("top", [1, 7, COUNT, 500])
def test_exact_search_finds_what_a_loop_finds(gallery, top):
    asked, rows = queries(5), everything(gallery)
    results = search(gallery, asked, SearchOptions(top=top))
    assert results.method == "exact"
    assert found(results) == [expected(rows, one.vector, top) for one in asked]
