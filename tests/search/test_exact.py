import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.search.double import unit
from vireid.search import exact, prefilter
from vireid.search.codes import ERROR, LENGTH, SCALE, Queries, encode
from vireid.search.exact import search_exact


def rows_of(vectors: np.ndarray, removed: np.ndarray | None = None) -> SimpleNamespace:
    codes, bounds = encode(vectors)
    removed = np.zeros(len(vectors), dtype=bool) if removed is None else removed
    return SimpleNamespace(vectors=vectors, codes=codes, bounds=bounds, removed=removed)


def plain_loop(rows: SimpleNamespace, queries: np.ndarray, top: int) -> tuple[list, list]:
    """Each query with each row, sums rounded once; ties by row."""
    found, scores = [], []
    for query in queries.astype(np.float64):
        pairs = [
            (-math.fsum(query * vector.astype(np.float64)), row)
            for row, vector in enumerate(rows.vectors)
            if not rows.removed[row]
        ]
        best = sorted(pairs)[:top]
        found.append([row for _, row in best])
        scores.append([-score for score, _ in best])
    return found, scores


def random(count: int, dim: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


CASES = {
    "random": random(700, 24),
    "few values, many ties": np.rint(random(700, 4) * 2).astype(np.float32) / 2,
    "all the same": np.repeat(random(1, 24), 300, axis=0),
    "two directions": np.repeat(random(2, 24), 200, axis=0),
    "almost the same": unit(random(1, 24) + 1e-7 * random(400, 24, 1)),
    "around a mean": unit(random(1, 24) * 5 + random(500, 24, 1)),
    "one outlier": np.concatenate([random(300, 24), np.eye(24, dtype=np.float32)[:1]]),
    "ascending": unit(np.linspace(0, 1, 500)[:, None] * random(1, 24, 9) + 0.3 * random(1, 24)),
    "halves": random(400, 24).astype(np.float16),
    "one row": random(1, 24),
}


@pytest.mark.parametrize("by", ["codes", "vectors", None])
@pytest.mark.parametrize("case", CASES)
def test_found_is_what_a_plain_loop_finds(case, by):
    vectors = CASES[case]
    rng = np.random.default_rng(3)
    queries = np.concatenate([random(3, vectors.shape[1], 9), vectors[:2].astype(np.float32)])
    for removed in (None, rng.random(len(vectors)) < 0.4):
        rows = rows_of(vectors, removed)
        for top, block in ((7, 64), (1, 10_000), (150, 128)):
            wanted, scores = plain_loop(rows, queries, top)
            found = search_exact(rows, queries, top, by=by, block=block, threads=1)
            assert found.rows.tolist() == wanted
            if wanted[0]:
                np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-14)


def test_more_than_there_are_and_none_at_all():
    rows = rows_of(random(5, 8), np.array([False, True, False, False, True]))
    assert search_exact(rows, random(2, 8, 4), 60).rows.shape == (2, 3)
    rows.removed[:] = True
    assert search_exact(rows, random(2, 8, 4), 3).rows.shape == (2, 0)
    assert search_exact(rows_of(random(5, 8)), np.empty((0, 8), np.float32), 3).rows.shape == (0, 3)


def test_many_candidates_are_compared_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(prefilter, "HELD", 100)
    monkeypatch.setattr(prefilter, "CROWDED", 1.0)  # nothing is left to a finer product
    rows, queries = rows_of(CASES["all the same"]), random(4, 24, 5)
    found = search_exact(rows, queries, 6, by="codes", block=32)
    assert found.rows.tolist() == [[0, 1, 2, 3, 4, 5]] * 4


def test_batches_blocks_and_threads_change_no_bit(monkeypatch):
    rows, queries = rows_of(CASES["around a mean"]), random(40, 24, 7)
    one = search_exact(rows, queries, 9, by="codes", threads=1)
    monkeypatch.setattr(exact, "BATCH", 7)
    two = search_exact(rows, queries, 9, by="vectors", block=33, threads=2)
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.scores, two.scores)


@pytest.mark.parametrize("case", CASES)
def test_no_product_is_farther_off_than_its_bound(case):
    vectors = CASES[case]
    rows, queries = rows_of(vectors), Queries.of(random(6, vectors.shape[1], 2))
    true = queries.double @ vectors.astype(np.float64).T
    scale = queries.bounds[:, SCALE, None].astype(np.float64) * rows.bounds[:, SCALE]
    coded = (queries.codes.astype(np.int64) @ rows.codes.astype(np.int64).T) * scale
    off = np.abs(coded - true).max(axis=1)
    bound = queries.code_error(rows.bounds)
    assert (off <= bound).all() and (bound < 0.1).all()
    single = queries.single @ vectors.astype(np.float32).T
    assert (np.abs(single - true).max(axis=1) <= queries.single_error(rows.bounds)).all()


def test_codes_of_hand():
    codes, bounds = encode(np.array([[127.0, -63.6, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32))
    assert codes.tolist() == [[127, -64, 0], [0, 0, 0]]
    assert bounds[:, SCALE].tolist() == [1.0, 1.0]
    assert bounds[0, ERROR] == pytest.approx(0.4, abs=1e-5) and bounds[0, ERROR] >= 0.4 - 2e-6
    assert bounds[0, LENGTH] == pytest.approx(math.hypot(127, 64), rel=1e-6)
    assert bounds[1, ERROR] < 1e-40 and bounds[1, LENGTH] < 1e-40


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_bounded_while_the_rows_pass_by(tmp_path):
    count, dim = 300_000, 256  # 307 MB of vectors, 240 MB of float32 products with 200 queries
    rng = np.random.default_rng(0)
    vectors = np.lib.format.open_memmap(tmp_path / "v.npy", "w+", np.float32, (count, dim))
    codes = np.lib.format.open_memmap(tmp_path / "c.npy", "w+", np.int8, (count, dim))
    bounds = np.empty((count, 3), dtype=np.float32)
    for start in range(0, count, 10_000):
        part = slice(start, start + 10_000)
        vectors[part] = unit(rng.standard_normal((10_000, dim), dtype=np.float32))
        codes[part], bounds[part] = encode(vectors[part])
    mapped = [np.load(tmp_path / name, mmap_mode="c") for name in ("v.npy", "c.npy")]
    removed = np.zeros(count, dtype=bool)
    rows = SimpleNamespace(vectors=mapped[0], codes=mapped[1], bounds=bounds, removed=removed)
    del vectors, codes
    queries = unit(rng.standard_normal((200, dim), dtype=np.float32))
    search_exact(rows, queries[:2], 10)  # what the libraries themselves take
    before, stop, most = anonymous(), threading.Event(), [0]

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], anonymous())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = search_exact(rows, queries, 10)
    stop.set()
    watcher.join()
    assert most[0] - before < 120 * 2**20
    products = queries[:5] @ mapped[0].T
    assert found.rows[:5].tolist() == np.argsort(-products, axis=1)[:, :10].tolist()


def anonymous() -> int:
    (line,) = [s for s in Path("/proc/self/status").read_text().split("\n") if "RssAnon" in s]
    return int(line.split()[1]) * 1024
