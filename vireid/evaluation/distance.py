"""Distances between two sets of features, in float64 whatever type the features have.

In float32 the order of near ties depends on how many rows are multiplied at once, and the scores
of single trials miss the official evaluation's; features with a large common offset lose more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

SAME = 1e-5  # of 1 - cosine: below it, the differences of features are noise to any ranking
Rows = Callable[[np.ndarray], np.ndarray]  # (n,) query rows → (n, G) distances


def unit_rows(features: np.ndarray) -> np.ndarray:
    """(N, D) float64 with rows of length 1; a row of zeros stays one."""
    units = features.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", units, units))  # unlike linalg.norm, makes no copy
    units /= np.where(norms > 0, norms, 1)[:, None]
    return units


def collapse_problem(features: np.ndarray, same: float = SAME) -> str:
    """In which way all of (N, D) features are the same; empty where some differ, or N < 3.

    Args:
        same: largest 1 − cosine of features that count as the same.
    """
    if len(features) < 3:
        return ""
    if not np.any(features):
        return f"{len(features)} features of zeros"
    units = unit_rows(features)
    least = float(np.min(units @ units[0]))
    if not least > 1 - same:
        return ""
    found = "all 1" if least > 1 - 1e-7 else f"at least {least:.7f}"
    return f"the cosines of {len(features)} features with the first are {found}"


def distance_rows(metric: str, queries: np.ndarray, gallery: np.ndarray) -> Rows:
    """Distances of (Q, D) queries to a (G, D) gallery, some queries at a time.

    ``cosine`` is the negated cosine similarity, in [-1, 1]; ``euclidean`` takes features as they
    are.

    Equal gallery rows have equal distances. (A matrix product may round its last columns in
    another way than the others, so the product is of distinct rows.)
    """
    first, copies = distinct_rows(gallery)
    if len(first) == len(gallery):
        return _METRICS[metric](queries, gallery)
    distances = _METRICS[metric](queries, gallery[first])
    return lambda rows: distances(rows)[:, copies]


def _cosine_rows(queries: np.ndarray, gallery: np.ndarray) -> Rows:
    columns = unit_rows(gallery).T
    np.negative(columns, out=columns)
    return lambda rows: unit_rows(queries[rows]) @ columns


def _euclidean_rows(queries: np.ndarray, gallery: np.ndarray) -> Rows:
    gallery = np.asarray(gallery, dtype=np.float64)
    gallery_squares = np.square(gallery).sum(axis=1)

    def distances(rows: np.ndarray) -> np.ndarray:
        chosen = np.asarray(queries[rows], dtype=np.float64)
        squared = chosen @ gallery.T
        squared *= -2
        squared += np.square(chosen).sum(axis=1)[:, None] + gallery_squares
        return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)

    return distances


def distinct_rows(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that equal no earlier row, and for each row which of them it equals."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.sha256((row + 0).tobytes()).digest() for row in features)  # -0 becomes 0
    copies = np.array([seen.setdefault(digest, len(seen)) for digest in digests])
    return np.unique(copies, return_index=True)[1], copies


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], Rows]] = {
    "cosine": _cosine_rows,
    "euclidean": _euclidean_rows,
}
METRICS = tuple(_METRICS)
