import numpy as np
import pytest

from vireid.evaluation.error_rates import error_rates, error_rates_of_counts

GENUINE, IMPOSTOR = np.array([0.9, 0.8, 0.4, 0.7]), np.array([0.1, 0.3, 0.75, 0.2, 0.6])


def test_rates_are_the_hand_values():
    rates = error_rates(GENUINE, IMPOSTOR)
    above = np.nextafter(0.9, 1)
    assert rates.thresholds.tolist() == [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.75, 0.8, 0.9, above]
    accepted = [5, 4, 3, 2, 2, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(rates.false_accept, np.array(accepted) / 5, atol=1e-15)
    rejected = [0, 0, 0, 0, 1, 1, 2, 2, 3, 4]
    np.testing.assert_allclose(rates.false_reject, np.array(rejected) / 4, atol=1e-15)
    # FAR − FRR: 0.15 at 0.6, −0.05 at 0.7; FRR is 0.25 at both, so the lines cross there
    assert rates.equal_error_rate == pytest.approx(0.25)
    nearest = rates.nearest_to_equal()
    assert (nearest.threshold, nearest.false_accept, nearest.false_reject) == (
        0.7,
        pytest.approx(0.2),
        pytest.approx(0.25),
    )


@pytest.mark.parametrize(
    ("most", "threshold", "rejected"), [(0.0, 0.8, 0.5), (0.2, 0.7, 0.25), (1.0, 0.1, 0.0)]
)
def test_the_fewest_false_rejects_below_a_rate_of_false_accepts(most, threshold, rejected):
    point = error_rates(GENUINE, IMPOSTOR).at_false_accept(most)
    assert point.threshold == threshold and point.false_accept <= most + 1e-15
    assert point.false_reject == pytest.approx(rejected)


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 0.0),  # a threshold separates all
        ([0.0], [1.0], 1.0),  # all are wrong
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),  # ties: accepted or rejected together
        ([1.0, 2.0], [1.0, 2.0], 0.5),
        ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], 1 / 3),
    ],
)
def test_ties_and_extremes(genuine, impostor, expected):
    rates = error_rates(np.array(genuine), np.array(impostor))
    assert rates.equal_error_rate == pytest.approx(expected)
    assert rates.false_reject[0] == rates.false_accept[-1] == 0.0


def test_counts_agree_with_scores_to_the_width_of_a_bin():
    generator = np.random.default_rng(0)
    genuine, impostor = generator.normal(1, 1, 400), generator.normal(-1, 1, 900)
    edges = np.linspace(-6, 6, 2401)
    counts = [np.histogram(scores, edges)[0] for scores in (genuine, impostor)]
    rough, exact = error_rates_of_counts(edges, *counts), error_rates(genuine, impostor)
    for k in (0, 1000, 1200, 1500, 2400):  # exact at an edge
        assert rough.false_accept[k] == pytest.approx(np.mean(impostor >= edges[k]))
        assert rough.false_reject[k] == pytest.approx(np.mean(genuine < edges[k]))
    assert rough.equal_error_rate == pytest.approx(exact.equal_error_rate, abs=1 / 400)
    near = rough.nearest_to_equal().threshold - exact.nearest_to_equal().threshold
    assert abs(near) <= 12 / 2400


@pytest.mark.parametrize(
    ("genuine", "impostor", "phrase"),
    [
        ([], [1.0], "one genuine pair"),
        ([1.0], [], "one impostor pair"),
        ([np.inf], [1.0], "finite scores of at least one genuine"),
    ],
)
def test_scores_without_rates_are_refused(genuine, impostor, phrase):
    with pytest.raises(ValueError, match=phrase):
        error_rates(np.array(genuine), np.array(impostor))
