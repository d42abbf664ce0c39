"""The nearest rows of a matrix on disk, exactly, in bounded memory.

The rows pass by in blocks, once for some hundred queries. A cheap product tells of each row how
near it may be at most and at least; whoever may be among a query's k nearest is kept. In the end
(and whenever too many are kept) these few are compared by float64 products of their vectors. So the
result is that of comparing everything in float64; rows that are equally near stand in their order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from vireid.search.codes import SCALE, Queries
from vireid.search.prefilter import Product, Rows, Search

BLOCK = 4096  # rows read at once
BATCH = 256  # queries at a time
ENTRIES = 2**22  # of all results at a time
TIMED = 1024  # rows that tell which product is faster here


@dataclass(frozen=True, slots=True)
class SearchResults:
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
) -> SearchResults:
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
    found = SearchResults(np.empty((len(queries), top), np.int64), np.empty((len(queries), top)))
    if not top or not len(queries):
        return found
    size = max(1, min(BATCH, ENTRIES // top))
    with use_threads(threads) as number, ThreadPoolExecutor(number) as pool:
        products = _products(rows, Queries.of(queries[:size]), by)
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            search = Search(rows, Queries.of(queries[part]), top, products, number)
            found.rows[part], found.scores[part] = search.run(pool, block)
    return found


def _products(rows: Rows, queries: Queries, by: str | None) -> list[Product]:
    """What sifts the rows: the cheapest first, finer ones where it excludes too little."""
    codes, vectors = _by_codes(rows), _by_vectors(rows)
    if by is None:
        stop = min(TIMED, len(rows.removed))
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
    def product(
        queries: Queries, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        asking = torch.from_numpy(queries.codes)
        found = torch._int_mm(asking, torch.from_numpy(rows.codes[start:stop]).T)
        bounds = rows.bounds[start:stop]
        values = found.float().mul_(torch.from_numpy(np.ascontiguousarray(bounds[:, SCALE])))
        unit = queries.bounds[:, SCALE].astype(np.float64)
        return values.numpy(), unit, queries.code_error(bounds)

    return product


def _by_vectors(rows: Rows) -> Product:
    def product(
        queries: Queries, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        block = torch.from_numpy(rows.vectors[start:stop]).float()
        values = (torch.from_numpy(queries.single) @ block.T).numpy()
        return values, np.ones(len(values)), queries.single_error(rows.bounds[start:stop])

    return product


@contextmanager
def use_threads(number: int | None) -> Iterator[int]:
    """Threads of torch's operations on the processor while the block runs; None leaves them."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
