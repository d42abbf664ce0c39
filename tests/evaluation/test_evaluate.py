import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from tests.evaluation.loops import assert_scores_equal, loop_trial
from vireid.errors import DataError
from vireid.evaluation import ranking
from vireid.evaluation.evaluate import TrialScores, evaluate, evaluate_reranked
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, expand
from vireid.evaluation.query_gallery import Permutations
from vireid.structures import FeatureSet

SINGLE, MULTI = PROTOCOLS["sysu_all_single"], PROTOCOLS["sysu_all_multi"]
V2T, T2V = PROTOCOLS["regdb_v2t"], PROTOCOLS["regdb_t2v"]
SYSU_NAMES = ("sysu_all_single", "sysu_all_multi", "sysu_indoor_single", "sysu_indoor_multi")

Row = tuple[int, int, Sequence[float]]  # camera, identity, feature


def sysu(rows: Sequence[Row]) -> FeatureSet:
    """Images in the order given; the k-th of a (camera, identity) is ``000k.jpg``."""
    counts: dict[tuple[int, int], int] = {}
    paths = []
    for cam, pid, _ in rows:
        counts[cam, pid] = counts.get((cam, pid), 0) + 1
        paths.append(f"cam{cam}/{pid:04d}/{counts[cam, pid]:04d}.jpg")
    cams = np.array([row[0] for row in rows])
    return FeatureSet(
        features=np.array([row[2] for row in rows], dtype=np.float64),
        pids=np.array([row[1] for row in rows]),
        camids=cams,
        modality=np.isin(cams, (3, 6)).astype(np.uint8),
        paths=np.array(paths),
    )


def regdb(visible: Sequence[tuple[int, float]], thermal: Sequence[tuple[int, float]]) -> FeatureSet:
    """(identity, position on a line) of each image; paths in the order given."""
    rows = [(*row, modality) for modality, part in enumerate((visible, thermal)) for row in part]
    return FeatureSet(
        features=np.array([[row[1]] for row in rows], dtype=np.float32),
        pids=np.array([row[0] for row in rows]),
        camids=np.array([row[2] + 1 for row in rows]),
        modality=np.array([row[2] for row in rows], dtype=np.uint8),
        paths=np.array([f"{k:04d}.bmp" for k in range(len(rows))]),
    )


def permutations_of(features: FeatureSet, seed: int | None = None) -> Permutations:
    """Ten trials for every folder: random, or all 1 … n without a seed."""
    keys, counts = np.unique(
        np.stack([features.camids, features.pids], axis=1), axis=0, return_counts=True
    )
    rng = np.random.default_rng(seed)
    return {
        (int(cam), int(pid)): np.stack(
            [np.arange(n) + 1 if seed is None else rng.permutation(n) + 1 for _ in range(10)]
        )
        for (cam, pid), n in zip(keys, counts, strict=True)
    }


def euclidean(
    protocol: RetrievalProtocol, features: FeatureSet, permutations: Permutations | None = None
) -> list[TrialScores]:
    return evaluate(protocol, features, permutations=permutations, metric="euclidean")


def random_sysu(seed: int) -> FeatureSet:
    """Identities that miss some cameras, up to 13 images per folder, in shuffled order."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for pid in rng.choice(300, size=rng.integers(3, 9), replace=False).tolist():
        center = rng.standard_normal(6)
        for cam in range(1, 7):
            if rng.random() < 0.8:
                rows += [
                    (cam, pid, center + 1.2 * rng.standard_normal(6))
                    for _ in range(int(rng.integers(1, 14)))
                ]
    return sysu(rows).subset(rng.permutation(len(rows)))


def random_regdb(seed: int) -> FeatureSet:
    rng = np.random.default_rng(seed)
    pids = rng.choice(400, size=6, replace=False).repeat(10)
    centers = rng.standard_normal((400, 5))
    both = np.concatenate([pids, pids])
    modality = np.arange(120) // 60
    features = FeatureSet(
        features=(centers[both] + 1.3 * rng.standard_normal((120, 5))).astype(np.float32),
        pids=both,
        camids=modality + 1,
        modality=modality.astype(np.uint8),
        paths=np.array([f"{m}/{k:03d}.bmp" for k, m in enumerate(modality)]),
    )
    return features.subset(rng.permutation(120))


# ---- an independent evaluation, one query at a time ------------------------------------------


def oracle_gallery(
    protocol: RetrievalProtocol, features: FeatureSet, permutations: Permutations | None, trial: int
) -> list[int]:
    cams = [1, 2] if "indoor" in protocol.name else [1, 2, 4, 5]
    if not protocol.name.startswith("sysu"):
        rows = np.flatnonzero(features.modality == (protocol.name in ("regdb_v2t",)))
        return sorted(rows.tolist(), key=lambda row: features.paths[row])
    assert permutations is not None
    gallery = []
    for cam in cams:
        for pid in sorted(set(features.pids.tolist())):
            folder = np.flatnonzero((features.camids == cam) & (features.pids == pid)).tolist()
            folder.sort(key=lambda row: features.paths[row])
            if folder:
                picked = permutations[cam, pid][trial].tolist()
                gallery += [folder[p - 1] for p in picked[: 10 if "multi" in protocol.name else 1]]
    return gallery


def assert_meets_oracle(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    permutations: Permutations | None,
    metric: str,
) -> None:
    sysu_rules = protocol.name.startswith("sysu")
    side = 1 if sysu_rules or protocol is T2V else 0
    queries = np.flatnonzero(features.modality == side).tolist()
    trials = evaluate(protocol, features, permutations=permutations, metric=metric)
    assert len(trials) == (10 if permutations else 1)
    for trial, found in enumerate(trials):
        gallery = oracle_gallery(protocol, features, permutations, trial)
        unit = "identity" if sysu_rules else "image"
        rules = {"unit": unit, "same_room": sysu_rules, "metric": metric}
        assert_scores_equal(found, loop_trial(features, queries, gallery, **rules))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SYSU_NAMES)
def test_sysu_scores_equal_a_plain_loop(name: str, seed: int, metric: str):
    features = random_sysu(seed)
    assert_meets_oracle(PROTOCOLS[name], features, permutations_of(features, seed), metric)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("protocol", [V2T, T2V], ids=lambda p: p.name)
def test_regdb_scores_equal_a_plain_loop(protocol: RetrievalProtocol, metric: str):
    for seed in range(3):
        assert_meets_oracle(protocol, random_regdb(seed), None, metric)


@pytest.mark.parametrize("protocol", [SINGLE, MULTI, V2T], ids=lambda p: p.name)
def test_scores_with_many_ties_equal_a_plain_loop(protocol: RetrievalProtocol):
    """Small whole numbers: their distances are exact, and most are shared by several images."""
    for seed in range(3):
        features = random_regdb(seed) if protocol is V2T else random_sysu(seed)
        tied = dataclasses.replace(features, features=np.sign(features.features).round())
        permutations = None if protocol is V2T else permutations_of(features, seed)
        assert_meets_oracle(protocol, tied, permutations, "euclidean")


# ---- rules, each on a list made by hand -------------------------------------------------------


def test_camera_3_ignores_camera_2_whatever_the_identity_and_nothing_else():
    # camera 2 holds the nearest images, of the query's identity and of another one
    rows = [(3, 1, 0), (2, 1, 1), (2, 2, 2), (1, 3, 3e6), (1, 1, 4e6)]
    features = sysu([(cam, pid, [x]) for cam, pid, x in rows])
    (trial, *_) = euclidean(SINGLE, features, permutations_of(features))
    assert trial.metrics == pytest.approx(
        {"rank1": 0, "rank5": 1, "rank10": 1, "rank20": 1, "mAP": 1 / 2, "mINP": 1 / 2}
    )
    assert (trial.num_gallery, trial.cmc.tolist()) == (4, [0.0, 1.0])


def test_query_without_a_match_is_counted_but_not_scored():
    rows = [(6, 1, [0.0]), (6, 9, [0.0]), (3, 2, [5.0]), (1, 1, [1.0]), (2, 2, [2.0])]
    features = sysu(rows)
    (trial, *_) = euclidean(SINGLE, features, permutations_of(features))
    # identity 9 is in no gallery image, and identity 2 only in camera 2
    assert (trial.num_query, trial.num_valid_query, trial.num_gallery) == (3, 1, 2)
    assert trial.metrics["rank1"] == trial.metrics["mAP"] == 1.0


def test_query_that_sees_no_gallery_at_all_does_not_shorten_the_curve():
    features = sysu([(6, 1, [0.0]), (3, 1, [0.0]), (2, 1, [1.0]), (2, 2, [0.5])])
    (trial, *_) = euclidean(SINGLE, features, permutations_of(features))
    assert (trial.num_query, trial.num_valid_query) == (2, 1)
    assert trial.cmc.tolist() == [0.0, 1.0]


def test_multi_shot_counts_duplicates_in_precision_but_not_in_the_curve():
    rows = [(6, 1, [0.0]), *[(1, 2, [1.0 + k]) for k in range(3)], (1, 1, [10.0]), (1, 1, [11.0])]
    features = sysu(rows)
    (trial, *_) = euclidean(MULTI, features, permutations_of(features))
    assert trial.num_gallery == 5
    assert trial.cmc.tolist() == [0.0, 1.0]
    assert trial.metrics["mAP"] == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert trial.metrics["mINP"] == pytest.approx(2 / 5)


def test_identity_and_image_curves_differ_on_one_list():
    features = regdb([(1, 0.0)], [(2, 1.0), (2, 2.0), (3, 3.0), (1, 4.0)])
    by_image = euclidean(V2T, features)[0]
    by_identity = euclidean(dataclasses.replace(V2T, cmc_unit="identity"), features)[0]
    assert by_image.cmc.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert by_identity.cmc.tolist() == [0.0, 0.0, 1.0]
    assert by_image.metrics["mAP"] == by_identity.metrics["mAP"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("match_first", [True, False])
def test_ties_stand_in_the_order_of_the_paths(match_first: bool):
    tied = [(1, 1.0), (2, 1.0)] if match_first else [(2, 1.0), (1, 1.0)]
    features = regdb([(1, 0.0)], [*tied, *[(2, 1.0)] * 40])
    for rows in (np.arange(len(features)), np.arange(len(features))[::-1]):
        (trial,) = euclidean(V2T, features.subset(rows))
        assert trial.metrics["mAP"] == (1.0 if match_first else 0.5)


@pytest.mark.parametrize(
    ("match", "others", "first"),
    [
        ((1, 7), [(2, 3)], True),  # camera before identity
        ((2, 3), [(1, 7)], False),
        ((1, 3), [(1, 7)], True),  # identity inside a camera
        ((1, 7), [(1, 3)], False),
    ],
)
def test_ties_in_a_drawn_gallery_stand_by_camera_then_identity(
    match: tuple[int, int], others: list[tuple[int, int]], first: bool
):
    rows = [(6, match[1], [0.0]), *[(cam, pid, [1.0]) for cam, pid in (*others, match)]]
    features = sysu(rows)
    (trial, *_) = euclidean(SINGLE, features, permutations_of(features))
    assert trial.metrics["rank1"] == float(first)


def test_rank_beyond_the_gallery_is_the_curves_last_value():
    features = regdb([(1, 0.0), (1, 2.1)], [(1, 1.0), (2, 2.0), (2, 3.0)])
    (trial,) = euclidean(V2T, features)
    assert trial.cmc.tolist() == [0.5, 0.5, 1.0]
    assert [trial.metrics[f"rank{k}"] for k in (1, 5, 10, 20)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("gallery", "length"), [(49, 49), (50, 50), (51, 50), (120, 50)])
def test_curve_ends_at_rank_50_or_with_the_list(gallery: int, length: int):
    (trial,) = euclidean(V2T, regdb([(0, 0.0)], [(pid, pid) for pid in range(gallery)]))
    assert len(trial.cmc) == length


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("name", ["sysu_all_multi", "regdb_t2v"])
def test_chunks_change_no_score(monkeypatch: pytest.MonkeyPatch, name: str, chunk: int):
    features = random_sysu(4) if name.startswith("sysu") else random_regdb(4)
    permutations = permutations_of(features, 4)
    whole = evaluate(PROTOCOLS[name], features, permutations=permutations)
    monkeypatch.setattr(ranking, "CHUNK", chunk)
    assert len(features) > 64
    parts = evaluate(PROTOCOLS[name], features, permutations=permutations)
    for one, other in zip(whole, parts, strict=True):
        assert_scores_equal(one, other, tolerance=0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_inputs_are_not_changed(metric: str):
    features = random_sysu(5)
    permutations = permutations_of(features, 5)
    names = ("features", "pids", "camids", "modality", "paths")
    columns = {name: getattr(features, name).copy() for name in names}
    copies = {key: rows.copy() for key, rows in permutations.items()}
    evaluate(SINGLE, features, permutations=permutations, metric=metric)
    for name, column in columns.items():
        np.testing.assert_array_equal(getattr(features, name), column)
    for key, rows in copies.items():
        np.testing.assert_array_equal(permutations[key], rows)


def test_order_of_the_images_changes_no_score():
    features = random_sysu(6)
    permutations = permutations_of(features, 6)
    shuffled = features.subset(np.random.default_rng(0).permutation(len(features)))
    one = evaluate(MULTI, features, permutations=permutations)
    other = evaluate(MULTI, shuffled, permutations=permutations)
    for a, b in zip(one, other, strict=True):
        assert_scores_equal(a, b)


def test_default_metric_is_the_protocols_own():
    features = random_regdb(0)
    assert V2T.metric == "cosine"
    automatic, cosine = (evaluate(V2T, features, metric=m)[0] for m in ("auto", "cosine"))
    assert automatic.metrics == cosine.metrics
    assert automatic.metrics != euclidean(V2T, features)[0].metrics


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("row", "part"), [(0, "query"), (1, "gallery")])
def test_features_that_are_not_finite_are_refused(bad: float, row: int, part: str):
    features = regdb([(1, 0.0)], [(1, 1.0), (2, 2.0)])
    features.features[row] = bad
    with pytest.raises(DataError, match=rf"{part} features of 1 images are not finite.*000{row}"):
        evaluate(V2T, features)


@pytest.mark.parametrize(
    ("features", "part"),
    [(regdb([], [(1, 0.0)]), "query"), (regdb([(1, 0.0)], []), "gallery")],
    ids=["query", "gallery"],
)
def test_features_without_one_side_are_refused(features: FeatureSet, part: str):
    with pytest.raises(DataError, match=f"regdb_v2t: there is no {part} image"):
        evaluate(V2T, features)


def test_groups_expand_once_in_the_order_asked_for():
    names = [protocol.name for protocol in expand(["regdb_t2v", "sysu", "regdb"])]
    assert names == ["regdb_t2v", *SYSU_NAMES, "regdb_v2t"]
    with pytest.raises(ValueError, match="unknown protocol 'sysu_all'.*regdb_v2t.*sysu_all_single"):
        expand(["sysu_all"])


def test_features_whose_squares_overflow_are_refused():
    features = regdb([(1, 0.0)], [(1, 1.0)])
    huge = dataclasses.replace(features, features=np.array([[0.0], [1e200]]))
    with pytest.raises(DataError, match="squares"):
        evaluate(PROTOCOLS["regdb_v2t"], huge)


@pytest.mark.parametrize("value", [0.0, 1e-200])
@pytest.mark.parametrize(("row", "part"), [(0, "query"), (2, "gallery")])
def test_features_of_zeros_have_no_cosine(value: float, row: int, part: str):
    features = regdb([(1, 1.0)], [(1, 1.0), (2, 2.0)])
    features = dataclasses.replace(features, features=features.features.astype(np.float64))
    features.features[row] = value
    with pytest.raises(DataError, match=rf"{part} features of 1 images are zero, first 000{row}"):
        evaluate(V2T, features)
    with pytest.raises(
        DataError, match=rf"query and gallery features of 1 images are zero, first 000{row}"
    ):
        evaluate_reranked(V2T, features)
    assert euclidean(V2T, features)
