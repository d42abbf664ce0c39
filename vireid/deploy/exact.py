"""The nearest rows of a matrix on disk, exactly, in bounded memory.

The rows pass by in blocks, once for some hundred queries. A cheap product tells of each row how
near it may be at most and at least; whoever may be among a query's k nearest is kept. In the end
(and whenever too many are kept) these few are compared by float64 products of their vectors. So the
result is that of comparing everything in float64; rows that are equally near stand in their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from vireid.deploy.codes import SCALE, Queries

BLOCK = 8192  # rows read at once
BATCH = 256  # queries at a time
ENTRIES = 2**22  # of all results at a time
CROWDED = 1 / 64  # a larger part of a block that may be near is looked at by a finer product
PENDING = 2**13  # candidates that wait before the far ones among them are dropped
HELD = 2**22  # candidates at most before they are compared exactly
TIMED = 1024  # rows that tell which product is faster here
CHUNK = 2048  # pairs compared at once by a thread

Product = Callable[[Queries, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Rows(Protocol):
    """What is searched: see :class:`gallery_files.GalleryFiles`."""

    vectors: np.ndarray
    codes: np.ndarray
    bounds: np.ndarray
    removed: np.ndarray


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest rows of each query.

    Args:
        rows: (Q, k) int64, nearest first; equally near ones ascend.
        scores: (Q, k) float64 products, which are cosines of unit vectors.
    """

    rows: np.ndarray
    scores: np.ndarray


def search_exact(
    rows: Rows,
    queries: np.ndarray,
    top: int,
    *,
    threads: int | None = None,
    by: str | None = None,
    block: int = BLOCK,
) -> Found:
    """The ``top`` rows with the largest products, or all that are not removed where there are less.

    Args:
        queries: (Q, D) finite floats.
        threads: of the processor; None for torch's own number.
        by: ``codes`` or ``vectors``: which product sifts the rows. None: the faster one on this
            processor. The result is the same.
        block: rows read at once.
    """
    left = len(rows.removed) - int(np.count_nonzero(rows.removed))
    top = min(top, left)
    found = Found(np.empty((len(queries), top), np.int64), np.empty((len(queries), top)))
    if not top or not len(queries):
        return found
    size = max(1, min(BATCH, ENTRIES // top))
    with use_threads(threads), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        products = _products(rows, Queries.of(queries[:size]), by, block)
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            search = _Search(rows, Queries.of(queries[part]), top, pool)
            found.rows[part], found.scores[part] = search.run(products, block)
    return found


def rank_exactly(
    vectors: np.ndarray, queries: Queries, asking: np.ndarray, rows: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of (M,) pairs of a query and a row, each query's ``top`` best.

    Returns:
        query, row and float64 product of each pair that stays, by query, then nearest first.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return _rank(vectors, queries, asking, rows, top, pool)


def _rank(
    vectors: np.ndarray,
    queries: Queries,
    asking: np.ndarray,
    rows: np.ndarray,
    top: int,
    pool: ThreadPoolExecutor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(rows)  # as they stand on the disk
    scores = np.empty(len(rows))

    def fill(start: int) -> None:
        chosen = order[start : start + CHUNK]
        scores[chosen] = _dot(vectors[rows[chosen]], queries.double[asking[chosen]])

    list(pool.map(fill, range(0, len(rows), CHUNK)))
    order = np.lexsort((rows, -scores, asking))
    asking, rows, scores = asking[order], rows[order], scores[order]
    kept = _place(asking) < top
    return asking[kept], rows[kept], scores[kept]


def _dot(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(n,) float64. Not a matrix product: a row's sum must not depend on its place."""
    return np.einsum("nd,nd->n", vectors.astype(np.float64), queries)


def _groups(numbers: np.ndarray) -> list[slice]:
    """Where equal numbers stand, of numbers that ascend."""
    ends = np.append(np.flatnonzero(np.diff(numbers)) + 1, len(numbers)).tolist()
    return [slice(*ends_) for ends_ in zip([0, *ends], ends, strict=False)]


def _place(groups: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its group, from 0; groups ascend."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    lengths = np.diff(starts, append=len(groups))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


class _Search:
    """One pass over the rows for some queries.

    Attributes:
        floor: (Q,) what the k-th best so far reaches at least; rows below are of no interest.
    """

    def __init__(self, rows: Rows, queries: Queries, top: int, pool: ThreadPoolExecutor) -> None:
        self.rows, self.queries, self.top, self.pool = rows, queries, top, pool
        self.floor = np.full(len(queries.single), -np.inf)
        # query, row, at most, at least
        self.kept: list[np.ndarray] = [np.empty(0, t) for t in (np.int64, np.int64, float, float)]
        self.pending: list[list[np.ndarray]] = []

    def run(self, products: Sequence[Product], block: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q, k) rows and float64 products."""
        for start in range(0, len(self.rows.removed), block):
            stop = min(start + block, len(self.rows.removed))
            if not any(self._sift(product, start, stop) for product in products):
                self._compare(start, stop)
            if sum(len(part[0]) for part in self.pending) > PENDING:
                self._drop()
                if len(self.kept[0]) > HELD:
                    self._settle()
        self._drop()
        self._settle()
        _, rows, scores, _ = self.kept
        return rows.reshape(-1, self.top), scores.reshape(-1, self.top)

    def _sift(self, product: Product, start: int, stop: int) -> bool:
        """Keeps what a product cannot exclude; False, and nothing kept, if that is too much."""
        values, unit, error = product(self.queries, start, stop)
        removed = self.rows.removed[start:stop]
        if removed.any():
            values[:, removed] = -np.inf
        cut = (self.floor - error) / unit
        hits = _at_least(values, cut)
        crowd = max(CROWDED * values.size, 2 * self.top * len(values))
        if len(hits) > crowd and values.shape[1] > self.top:  # the first block, and where many
            place = values.shape[1] - self.top  # are nearer than all before
            reached = np.partition(values, place, axis=1)[:, place] * unit - error
            self.floor = np.maximum(self.floor, reached)
            hits = _at_least(values, (self.floor - error) / unit)
        if len(hits) > crowd:
            return False
        query, column = np.divmod(hits, values.shape[1])
        alive = ~removed[column]
        query, column = query[alive], column[alive]
        middle = values[query, column] * unit[query]
        self.pending.append([query, column + start, middle + error[query], middle - error[query]])
        return True

    def _compare(self, start: int, stop: int) -> None:
        """Compares each row of a block in float64: the slow way, where all are about as near."""
        alive = np.flatnonzero(~self.rows.removed[start:stop])
        block = self.rows.vectors[start:stop][alive].astype(np.float64)

        def best(query: int) -> list[np.ndarray]:
            scores = _dot(block, np.broadcast_to(self.queries.double[query], block.shape))
            order = np.argsort(-scores, kind="stable")[: self.top]
            scores, asking = scores[order], np.full(len(order), query)
            return [asking, alive[order] + start, scores, scores]

        self.pending += self.pool.map(best, range(len(self.floor)))

    def _drop(self) -> None:
        """Raises the floors by what is pending, and drops what lies beneath."""
        every = [self.kept, *self.pending]
        query, row, most, least = (np.concatenate(column) for column in zip(*every, strict=True))
        self.pending = []
        order = np.lexsort((-least, query))
        kth = order[_place(query[order]) == self.top - 1]
        self.floor[query[kth]] = np.maximum(self.floor[query[kth]], least[kth])
        near = most >= self.floor[query]
        self.kept = [query[near], row[near], most[near], least[near]]

    def _settle(self) -> None:
        """Compares what is kept in float64, after float32 products excluded most of it."""
        self._refine()
        query, row, _, _ = self.kept
        query, row, score = _rank(self.rows.vectors, self.queries, query, row, self.top, self.pool)
        self.kept = [query, row, score, score]

    def _refine(self) -> None:
        query, row, _, _ = self.kept
        order = np.lexsort((row, query))
        query, row = query[order], row[order]
        vectors, bounds = self.rows.vectors, self.rows.bounds
        values, error = np.empty(len(row)), np.empty(len(row))

        def fill(part: slice) -> None:
            one = query[part.start]
            chosen = vectors[row[part]].astype(np.float32, copy=False)
            values[part] = chosen @ self.queries.single[one]
            error[part] = self.queries.single_error(bounds[row[part]])[one]

        list(self.pool.map(fill, _groups(query)))
        self.kept = [query, row, values + error, values - error]
        self._drop()


def _at_least(values: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Flat positions of the (Q, n) values that reach their query's (Q,) cut."""
    lower = np.nextafter(cut.astype(np.float32), np.float32(-np.inf))
    return np.flatnonzero(values >= lower[:, None])


def _products(rows: Rows, queries: Queries, by: str | None, block: int) -> list[Product]:
    """What sifts the rows: the cheapest first, finer ones where it excludes too little."""
    codes, vectors = _by_codes(rows), _by_vectors(rows)
    if by is None:
        stop = min(block, TIMED, len(rows.removed))
        by = "codes" if _seconds(codes, queries, stop) < _seconds(vectors, queries, stop) else ""
    return [codes, vectors] if by == "codes" else [vectors]


def _seconds(product: Product, queries: Queries, stop: int) -> float:
    times = []
    for _ in range(2):  # the first call prepares things
        start = time.perf_counter()
        product(queries, 0, stop)
        times.append(time.perf_counter() - start)
    return times[-1]


def _by_codes(rows: Rows) -> Product:
    def product(queries: Queries, start: int, stop: int) -> tuple[np.ndarray, ...]:
        asking = torch.from_numpy(queries.codes)
        found = torch._int_mm(asking, torch.from_numpy(rows.codes[start:stop]).T)
        bounds = rows.bounds[start:stop]
        values = found.float().mul_(torch.from_numpy(np.ascontiguousarray(bounds[:, SCALE])))
        unit = queries.bounds[:, SCALE].astype(np.float64)
        return values.numpy(), unit, queries.code_error(bounds)

    return product


def _by_vectors(rows: Rows) -> Product:
    def product(queries: Queries, start: int, stop: int) -> tuple[np.ndarray, ...]:
        block = torch.from_numpy(rows.vectors[start:stop]).float()
        values = (torch.from_numpy(queries.single) @ block.T).numpy()
        return values, np.ones(len(values)), queries.single_error(rows.bounds[start:stop])

    return product


@contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Threads of torch's operations on the processor while the block runs; None leaves them."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
