import numpy as np
import pytest

from tests.figures.fit import assert_texts_fit
from vireid.errors import DataError
from vireid.evaluation.error_rates import error_rates
from vireid.figures import distances as module
from vireid.figures.distances import distances, draw_distances, shown_bins
from vireid.figures.error_rates import describe_trade_off, draw_trade_off, false_rejects
from vireid.structures import FeatureSet


def feature_set(pids: list[int], modality: list[int], seed: int = 0) -> FeatureSet:
    count = len(pids)
    numbers = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    return FeatureSet(
        numbers,
        np.array(pids),
        np.array(modality) + 1,
        np.array(modality, dtype=np.uint8),
        np.array([f"{k}.jpg" for k in range(count)]),
    )


def loop(features: FeatureSet, metric: str) -> dict[str, list[float]]:
    """Every pair of a visible and an infrared image, or of any two of one modality."""
    found: dict[str, list[float]] = {"intra": [], "inter": []}
    both = len(np.unique(features.modality)) == 2
    for i in np.flatnonzero(features.modality == features.modality.min()):
        for j in np.flatnonzero(features.modality == 1) if both else range(i):
            one, two = features.features[i].astype(float), features.features[j].astype(float)
            if metric == "cosine":
                value = 1 - one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            else:
                value = np.linalg.norm(one - two)
            found["intra" if features.pids[i] == features.pids[j] else "inter"].append(value)
    return found


PIDS = [1, 1, 2, 2, 3, 1, 2, 2, 3, 4]
MODALITY = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("chunk", [1, 7, 2**22])
@pytest.mark.parametrize("modality", [MODALITY, [0] * 10, [1] * 10])
def test_means_and_bins_are_those_of_a_plain_loop(monkeypatch, metric, chunk, modality):
    monkeypatch.setattr(module, "CHUNK", chunk)
    features = feature_set(PIDS, modality)
    found, true = distances(features, metric=metric), loop(features, metric)
    for kind in ("intra", "inter"):
        assert found.mean[kind] == pytest.approx(np.mean(true[kind]), abs=1e-12)
        assert found.std[kind] == pytest.approx(np.std(true[kind]), abs=1e-12)
        expected, _ = np.histogram(true[kind], found.edges)
        np.testing.assert_array_equal(found.counts[kind], expected)
    assert found.gap == pytest.approx(np.mean(true["inter"]) - np.mean(true["intra"]))


def test_equal_and_opposite_features_stand_at_the_ends():
    features = feature_set([1, 2, 1], [0, 0, 1])
    features.features[:] = [[1, 0, 0, 0, 0], [-3, 0, 0, 0, 0], [2, 0, 0, 0, 0]]
    found = distances(features)
    assert (found.mean["intra"], found.mean["inter"], found.gap) == (0.0, 2.0, 2.0)
    assert found.counts["intra"][0] == 1 and found.counts["inter"][-1] == 1
    assert found.occupied() == (0.0, 2.0)


@pytest.mark.parametrize("limits", [None, (0.0, 2.0), (0.3, 1.7), (0.001, 1.99), (0.05, 2.0)])
def test_wider_bins_hold_all_pairs_between_their_ends(limits):
    found = distances(feature_set(PIDS, MODALITY))
    shown = shown_bins(found, limits or found.occupied())
    edges = shown["edges"]
    assert 40 <= len(edges) <= 61
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])
    low, high = limits or found.occupied()
    assert edges[0] <= low + 1e-9 and high - 1e-9 <= edges[-1]
    true = loop(feature_set(PIDS, MODALITY), "cosine")
    for kind in ("intra", "inter"):
        share = np.mean([edges[0] <= value <= edges[-1] for value in true[kind]])
        assert (shown[kind] * np.diff(edges)).sum() == pytest.approx(share)


@pytest.mark.parametrize(
    ("pids", "phrase"), [([5, 5, 5], "one identity only"), ([1, 2, 3], "no identity has both")]
)
def test_sets_without_pairs_of_either_kind_are_refused(pids, phrase):
    with pytest.raises(DataError, match=f"some.npz: {phrase}"):
        distances(feature_set(pids, [0, 0, 1]), name="some.npz")
    with pytest.raises(DataError, match="identity has two images|one identity only"):
        distances(feature_set(pids, [0, 0, 0]), name="some.npz")


def test_features_of_zeros_have_no_cosine():
    features = feature_set(PIDS, MODALITY)
    features.features[3] = 0
    with pytest.raises(DataError, match=r"3\.jpg"):
        distances(features)


def test_several_sets_share_a_picture(tmp_path, figures):
    one, two = (distances(feature_set(PIDS, MODALITY, seed)) for seed in (0, 1))
    draw_distances({"before": one, "after": two, "later": one}, tmp_path / "d.svg")
    assert_texts_fit(figures[0])
    text = (tmp_path / "d.svg").read_text()
    assert text.count("<!-- different identities, mean") == text.count("<!-- EER ") == 3


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_threshold_is_known_to_the_width_of_a_bin(metric):
    features = feature_set(PIDS * 6, MODALITY * 6)
    found, true = distances(features, metric=metric), loop(features, metric)
    exact = error_rates(-np.array(true["intra"]), -np.array(true["inter"]))
    width = found.edges[1]
    eer, equal = found.equal_error()
    assert eer == pytest.approx(exact.equal_error_rate, abs=0.02)
    assert equal.false_accept == np.mean(np.array(true["inter"]) < equal.threshold)
    assert equal.false_reject == pytest.approx(np.mean(np.array(true["intra"]) >= equal.threshold))
    few = found.few_false_accepts()
    assert few.false_accept <= 0.01
    assert np.mean(np.array(true["inter"]) < few.threshold + width) > 0.01
    assert f"EER {100 * eer:.2f} %" in found.describe()


def equal_features() -> FeatureSet:
    features = feature_set(PIDS, MODALITY)
    features.features[:] = 1
    return features


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_scores_have_no_threshold(tmp_path, figures, metric):
    found = distances(equal_features(), metric=metric)
    assert found.all_equal
    assert found.describe().startswith("all scores are equal: 25 pairs with a distance of 0.0000")
    assert "EER" not in found.describe()
    draw_distances({"equal": found}, tmp_path / "d.svg")
    text = (tmp_path / "d.svg").read_text()
    assert "<!-- all scores are equal: no threshold -->" in text and "EER" not in text
    assert not distances(feature_set(PIDS, MODALITY), metric=metric).all_equal
    assert_texts_fit(figures[0])


def test_the_trade_off_marks_the_rates_that_pairs_suffice_for(tmp_path, figures):
    found = distances(feature_set(PIDS * 12, MODALITY * 12))
    few, equal = distances(feature_set(PIDS, MODALITY, 1)), distances(equal_features())
    assert found.counts["inter"].sum() == 18 * 144  # 0.1 % would be 3 false accepts
    rates = found.error_rates()
    assert false_rejects(found) == {
        most: rates.at_false_accept(most).false_reject for most in (0.1, 0.01)
    }
    assert false_rejects(few) == {}
    assert "% at FAR 10 / 1 %" in describe_trade_off("a", found)
    assert describe_trade_off("c", equal) == "c: all scores are equal"
    draw_trade_off({"a": found, "b": few, "c": equal}, tmp_path / "det.svg")
    (axes,) = figures[0].axes
    curve, points, eer = axes.lines[:3]
    np.testing.assert_allclose(points.get_xdata(), [10, 1])
    np.testing.assert_allclose(points.get_ydata(), [100 * r for r in false_rejects(found).values()])
    assert eer.get_xdata() == eer.get_ydata() == [100 * rates.equal_error_rate]
    x, y = curve.get_xdata(), curve.get_ydata()
    assert (np.diff(x) <= 0).all() and (np.diff(y) >= 0).all() and x.min() > 0
    assert_texts_fit(figures[0])
