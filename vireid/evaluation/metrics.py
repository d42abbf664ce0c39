"""Retrieval metrics of ranked lists, as pure functions; fractions in [0, 1].

A list is told by the ranks of its candidates for a true match, ascending and from 1, and by which
of them are in it: ``ranks`` and ``found`` are (..., M), integers and booleans. Where nothing is
found the result is 0: what to do with such a query is for the protocol to decide.
"""

from __future__ import annotations

import numpy as np


def average_precision(ranks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(...) mean precision at the true matches.

    >>> average_precision(np.array([1, 3]), np.array([True, True]))
    array(0.83333333)
    """
    seen = np.cumsum(found, axis=-1)
    precision = np.where(found, seen / np.maximum(ranks, 1), 0)
    return np.asarray(precision.sum(axis=-1) / np.maximum(seen[..., -1], 1))


def inverse_negative_penalty(ranks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(...) number of true matches over the rank of the last one (its mean is mINP).

    Source: Ye et al., Deep Learning for Person Re-identification (AGW), TPAMI 2021, eq. 16.

    >>> inverse_negative_penalty(np.array([1, 3, 4]), np.array([True, True, False]))
    array(0.66666667)
    """
    last = np.where(found, ranks, 0).max(axis=-1)
    return np.asarray(found.sum(axis=-1) / np.maximum(last, 1))


def first_rank(ranks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(...) rank of the first true match.

    >>> first_rank(np.array([1, 3, 4]), np.array([False, True, True]))
    array(3)
    """
    first = np.take_along_axis(ranks, found.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(found.any(axis=-1), first, 0))


def cmc_curve(ranks: np.ndarray, length: int) -> np.ndarray:
    """(length,) share of queries whose first match stands at rank 1, ≤ 2, … ≤ length.

    >>> cmc_curve(np.array([1, 3, 3, 9]), 4)
    array([0.25, 0.25, 0.75, 0.75])
    """
    counts = np.bincount(np.minimum(ranks, length + 1), minlength=length + 2)
    return np.cumsum(counts[1 : length + 1]) / len(ranks)
