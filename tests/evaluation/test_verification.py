"""Verification and open-set identification against hand values and plain loops."""

import numpy as np
import pytest

from vireid.errors import DataError
from vireid.evaluation import verification as module
from vireid.evaluation.protocols import PROTOCOLS
from vireid.evaluation.verification import (
    SearchOutcomes,
    false_accept_intervals,
    identification_rates,
    search_outcomes,
    verify,
)
from vireid.structures import FeatureSet


def feature_set(features, pids, modality, camids=None) -> FeatureSet:
    count = len(pids)
    return FeatureSet(
        np.array(features, dtype=np.float32),
        np.array(pids),
        np.array(camids if camids is not None else modality) + 1,
        np.array(modality, dtype=np.uint8),
        np.array([f"{k}.jpg" for k in range(count)]),
    )


def random_set(identities: int, each: int = 4, seed: int = 0) -> FeatureSet:
    generator = np.random.default_rng(seed)
    pids = np.repeat(np.arange(1, identities + 1), each)
    features = generator.normal(size=(identities, 6))[pids - 1]
    features += generator.normal(size=features.shape)
    places = np.arange(len(pids))
    return feature_set(features, pids, places % 2, places % 3)


def at_angles(degrees) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


# two people, visible at 0 and 90 degrees, infrared at 60 (first person) and 80 (second)
TWO = feature_set(at_angles([0, 90, 60, 80]), [1, 2, 1, 2], [0, 0, 1, 1])


def test_rates_are_the_hand_values():
    found = verify(PROTOCOLS["val_v2i"], TWO)
    # genuine: cos 60 = 0.5, cos 10 = 0.985; impostor: cos 80 = 0.174, cos 30 = 0.866
    assert (found.identities, found.queries, found.gallery) == (2, 2, 2)
    assert (found.genuine, found.impostor) == (2, 2)
    entry = found.entry([0.5, 0.1], scores=[0.6], first=1)
    half, tenth, given = entry["points"]
    assert half["threshold"] == pytest.approx(np.cos(np.radians(80)), abs=1.1e-5)
    assert half["threshold"] > np.cos(np.radians(80))
    assert (half["false_accept"], half["false_reject"]) == (0.5, 0.0)
    assert tenth["threshold"] == pytest.approx(np.cos(np.radians(30)), abs=1.1e-5)
    assert (tenth["false_accept"], tenth["false_reject"]) == (0.0, 0.5)
    assert (given["threshold"], given["false_accept"], given["false_reject"]) == (0.6, 0.5, 0.5)
    assert entry["equal_error_rate"] == pytest.approx(0.5)
    assert [point["measurable"] for point in entry["points"]] == [False, False, True]
    # visible queries: the first one's best match 0.5 is found at rank 1 (the other has 0.174),
    # the second one's is 0.985; best others are 0.174 and 0.866
    np.testing.assert_allclose(found.outcomes.best_other, [0.1736, 0.8660], atol=1e-4)
    assert found.outcomes.rank.tolist() == [1, 1]
    assert (half["fpir"], half["fnir"]) == (0.5, 0.0)
    assert (given["fpir"], given["fnir"]) == (0.5, 0.5)


def test_the_direction_matters_for_searches_and_not_for_pairs():
    """Infrared query 1 has its match (0.5) behind the other person (0.866)."""
    one, other = (verify(PROTOCOLS[name], TWO) for name in ("val_v2i", "val_i2v"))
    assert one.rates.equal_error_rate == other.rates.equal_error_rate
    np.testing.assert_array_equal(one.rates.false_accept, other.rates.false_accept)
    assert other.outcomes.rank.tolist() == [2, 1]
    assert identification_rates(other.outcomes, 0.0, first=1).false_negative == 0.5
    assert identification_rates(other.outcomes, 0.0, first=2).false_negative == 0.0


def loop(protocol, features):
    """Plain loops: pairs of one and of two identities, and what every query finds."""
    genuine, impostor, searches, seen = [], [], [], set()
    for q in np.flatnonzero(features.modality == protocol.query_modality):
        others, matches = [], []
        for g in np.flatnonzero(features.modality == protocol.gallery_modality):
            one, two = features.features[q].astype(float), features.features[g].astype(float)
            score = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            same = features.pids[q] == features.pids[g]
            if q == g or (
                protocol.drops_own_camera and same and features.camids[q] == features.camids[g]
            ):
                continue
            (matches if same else others).append(score)
            if frozenset((q, g)) not in seen:
                (genuine if same else impostor).append(score)
            seen.add(frozenset((q, g)))
        searches.append((others, matches))
    return genuine, impostor, searches


@pytest.mark.parametrize("name", ["val_v2i", "val_i2v", "val_v2v"])
@pytest.mark.parametrize("chunk", [100, 2**22])
def test_rates_and_searches_are_those_of_a_plain_loop(monkeypatch, name, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    protocol, features = PROTOCOLS[name], random_set(7, 6)
    found = verify(protocol, features)
    genuine, impostor, searches = loop(protocol, features)
    assert (found.genuine, found.impostor) == (len(genuine), len(impostor))
    for at in (0, 80_000, 110_000, 150_000, 200_000):
        edge = found.rates.thresholds[at]
        assert found.rates.false_accept[at] == pytest.approx(np.mean(np.array(impostor) >= edge))
        assert found.rates.false_reject[at] == pytest.approx(np.mean(np.array(genuine) < edge))
    for threshold, first in ((0.3, 1), (0.3, 5), (0.7, 3)):
        rates = identification_rates(found.outcomes, threshold, first=first)
        wrong, missed = 0, []
        for others, matches in searches:
            wrong += any(score >= threshold for score in others)
            if matches:
                ranked = sorted([(-s, True) for s in matches] + [(-s, False) for s in others])
                missed.append(not any(ok and -s >= threshold for s, ok in ranked[:first]))
        assert rates.false_positive == pytest.approx(wrong / len(searches))
        assert rates.false_negative == pytest.approx(np.mean(missed))


def test_neither_order_nor_length_of_features_changes_an_entry():
    features = random_set(6)
    entry = verify(PROTOCOLS["val_v2i"], features).entry([0.1])
    order = np.random.default_rng(1).permutation(len(features))
    lengths = np.linspace(0.5, 8, len(features), dtype=np.float32)[:, None]
    scaled = feature_set(
        features.features * lengths, features.pids, features.modality, features.camids - 1
    ).subset(order)
    again = verify(PROTOCOLS["val_v2i"], scaled).entry([0.1])
    assert again.pop("curve").keys() == entry.pop("curve").keys()
    assert again["points"][0].pop("threshold") == pytest.approx(
        entry["points"][0].pop("threshold"), abs=1.5e-5
    )
    for key in ("equal_error", "lowest_score", "highest_score"):
        again.pop(key), entry.pop(key)
    assert again == entry


def test_equal_scores_count_against_the_match():
    scores, same = np.array([[0.5, 0.5, 0.9]]), np.array([[True, False, False]])
    kept = np.ones_like(same)
    assert search_outcomes(scores, same, kept).rank.tolist() == [3]
    kept[0, 2] = False
    found = search_outcomes(scores, same, kept)
    assert found.rank.tolist() == [2] and found.best_other.tolist() == [0.5]


def test_queries_without_a_match_count_for_false_positives_only():
    found = search_outcomes(
        np.array([[0.9, 0.1], [0.4, 0.6]]),
        np.array([[False, False], [True, False]]),
        np.ones((2, 2), dtype=bool),
    )
    assert found.rank.tolist() == [0, 2]
    rates = identification_rates(found, 0.5, first=2)
    assert (rates.false_positive, rates.false_negative) == (1.0, 1.0)
    assert identification_rates(found, 0.4, first=2).false_negative == 0.0
    with pytest.raises(ValueError, match="one query with a match"):
        identification_rates(
            SearchOutcomes(np.array([1.0]), np.array([-np.inf]), np.array([0])), 0.5
        )


def test_a_rate_needs_ten_expected_false_accepts():
    found = verify(PROTOCOLS["val_v2i"], random_set(11, 4))
    assert found.impostor == 22 * 20
    assert found.measurable(10 / 440) and not found.measurable(9.9 / 440)


def test_the_curve_is_short_and_can_be_interpolated():
    found = verify(PROTOCOLS["val_v2i"], random_set(60, 12))
    rates, points = found.rates, [found.rates.at_false_accept(most) for most in (0.1, 0.01)]
    few = rates.thinned([point.threshold for point in points])
    assert 150 < len(few.thresholds) <= 200
    assert (few.false_accept[0], few.false_reject[0]) == (1.0, 0.0)
    assert (few.false_accept[-1], few.false_reject[-1]) == (0.0, 1.0)
    for point in points:
        again = few.interpolated(point.threshold)
        assert again.false_accept == pytest.approx(point.false_accept, rel=1e-12)
        assert again.false_reject == pytest.approx(point.false_reject, rel=1e-12)
    enough = np.flatnonzero(rates.false_accept * found.impostor >= 200)[::500]
    for at in enough:
        again = few.interpolated(rates.thresholds[at])
        assert again.false_accept == pytest.approx(rates.false_accept[at], rel=0.08)
        assert again.false_reject == pytest.approx(rates.false_reject[at], abs=0.02)
    assert few.interpolated(-2.0).false_accept == 1.0 == few.interpolated(2.0).false_reject


def test_the_interval_is_that_of_drawn_identities(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 40)
    protocol, features = PROTOCOLS["val_v2i"], random_set(5, 4)
    ((low, high),) = false_accept_intervals(protocol, features, [0.3])
    units = features.features / np.linalg.norm(features.features, axis=1, keepdims=True)
    rates = []
    for weights in np.random.default_rng(0).multinomial(5, [0.2] * 5, size=40):
        total = accepted = 0
        for q in np.flatnonzero(features.modality == 0):
            for g in np.flatnonzero(features.modality == 1):
                if features.pids[q] != features.pids[g]:
                    weight = weights[features.pids[q] - 1] * weights[features.pids[g] - 1]
                    total += weight
                    accepted += weight * (units[q] @ units[g] >= 0.3)
        rates += [accepted / total] if total else []
    assert (low, high) == pytest.approx(tuple(np.quantile(rates, (0.025, 0.975))))


def test_more_identities_make_the_interval_narrower(monkeypatch):
    widths = []
    for identities in (10, 80):
        features = random_set(identities, 4)
        found = verify(PROTOCOLS["val_v2i"], features).rates.at_false_accept(0.1)
        ((low, high),) = false_accept_intervals(PROTOCOLS["val_v2i"], features, [found.threshold])
        assert low < found.false_accept < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    monkeypatch.setattr(module, "MOST_IDENTITIES", 79)
    assert false_accept_intervals(PROTOCOLS["val_v2i"], features, [0.3]) is None


def test_equal_features_have_one_score():
    found = verify(PROTOCOLS["val_v2i"], feature_set(np.ones((4, 3)), [1, 2, 1, 2], [0, 0, 1, 1]))
    assert found.lowest == found.highest == pytest.approx(1, abs=1.1e-5)
    point = found.rates.at_false_accept(0.1)
    assert (point.false_accept, point.false_reject) == (0.0, 1.0) and point.threshold > 1


@pytest.mark.parametrize(
    ("pids", "phrase"), [([1, 1, 1, 1], "one identity only"), ([1, 2, 3, 4], "no query has a true")]
)
def test_sets_without_pairs_of_either_kind_are_refused(pids, phrase):
    with pytest.raises(DataError, match=f"val_v2i: {phrase}"):
        verify(PROTOCOLS["val_v2i"], feature_set(np.eye(4), pids, [0, 0, 1, 1]))


def test_the_interval_holds_the_rate_of_other_people():
    """Thresholds from 20 people at a time, counted on 600 others of the same kind."""
    protocol = PROTOCOLS["val_v2i"]
    others = verify(protocol, random_set(600, 2, seed=99)).rates
    held = []
    for seed in range(30):
        features = random_set(20, 4, seed)
        threshold = verify(protocol, features).rates.at_false_accept(0.1).threshold
        ((low, high),) = false_accept_intervals(protocol, features, [threshold])
        at = np.searchsorted(others.thresholds, threshold)
        held.append(low <= others.false_accept[at] <= high)
        assert high - low < 0.25
    assert np.mean(held) >= 0.9
