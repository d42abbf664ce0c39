"""How far apart two sets of features are, in float64 whatever their type.

In float32 the order of near ties depends on how many rows are multiplied at once, and the scores
of single trials miss the official evaluation's; features with a large common offset lose more.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vireid.utils import threads

BLOCK = 512  # rows that a thread normalises at once
MOST_THREADS = 8
Rows = Callable[[np.ndarray], np.ndarray]  # (n,) query rows → (n, G) distances


def processors() -> int:
    """Threads worth starting: what this process may use, up to a bound on the memory they take."""
    return min(threads.processors(), MOST_THREADS)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """(N, D) float64 with rows of length 1; a row of zeros stays one."""
    units = np.empty(features.shape)

    def fill(start: int) -> None:
        rows = units[start : start + BLOCK]
        rows[:] = features[start : start + BLOCK]
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]  # no second copy
        rows /= np.where(norms > 0, norms, 1)

    starts = range(0, len(features), BLOCK)
    if len(starts) <= 1:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(processors()) as pool:
            list(pool.map(fill, starts))
    return units


def cosine_distance(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q, D), (G, D) → (Q, G) negated cosine similarity, in [-1, 1]."""
    return _cosine_rows(queries, gallery)(np.arange(len(queries)))


def euclidean_distance(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q, D), (G, D) → (Q, G) Euclidean distances of the features as they are."""
    return _euclidean_rows(queries, gallery)(np.arange(len(queries)))


def distance_rows(metric: str, queries: np.ndarray, gallery: np.ndarray) -> Rows:
    """Distances of (Q, D) queries to a (G, D) gallery, some queries at a time.

    Gallery rows that are equal have equal distances: a matrix product alone may round the columns
    at its edges in another way, and the order of ties would be an accident.
    """
    first, copies = _distinct(gallery)
    rows = _METRICS[metric](queries, gallery[first] if len(first) < len(gallery) else gallery)
    return rows if len(first) == len(gallery) else lambda which: rows(which)[:, copies]


def _cosine_rows(queries: np.ndarray, gallery: np.ndarray) -> Rows:
    columns = unit_rows(gallery).T
    np.negative(columns, out=columns)
    return lambda which: unit_rows(queries[which]) @ columns


def _euclidean_rows(queries: np.ndarray, gallery: np.ndarray) -> Rows:
    gallery = np.asarray(gallery, dtype=np.float64)
    gallery_squares = np.square(gallery).sum(axis=1)

    def distances(which: np.ndarray) -> np.ndarray:
        chosen = np.asarray(queries[which], dtype=np.float64)
        squared = chosen @ gallery.T
        squared *= -2
        squared += np.square(chosen).sum(axis=1)[:, None] + gallery_squares
        return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)

    return distances


def _distinct(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that no earlier row equals, and for each row which of them it equals."""
    # Equal rows have an equal beginning: almost always that alone tells all of them apart.
    _, group = np.unique(features[:, :4], axis=0, return_inverse=True)
    group = group.reshape(-1)  # numpy 2.0 gave it two dimensions
    first: list[int] = []
    copies = np.empty(len(features), dtype=np.int64)
    members: dict[tuple[int, bytes], int] = {}
    alone = np.bincount(group)[group] == 1
    for row, beginning in enumerate(group.tolist()):
        key = (beginning, b"" if alone[row] else (features[row] + 0).tobytes())  # -0 equals 0
        if key not in members:
            members[key] = len(first)
            first.append(row)
        copies[row] = members[key]
    return np.array(first, dtype=np.int64), copies


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], Rows]] = {
    "cosine": _cosine_rows,
    "euclidean": _euclidean_rows,
}
METRICS = tuple(_METRICS)
