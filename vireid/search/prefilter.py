"""Sifting rows by cheap products whose error is bounded; what is left is compared in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch

from vireid.search.codes import Queries

CROWDED = 1 / 64  # a larger part of a block that may be near is looked at by a finer product
HELD = 2**20  # candidates of a thread before they are compared exactly
CHUNK = 2048  # pairs compared at once by a thread

# queries, first and last row → (Q, n) float32 values; (Q,) what they are to be multiplied by to be
# products; (Q,) how far off these may be
Product = Callable[[Queries, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Rows(Protocol):
    """What is searched: see ``gallery_files.GalleryFiles``."""

    vectors: np.ndarray
    codes: np.ndarray
    bounds: np.ndarray
    removed: np.ndarray


class Search:
    """One pass over the rows for some queries, by several threads.

    Args:
        products: that sift the rows, the cheapest first.
    """

    def __init__(
        self, rows: Rows, queries: Queries, top: int, products: Sequence[Product], threads: int
    ) -> None:
        self.rows, self.queries, self.top, self.products = rows, queries, top, products
        self.sifters = [_Prefilter(self) for _ in range(threads)]

    def run(self, pool: ThreadPoolExecutor, block: int) -> tuple[np.ndarray, np.ndarray]:
        """(Q, k) rows and float64 products."""
        starts = range(0, len(self.rows.removed), block)
        step = len(self.sifters)
        work = [(one, starts[k::step], block) for k, one in enumerate(self.sifters)]
        list(pool.map(lambda part: part[0].run(*part[1:]), work))
        left = [one.likely() for one in self.sifters]
        query, row = (np.concatenate([part[k] for part in left]) for k in (0, 1))
        _, rows, scores = _rank(self.rows.vectors, self.queries, query, row, self.top, pool)
        return rows.reshape(-1, self.top), scores.reshape(-1, self.top)

    def floor(self) -> np.ndarray:
        """(Q,) what the k-th best reaches at least; rows below are of no interest."""
        return np.maximum.reduce([one.floor for one in self.sifters])


class _Prefilter:
    """What one thread keeps of the blocks that it sees.

    Attributes:
        floor: (Q,) what the k-th best of them reaches at least.
    """

    def __init__(self, search: Search) -> None:
        self.search, self.queries = search, len(search.queries.single)
        self.floor = np.full(self.queries, -np.inf)
        self._best = np.full((self.queries, search.top), -np.inf)  # of what is reached at least
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # query, row, at most
        self._held = 0

    def run(self, starts: Iterable[int], block: int) -> None:
        torch.set_num_threads(1)  # of this thread
        for start in starts:
            stop = min(start + block, len(self.search.rows.removed))
            if not any(self._sift(product, start, stop) for product in self.search.products):
                self._compare(start, stop)
            if self._held > HELD:
                self._settle()

    def likely(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Query, row and what the product reaches at most, of all that is not excluded."""
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        query, row, most = (np.concatenate(c) for c in zip(empty, *self._kept, strict=True))
        near = most >= self.search.floor()[query]
        return query[near], row[near], most[near]

    def _sift(self, product: Product, start: int, stop: int) -> bool:
        """Keeps what a product cannot exclude; False, and nothing kept, if that is too much."""
        values, unit, error = product(self.search.queries, start, stop)
        removed, top = self.search.rows.removed[start:stop], self.search.top
        if removed.any():
            values[:, removed] = -np.inf
        hits = _at_least(values, (self.search.floor() - error) / unit)
        crowd = max(CROWDED * values.size, 2 * top * len(values))
        if len(hits[0]) > crowd and values.shape[1] > top:  # the first block, and where many
            place = values.shape[1] - top  # are nearer than all before
            reached = np.partition(values, place, axis=1)[:, place] * unit - error
            self.floor = np.maximum(self.floor, reached)
            hits = _at_least(values, (self.search.floor() - error) / unit)
        if len(hits[0]) > crowd:
            return False
        query, column = hits
        middle = values[query, column] * unit[query]
        alive = np.isfinite(middle)
        query, column, middle = query[alive], column[alive], middle[alive]
        self._keep(query, column + start, middle + error[query], middle - error[query])
        return True

    def _keep(
        self, query: np.ndarray, row: np.ndarray, most: np.ndarray, least: np.ndarray
    ) -> None:
        """Takes rows of ascending queries, each pair once, and raises the floor by them."""
        if not len(query):
            return
        self._kept.append((query, row, most))
        self._held += len(query)
        asking, which = np.unique(query, return_inverse=True)
        place = _place(query)
        wide = np.full((len(asking), self.search.top + int(place.max()) + 1), -np.inf)
        wide[:, : self.search.top] = self._best[asking]
        wide[which, self.search.top + place] = least
        first = wide.shape[1] - self.search.top
        best = np.partition(wide, first, axis=1)[:, first:]
        self._best[asking] = best
        floor = self.floor.copy()
        floor[asking] = np.maximum(floor[asking], best.min(axis=1))
        self.floor = floor  # whole at any moment: other threads look at it

    def _compare(self, start: int, stop: int) -> None:
        """Compares each row of a block in float64: the slow way, where all are about as near."""
        rows, top = self.search.rows, self.search.top
        alive = np.flatnonzero(~rows.removed[start:stop])
        block = rows.vectors[start:stop][alive].astype(np.float64)
        for query in range(self.queries):
            asking = np.broadcast_to(self.search.queries.double[query], block.shape)
            scores = _dot(block, asking)
            order = np.argsort(-scores, kind="stable")[:top]
            self._keep(
                np.full(len(order), query), alive[order] + start, scores[order], scores[order]
            )

    def _settle(self) -> None:
        """Of very many that are about as near, only the k best are kept."""
        query, row, most = self.likely()
        if len(query) > HELD / 2:
            search = self.search
            query, row, most = _rank(search.rows.vectors, search.queries, query, row, search.top)
            self._best[:] = -np.inf  # the same rows come in again
            self._kept, self._held = [], 0
            self._keep(query, row, most, most)
        else:
            self._kept, self._held = [(query, row, most)], len(query)


def _at_least(values: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the (Q, n) values that reach their row's (Q,) cut, by row."""
    lower = np.nextafter(cut.astype(np.float32), np.float32(-np.inf))
    some = np.flatnonzero(values.max(axis=1) >= lower)  # faster than looking at each value
    hits = np.flatnonzero(values[some] >= lower[some, None])
    row, column = np.divmod(hits, values.shape[1])
    return some[row], column


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
    pool: ThreadPoolExecutor | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(rows)  # as they stand on the disk
    scores = np.empty(len(rows))

    def fill(start: int) -> None:
        chosen = order[start : start + CHUNK]
        scores[chosen] = _dot(vectors[rows[chosen]], queries.double[asking[chosen]])

    list((pool.map if pool else map)(fill, range(0, len(rows), CHUNK)))
    order = np.lexsort((rows, -scores, asking))
    asking, rows, scores = asking[order], rows[order], scores[order]
    kept = _place(asking) < top
    return asking[kept], rows[kept], scores[kept]


def _dot(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(n,) float64. Not a matrix product: a row's sum must not depend on its place."""
    return np.einsum("nd,nd->n", vectors.astype(np.float64), queries)


def _place(groups: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its group, from 0; groups ascend."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    lengths = np.diff(starts, append=len(groups))
    return np.arange(len(groups)) - np.repeat(starts, lengths)
