import doctest

import numpy as np
import pytest

from vireid.evaluation import metrics
from vireid.evaluation.metrics import (
    average_precision,
    cmc_curve,
    identity_rank,
    image_rank,
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


def as_hits(row: str) -> np.ndarray:
    return np.array([[character == "1" for character in row]])


def random_lists(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, G) hits, each row with one or more, and identities: 0 is the query's."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, rng.integers(2, 8), size=rng.integers(1, 40, size=2))
    ids[np.arange(len(ids)), rng.integers(0, ids.shape[1], len(ids))] = 0
    return ids == 0, ids


def loop(hits: list[bool], ids: list[int]) -> tuple[float, float, int, int]:
    """AP, INP, image rank and identity rank of one list, entry by entry."""
    precisions, matches, last, first, first_identity = [], 0, 0, 0, 0
    seen: list[int] = []
    for rank, (hit, pid) in enumerate(zip(hits, ids, strict=True), start=1):
        if pid not in seen:
            seen.append(pid)
        if hit:
            matches, last = matches + 1, rank
            precisions.append(matches / rank)
            first, first_identity = first or rank, first_identity or len(seen)
    return sum(precisions) / matches, matches / last, first, first_identity


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert result.attempted >= 5
    assert result.failed == 0


@pytest.mark.parametrize("row", ROWS)
def test_hand_values(row: str):
    hits = as_hits(row)
    found = average_precision(hits)[0], inverse_negative_penalty(hits)[0], image_rank(hits)[0]
    assert found == pytest.approx(ROWS[row])


@pytest.mark.parametrize("seed", range(20))
def test_metrics_equal_a_plain_loop(seed: int):
    hits, ids = random_lists(seed)
    expected = [loop(*row) for row in zip(hits.tolist(), ids.tolist(), strict=True)]
    found = zip(
        average_precision(hits),
        inverse_negative_penalty(hits),
        image_rank(hits),
        identity_rank(hits, ids),
        strict=True,
    )
    np.testing.assert_allclose(list(found), expected, rtol=1e-12)


def test_misses_behind_the_last_match_change_nothing():
    hits, ids = random_lists(3)
    longer = np.pad(hits, [(0, 0), (0, 5)])
    np.testing.assert_array_equal(average_precision(longer), average_precision(hits))
    np.testing.assert_array_equal(inverse_negative_penalty(longer), inverse_negative_penalty(hits))
    padded_ids = np.pad(ids, [(0, 0), (0, 5)], constant_values=99)
    np.testing.assert_array_equal(identity_rank(longer, padded_ids), identity_rank(hits, ids))


@pytest.mark.parametrize("metric", [average_precision, inverse_negative_penalty, image_rank])
def test_list_without_a_match_is_refused(metric):
    with pytest.raises(ValueError, match="must hold a true match"):
        metric(np.array([[True, False], [False, False]]))


def test_identity_and_image_curves_differ_on_a_list_with_repeated_identities():
    ids = np.array([[7, 7, 8, 5, 5], [5, 7, 7, 8, 8]])  # both queries look for identity 5
    hits = ids == 5
    assert image_rank(hits).tolist() == [4, 1]
    assert identity_rank(hits, ids).tolist() == [3, 1]
    assert cmc_curve(image_rank(hits), 5).tolist() == [0.5, 0.5, 0.5, 1.0, 1.0]
    assert cmc_curve(identity_rank(hits, ids), 5).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]


def test_curve_counts_ranks_beyond_its_length_as_misses():
    assert cmc_curve(np.array([2, 2, 5, 100]), 3).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("seed", range(3))
def test_curve_equals_a_plain_loop_and_ends_at_one(seed: int):
    ranks = np.random.default_rng(seed).integers(1, 30, size=17)
    expected = [sum(rank <= k for rank in ranks.tolist()) / 17 for k in range(1, 31)]
    curve = cmc_curve(ranks, 30)
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    assert curve[-1] == 1.0
