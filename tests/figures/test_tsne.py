import csv

import numpy as np
import pytest

from vireid.errors import DataError, UsageError
from vireid.figures.tsne import (
    choose_identities,
    choose_rows,
    draw_projections,
    project,
    write_points,
)
from vireid.structures import FeatureSet


def feature_set(pids: list[int], images: int = 4, dim: int = 16, seed: int = 0) -> FeatureSet:
    """Identities far apart; each has ``images`` visible and as many infrared images."""
    rng = np.random.default_rng(seed)
    rows = [(pid, modality, k) for pid in pids for modality in (0, 1) for k in range(images)]
    numbers = [
        10 * np.eye(dim)[pid % dim] + 3 * modality * np.eye(dim)[-1] + rng.normal(size=dim)
        for pid, modality, _ in rows
    ]
    return FeatureSet(
        np.array(numbers, dtype=np.float32),
        np.array([pid for pid, _, _ in rows]),
        np.array([1 + modality for _, modality, _ in rows]),
        np.array([modality for _, modality, _ in rows], dtype=np.uint8),
        np.array([f"cam{1 + modality}/{pid}/{k}.jpg" for pid, modality, k in rows]),
    )


def shuffled(features: FeatureSet, seed: int = 1) -> FeatureSet:
    return features.subset(np.random.default_rng(seed).permutation(len(features)))


def test_the_choice_depends_on_the_seed_and_on_nothing_else_of_a_file():
    features = feature_set(list(range(30)))
    chosen = choose_identities([features], count=5, seed=0)
    assert len(set(chosen)) == 5 and chosen == sorted(chosen)
    assert choose_identities([shuffled(features)], count=5, seed=0) == chosen
    assert choose_identities([features], count=5, seed=1) != chosen
    other = next(pid for pid in range(30) if pid not in chosen)
    without = features.subset(features.pids != other)
    assert choose_identities([without], count=5, seed=0) == chosen


def test_compared_sets_show_identities_that_all_have_in_both_modalities():
    one, two = feature_set([1, 2, 3, 4]), feature_set([2, 3, 4, 5])
    two = two.subset((two.pids != 4) | (two.modality == 0))  # 4 has visible images only
    assert choose_identities([one, two], count=None, seed=0) == [2, 3]


def test_twenty_identities_are_shown_or_all_of_fewer_but_never_one():
    assert len(choose_identities([feature_set(list(range(30)))], count=None, seed=0)) == 20
    assert len(choose_identities([feature_set([1, 2, 3])], count=None, seed=0)) == 3
    with pytest.raises(DataError, match="1 identities"):
        choose_identities([feature_set([7])], count=None, seed=0)
    for count in (4, 1, 0, -3):
        with pytest.raises(UsageError, match="choose 2 to 3"):
            choose_identities([feature_set([1, 2, 3])], count=count, seed=0)


def test_rows_are_the_same_images_whatever_the_order_of_the_file():
    features = feature_set([1, 2, 3], images=6)
    rows = choose_rows(features, [1, 3], images=2, seed=0)
    assert len(rows) == 2 * 2 * 2
    assert features.pids[rows].tolist() == [1] * 4 + [3] * 4
    assert features.modality[rows].tolist() == [0, 0, 1, 1] * 2
    other = shuffled(features)
    again = choose_rows(other, [1, 3], images=2, seed=0)
    assert other.paths[again].tolist() == features.paths[rows].tolist()
    assert len(choose_rows(features, [1, 3], images=0, seed=0)) == 24


def test_components_are_those_of_the_centred_unit_vectors():
    features = feature_set([1, 2, 3])
    one = project("a", features, method="pca")
    units = features.features / np.linalg.norm(features.features, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * values[:2]
    for k in range(2):  # a component's sign is free
        sign = np.sign(expected[:, k] @ one.points[:, k])
        np.testing.assert_allclose(one.points[:, k], sign * expected[:, k], atol=1e-5)
    shares = 100 * values**2 / np.sum(values**2)
    assert one.axes == (f"component 1 ({shares[0]:.0f} %)", f"component 2 ({shares[1]:.0f} %)")


def test_features_of_one_number_lie_on_a_line():
    features = feature_set([1, 2], dim=16)
    flat = FeatureSet(
        features.features[:, :1], *(getattr(features, n) for n in FeatureSet.__slots__[1:])
    )
    one = project("a", flat, method="pca", metric="euclidean")
    centred = flat.features[:, 0] - flat.features[:, 0].mean()
    np.testing.assert_allclose(np.abs(one.points[:, 0]), np.abs(centred), atol=1e-5)
    assert not one.points[:, 1].any()


def test_tsne_repeats_and_keeps_identities_together():
    features = feature_set([1, 2, 3, 4, 5], images=5)
    first, second = (project("a", features, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    apart = np.linalg.norm(first.points[:, None] - first.points, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (features.pids[apart.argmin(axis=1)] == features.pids).all()


def test_the_csv_holds_every_point_of_every_panel(tmp_path):
    features = feature_set([1, 2], images=1)
    panels = [project(title, features, method="pca") for title in ("before, epoch 1", "after")]
    write_points(tmp_path / "points.csv", panels)
    rows = list(csv.DictReader((tmp_path / "points.csv").open(encoding="utf-8")))
    assert list(rows[0]) == ["panel", "path", "pid", "camid", "modality", "x", "y"]
    assert [row["panel"] for row in rows] == ["before, epoch 1"] * 4 + ["after"] * 4
    assert [row["path"] for row in rows[:4]] == features.paths.tolist()
    assert [row["modality"] for row in rows[:4]] == ["visible", "infrared"] * 2
    found = np.array([[float(row["x"]), float(row["y"])] for row in rows[4:]])
    np.testing.assert_allclose(found, panels[1].points, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "options", "error", "phrase"),
    [
        (0.0, {}, DataError, "zero"),
        (0.0, {"metric": "euclidean"}, DataError, "the same"),
        (1.0, {"perplexity": 16.0}, UsageError, "--perplexity 16"),
        (1.0, {"perplexity": 0.5}, UsageError, "--perplexity 0.5"),
    ],
)
def test_what_has_no_picture_is_refused(change, options, error, phrase):
    features = feature_set([1, 2])
    features.features[:] *= change
    with pytest.raises(error, match=phrase):
        project("a", features, **options)


@pytest.mark.parametrize("identities", [3, 45])
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_points_are_the_same_file(tmp_path, identities, suffix):
    features = feature_set(list(range(identities)), images=1)
    one = project("a", features, method="pca")
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        draw_projections([one, one, one], path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second and len(first) > 10_000
    if suffix == "svg":  # two modalities' colours where identities cannot be told apart
        colors = {color for color in ("#0072b2", "#d55e00", "#009e73") if color in first.decode()}
        assert len(colors) == (3 if identities == 3 else 2)


def test_a_set_of_one_modality_needs_no_other(tmp_path):
    both = feature_set([3, 1, 2])
    alone = both.subset(both.modality == 0)
    assert choose_identities([alone], count=None, seed=0) == [1, 2, 3]
    rows = choose_rows(alone, [1, 3], images=2, seed=0)
    assert alone.pids[rows].tolist() == [1, 1, 3, 3]
    paths = [tmp_path / f"{name}.svg" for name in ("both", "alone")]
    for features, path in zip((both, alone), paths, strict=True):
        draw_projections([project("a", features, method="pca")], path)
    texts = [path.read_text().count("infrared") for path in paths]
    assert texts[0] > 0 and texts[1] == 0
