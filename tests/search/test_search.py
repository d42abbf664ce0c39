"""Search against a plain loop over all rows."""

from dataclasses import replace

import numpy as np
import pytest

from tests.search.double import DIM, make_rows, new_gallery, unit
from vireid.errors import CheckpointError, UsageError
from vireid.evaluation.reranking.k_reciprocal import reranked_distances
from vireid.search import Gallery, Query, SearchOptions, index, query, search
from vireid.search.query import default_method, fused

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


@pytest.fixture(scope="module")
def indexed(gallery, tmp_path_factory) -> Gallery:
    """The same rows with an index that looks into all its lists."""
    made = new_gallery(tmp_path_factory.mktemp("indexed") / "g")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LEAST", 10), ("MEASURED", 5), ("PROBES", (8,)), ("REFINES", (50,))):
            patch.setattr(index, name, value)
        made.add(gallery.rows(gallery.schema.names))
        index.build_index(made)
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


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_filters_and_cameras_leave_out_what_a_loop_leaves_out(gallery, method, request):
    gallery = request.getfixturevalue("indexed") if method == "approximate" else gallery
    rows, cameras = everything(gallery), [("1",), ("2", "3"), ("0",), ("it's",), ("9",)]
    asked = [replace(one, cameras=own) for one, own in zip(queries(5), cameras, strict=True)]
    options = SearchOptions(where="pid <> 'p3' OR pid IS NULL", exclude_same_camera=True)
    wanted = [
        expected(
            rows, one.vector, 10, lambda r, own=own: r["pid"] != "p3" and r["camid"] not in own
        )
        for one, own in zip(asked, cameras, strict=True)
    ]
    results = search(gallery, asked, options, method=method)
    assert results.method == method and found(results) == wanted
    assert any(one.camid is None for matches in results.matches for one in matches)


def test_a_query_in_the_gallery_does_not_find_itself_unless_asked(gallery):
    rows = everything(gallery)
    asked = [Query(np.float32(row["vector"]), ids=(row["id"],)) for row in rows[:6]]
    for k, ids in enumerate(found(search(gallery, asked, SearchOptions(top=COUNT)))):
        assert ids == expected(rows, asked[k].vector, COUNT, lambda r, k=k: r is not rows[k])
    matches = search(gallery, asked, SearchOptions(top=1, include_self=True)).matches
    assert [one.id for (one,) in matches] == [row["id"] for row in rows[:6]]
    assert [one.score for (one,) in matches] == pytest.approx([1] * 6, abs=1e-6)
    # the camera of a query that is in the gallery is known
    options = SearchOptions(top=COUNT, exclude_same_camera=True)
    (one,) = search(gallery, asked[1:2], options).matches
    assert rows[1]["camid"] == "1" and "1" not in {match.camid for match in one}
    with pytest.raises(UsageError, match="the camera of a query is not known"):
        search(gallery, asked[4:5], options)  # its row has none


def test_by_identity_each_comes_once_and_images_without_one_each_alone(gallery):
    rows = everything(gallery)
    for one, top in zip(queries(4), (3, 5, 12, 40), strict=True):
        best: dict[object, str] = {}
        for name in expected(rows, one.vector, COUNT):
            pid = next(row["pid"] for row in rows if row["id"] == name)
            best.setdefault(pid or name, name)
        results = search(gallery, [one], SearchOptions(top=top, by="identity"))
        assert found(results) == [list(best.values())[:top]]


def test_scores_below_the_least_are_left_out(gallery):
    (one,) = queries(1)
    (matches,) = search(gallery, [one], SearchOptions(top=COUNT)).matches
    least = matches[7].score
    (kept,) = search(gallery, [one], SearchOptions(top=COUNT, min_score=least)).matches
    assert kept == matches[:8]
    assert search(gallery, [one], SearchOptions(min_score=1.0)).matches == [[]]
    assert search(gallery, [one], SearchOptions(where="pid = 'unknown'")).matches == [[]]


def test_fused_images_are_one_query_of_their_mean():
    first, second = queries(2, ids=("a",), cameras=("1",))
    both = fused([first, replace(second, ids=("b",), cameras=("1", "2"))])
    mean = (first.vector.astype(float) + second.vector) / 2
    np.testing.assert_allclose(both.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert (both.ids, both.cameras) == (("a", "b"), ("1", "2"))
    with pytest.raises(UsageError, match="the mean of these images' features is zero"):
        fused([first, Query(-first.vector)])


def test_reranking_orders_the_first_hundred_as_the_evaluation_does(gallery):
    (one,) = queries(1)
    plain = found(search(gallery, [one], SearchOptions(top=COUNT)))[0]
    (matches,) = search(gallery, [one], SearchOptions(top=COUNT, rerank=True)).matches
    vectors = {row["id"]: row["vector"] for row in everything(gallery)}
    features = np.array([vectors[name] for name in plain], np.float32)
    distances = reranked_distances(one.vector[None], features)[0]
    assert [m.id for m in matches] == [plain[k] for k in np.argsort(distances, kind="stable")]
    np.testing.assert_allclose([m.distance for m in matches], np.sort(distances))
    assert sorted(plain) == sorted(m.id for m in matches) and plain != [m.id for m in matches]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_galleries_of_few_images(tmp_path, count):
    small = new_gallery(tmp_path / "g")
    vectors = unit(np.random.default_rng(2).normal(size=(3, DIM)))
    if count:
        small.add(make_rows(vectors[:count]))
    for options in (SearchOptions(), SearchOptions(rerank=True), SearchOptions(by="identity")):
        (ids,) = found(search(small, [Query(vectors[0])], options))
        assert len(ids) == count and ids[:1] == ["i0000"][:count]


def test_equal_scores_come_in_the_order_of_their_rows(tmp_path):
    gallery = new_gallery(tmp_path / "g")
    vectors = np.tile(queries(1)[0].vector, (9, 1))
    vectors[4] = -vectors[4]
    gallery.add(make_rows(vectors))
    (ids,) = found(search(gallery, queries(1), SearchOptions(top=20)))
    assert ids == [f"i000{k}" for k in (0, 1, 2, 3, 5, 6, 7, 8, 4)]


def test_rows_of_many_blocks_are_compared(gallery, monkeypatch):
    monkeypatch.setattr("vireid.search.exact.ROWS", 7)
    asked, rows = queries(3), everything(gallery)
    for top in (3, 25):
        results = search(gallery, asked, SearchOptions(top=top))
        assert found(results) == [expected(rows, one.vector, top) for one in asked]


@pytest.mark.parametrize(
    ("vector", "phrase"),
    [
        (np.ones(DIM + 1), "are of another model"),
        (np.ones((1, DIM)), "are of another model"),
        (np.full(DIM, np.nan), "are not finite numbers"),
        (np.full(DIM, np.inf), "are not finite numbers"),
    ],
)
def test_features_that_cannot_be_searched_are_refused(gallery, vector, phrase):
    with pytest.raises(CheckpointError, match=phrase):
        search(gallery, [Query(vector)])


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"top": 0}, "--top must be at least 1"),
        ({"by": "camera"}, "--by 'camera' is unknown"),
        ({"min_score": 1.5}, "--min-score is a cosine from -1 to 1"),
        ({"min_score": float("nan")}, "--min-score is a cosine"),
        ({"exclude_same_camera": True}, "the camera of a query is not known"),
    ],
)
def test_options_that_make_no_sense_are_refused(gallery, options, phrase):
    with pytest.raises(UsageError, match=phrase):
        search(gallery, queries(1), SearchOptions(**options))


def test_the_automatic_choice_counts_what_the_filter_leaves(gallery, indexed, monkeypatch):
    monkeypatch.setattr(query, "EXACT_BELOW", 50)
    assert default_method(gallery) == "approximate"
    assert default_method(gallery, "camid = 1") == "exact"
    assert search(gallery, queries(1)).method == "exact"  # it has no index
    assert search(indexed, queries(1)).method == "approximate"
    with pytest.raises(UsageError, match=r"has no index .* make it with search\.py index"):
        search(gallery, queries(1), method="approximate")
