"""Retrieval metrics of ranked lists, as pure functions; fractions in [0, 1].

``hits`` is (Q, G) bool throughout: row q tells which entries of query q's ranked list are true
matches. Gallery entries that a protocol ignores for a query stand at the end of its row and are
never hits, so a column's number is its rank. Every row must hold a hit: what to do with a query
without one is for the protocol to decide.
"""

from __future__ import annotations

import numpy as np


def average_precision(hits: np.ndarray) -> np.ndarray:
    """(Q,) mean precision at the true matches.

    >>> average_precision(np.array([[True, False, True, False]]))
    array([0.83333333])
    """
    _require_hits(hits)
    found = np.cumsum(hits, axis=1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / found[:, -1]


def inverse_negative_penalty(hits: np.ndarray) -> np.ndarray:
    """(Q,) number of true matches over the rank of the last one (its mean is mINP).

    Source: Ye et al., Deep Learning for Person Re-identification (AGW), TPAMI 2021, eq. 16.

    >>> inverse_negative_penalty(np.array([[True, False, True, False]]))
    array([0.66666667])
    """
    _require_hits(hits)
    last_rank = hits.shape[1] - hits[:, ::-1].argmax(axis=1)
    return hits.sum(axis=1) / last_rank


def image_rank(hits: np.ndarray) -> np.ndarray:
    """(Q,) rank of the first true match, counting images, from 1.

    >>> image_rank(np.array([[False, False, True]]))
    array([3])
    """
    _require_hits(hits)
    return hits.argmax(axis=1) + 1


def identity_rank(hits: np.ndarray, ranked_ids: np.ndarray) -> np.ndarray:
    """(Q,) rank of the first true match, counting each identity once, from 1.

    Args:
        hits: as above.
        ranked_ids: (Q, G) identity of each entry of the ranked lists.

    >>> identity_rank(np.array([[False, False, True]]), np.array([[7, 7, 5]]))
    array([2])
    """
    first = image_rank(hits) - 1
    ranks = np.empty(len(hits), dtype=np.int64)
    for row, column in enumerate(first):
        ranks[row] = len(np.unique(ranked_ids[row, :column])) + 1
    return ranks


def cmc_curve(ranks: np.ndarray, length: int) -> np.ndarray:
    """(length,) share of queries whose first match stands at rank 1, ≤ 2, … ≤ length.

    >>> cmc_curve(np.array([1, 3, 3, 9]), 4)
    array([0.25, 0.25, 0.75, 0.75])
    """
    counts = np.bincount(np.minimum(ranks, length + 1), minlength=length + 2)
    return np.cumsum(counts[1 : length + 1]) / len(ranks)


def _require_hits(hits: np.ndarray) -> None:
    if not hits.any(axis=1).all():
        raise ValueError("every ranked list must hold a true match")
