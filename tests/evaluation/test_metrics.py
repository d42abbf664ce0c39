import doctest

import numpy as np
import pytest

from vireid.evaluation import metrics
from vireid.evaluation.metrics import average_precision, cmc_curve, inverse_negative_penalty

LISTS = {  # ranked list, 1 for a match → average precision, inverse negative penalty
    "1": (1.0, 1.0),
    "10": (1.0, 1.0),
    "01": (1 / 2, 1 / 2),
    "1010": ((1 + 2 / 3) / 2, 2 / 3),
    "0110": ((1 / 2 + 2 / 3) / 2, 2 / 3),
    "000111": ((1 / 4 + 2 / 5 + 3 / 6) / 3, 3 / 6),
    "1110000": (1.0, 1.0),
}


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert (result.attempted, result.failed) == (3, 0)


@pytest.mark.parametrize("row", LISTS)
def test_hand_values(row: str):
    ranks = np.array([rank for rank, hit in enumerate(row, start=1) if hit == "1"])
    assert (average_precision(ranks), inverse_negative_penalty(ranks)) == pytest.approx(LISTS[row])


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_many_lists_equal_a_plain_loop(seed: int):
    rng = np.random.default_rng(seed)
    trials, queries, matches = rng.integers(1, 12, size=3)
    ranks = rng.integers(1, 5, size=(trials, queries, matches)).cumsum(axis=2)
    precision, penalty = average_precision(ranks), inverse_negative_penalty(ranks)
    for where in np.ndindex(trials, queries):
        hits = ranks[where].tolist()
        expected = sum(k / rank for k, rank in enumerate(hits, start=1)) / len(hits)
        assert precision[where] == pytest.approx(expected, rel=1e-12)
        assert penalty[where] == pytest.approx(len(hits) / hits[-1], rel=1e-12)


def test_curve_counts_ranks_beyond_its_length_as_misses():
    assert cmc_curve(np.array([2, 2, 5, 100]), 3).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("seed", range(3))
def test_curve_equals_a_plain_loop_and_ends_at_one(seed: int):
    ranks = np.random.default_rng(seed).integers(1, 30, size=17)
    expected = [sum(rank <= k for rank in ranks.tolist()) / 17 for k in range(1, 31)]
    curve = cmc_curve(ranks, 30)
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    assert curve[-1] == 1.0
