import doctest

import numpy as np
import pytest

from vireid.evaluation import metrics
from vireid.evaluation.metrics import (
    average_precision,
    cmc_curve,
    first_rank,
    inverse_negative_penalty,
)

ROWS = {  # ranked list → average precision, inverse negative penalty, first rank
    "1": (1.0, 1.0, 1),
    "10": (1.0, 1.0, 1),
    "01": (1 / 2, 1 / 2, 2),
    "1010": ((1 + 2 / 3) / 2, 2 / 3, 1),
    "0110": ((1 / 2 + 2 / 3) / 2, 2 / 3, 2),
    "000111": ((1 / 4 + 2 / 5 + 3 / 6) / 3, 3 / 6, 4),
    "1110000": (1.0, 1.0, 1),
}


def loop(ranks: list[int], found: list[bool]) -> tuple[float, float, int]:
    """AP, INP and first rank of one list."""
    hits = [rank for rank, there in zip(ranks, found, strict=True) if there]
    if not hits:
        return 0.0, 0.0, 0
    precisions = [k / rank for k, rank in enumerate(hits, start=1)]
    return sum(precisions) / len(hits), len(hits) / hits[-1], hits[0]


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert result.attempted >= 4
    assert result.failed == 0


@pytest.mark.parametrize("row", ROWS)
def test_hand_values(row: str):
    ranks = np.array([rank for rank, hit in enumerate(row, start=1) if hit == "1"])
    found = np.ones(len(ranks), dtype=bool)
    measures = (average_precision, inverse_negative_penalty, first_rank)
    assert [measure(ranks, found) for measure in measures] == pytest.approx(ROWS[row])


@pytest.mark.parametrize("seed", range(10))
def test_metrics_of_many_lists_equal_a_plain_loop(seed: int):
    """(trials, queries, candidates): some candidates are in no list, some lists without a match."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, size=3))
    found = rng.random(shape) < 0.5
    ranks = np.cumsum(rng.integers(0, 4, size=shape) + found, axis=2)  # 0: nothing before it
    measures = (average_precision, inverse_negative_penalty, first_rank)
    results = np.stack([measure(ranks, found) for measure in measures], axis=-1)
    for where in np.ndindex(shape[:2]):
        expected = loop(ranks[where].tolist(), found[where].tolist())
        np.testing.assert_allclose(results[where], expected, rtol=1e-12)


def test_curve_counts_ranks_beyond_its_length_as_misses():
    assert cmc_curve(np.array([2, 2, 5, 100]), 3).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("seed", range(3))
def test_curve_equals_a_plain_loop_and_ends_at_one(seed: int):
    ranks = np.random.default_rng(seed).integers(1, 30, size=17)
    expected = [sum(rank <= k for rank in ranks.tolist()) / 17 for k in range(1, 31)]
    curve = cmc_curve(ranks, 30)
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    assert curve[-1] == 1.0
