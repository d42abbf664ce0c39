"""Retrieval metrics of ranked lists, as pure functions; fractions in [0, 1].

A ranked list is given by the ranks of its true matches: ``ranks`` is (..., M), whole numbers from
1, ascending, with at least one match. What a query without a match means is the protocol's matter.
"""

from __future__ import annotations

import numpy as np


def average_precision(ranks: np.ndarray) -> np.ndarray:
    """(...) mean precision at the true matches.

    >>> average_precision(np.array([1, 3]))
    array(0.83333333)
    """
    matches = ranks.shape[-1]
    return np.asarray((np.arange(1, matches + 1) / ranks).sum(axis=-1) / matches)


def inverse_negative_penalty(ranks: np.ndarray) -> np.ndarray:
    """(...) number of true matches over the rank of the last one (its mean is mINP).

    Source: Ye et al., Deep Learning for Person Re-identification (AGW), TPAMI 2021, eq. 16.

    >>> inverse_negative_penalty(np.array([1, 3]))
    array(0.66666667)
    """
    return np.asarray(ranks.shape[-1] / ranks[..., -1])


def cmc_curve(first_ranks: np.ndarray, length: int) -> np.ndarray:
    """(length,) share of queries whose first match has rank 1, ≤ 2, … ≤ length.

    >>> cmc_curve(np.array([1, 3, 3, 9]), 4)
    array([0.25, 0.25, 0.75, 0.75])
    """
    counts = np.bincount(np.minimum(first_ranks, length + 1), minlength=length + 2)
    return np.cumsum(counts[1 : length + 1]) / len(first_ranks)
