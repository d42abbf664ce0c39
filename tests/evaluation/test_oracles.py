"""Scores that other people's code gave for the same features.

RegDB's and LLCM's travel with the project. SYSU-MM01's need its official split files (in the
folder that VIREID_SYSU_SPLITS names, or beside the project) and their expected values there.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tests.evaluation.known_features import (
    llcm_features,
    official_cells,
    regdb_features,
    sysu_features,
)
from vireid.evaluation.evaluate import TrialScores, evaluate_all
from vireid.evaluation.feature_files import read_features
from vireid.evaluation.protocols import PROTOCOLS, expand, with_draw
from vireid.evaluation.query_gallery import Permutations, read_permutations
from vireid.structures import FeatureSet

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SPLITS = Path(os.environ.get("VIREID_SYSU_SPLITS", SHARED / "sysu_mm01"))
ORACLES = SHARED / "oracles"
EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
NAMES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")
GALLERIES = {"sysu_all_single": 301, "sysu_all_multi": 3010}
GALLERIES |= {"sysu_indoor_single": 112, "sysu_indoor_multi": 1120}

needs_splits = pytest.mark.skipif(
    not (SPLITS / "rand_perm_cam.mat").is_file(), reason=f"no official split files in {SPLITS}"
)
needs_oracles = pytest.mark.skipif(not ORACLES.is_dir(), reason=f"{ORACLES} is not there")


def assert_meets(trials: list[TrialScores], truth: dict[str, Any], tolerance: float) -> None:
    means = {name: np.mean([trial.metrics[name] for trial in trials]) for name in NAMES}
    for name in set(NAMES) & set(truth):
        assert means[name] == pytest.approx(truth[name], abs=tolerance), name
    for key, name in (("trials_rank1", "rank1"), ("trials_mAP", "mAP"), ("mAP_trials", "mAP")):
        found = [trial.metrics[name] for trial in trials]
        if key in truth:
            np.testing.assert_allclose(found, truth[key], rtol=0, atol=tolerance, err_msg=key)
    for trial in trials:
        assert trial.num_query == truth.get("num_query", trial.num_query)
        assert trial.num_gallery == truth.get("num_gallery", trial.num_gallery)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", ["regdb", "llcm"])
def test_usual_scores_are_met(group: str, dtype: type):
    known = {"regdb": regdb_features, "llcm": llcm_features}[group](11)
    columns = (known.pids, known.camids, known.modality, known.paths)
    features = FeatureSet(known.features.astype(dtype), *columns)
    found = evaluate_all(expand([group]), features)
    assert len(found) == 2
    for name, trials in found.items():
        assert_meets(trials, EXPECTED[name], 1e-6)


def test_one_llcm_query_has_no_match_outside_its_own_camera():
    found = evaluate_all(expand(["llcm"]), llcm_features(11))
    assert {trial.num_valid_query for trial in found["llcm_v2n"]} == {1511}
    assert {trial.num_valid_query for trial in found["llcm_n2v"]} == {1366}


@pytest.fixture(scope="module")
def permutations() -> Permutations:
    return read_permutations(SPLITS / "rand_perm_cam.mat")


@pytest.fixture(scope="module")
def counts(permutations: Permutations) -> dict[tuple[int, int], int]:
    """Test images by camera and identity, cameras outside."""
    pids = sorted(loadmat(SPLITS / "test_id.mat")["id"].ravel().tolist())
    return {
        (camera, pid): permutations[camera, pid].shape[1]
        for camera in range(1, 7)
        for pid in pids
        if (camera, pid) in permutations
    }


@pytest.fixture(scope="module")
def official(counts: dict[tuple[int, int], int], tmp_path_factory) -> FeatureSet:
    folder = tmp_path_factory.mktemp("official")
    cameras = loadmat(SPLITS / "rand_perm_cam.mat")["rand_perm_cam"].ravel()
    sizes = {camera: cells.size for camera, cells in enumerate(cameras, start=1)}
    for camera, cells in official_cells(counts, sizes, seed=11, noise=2.0).items():
        savemat(folder / f"feat_cam{camera}.mat", {"feature": cells})
    features = read_features(folder)
    assert features.features.dtype == np.float64
    return features


@needs_splits
def test_official_galleries_have_the_published_sizes(
    official: FeatureSet, permutations: Permutations
):
    found = evaluate_all(expand(["sysu"]), official, permutations=permutations)
    for name, trials in found.items():
        assert {trial.num_gallery for trial in trials} == {GALLERIES[name]}
        assert {trial.num_query for trial in trials} == {3803}
        valid = 2208 if "indoor" in name else 3803
        assert {trial.num_valid_query for trial in trials} == {valid}


@needs_splits
@needs_oracles
def test_official_sysu_scores_are_met(official: FeatureSet, permutations: Permutations):
    truth = json.loads((ORACLES / "sysu_official.json").read_text(encoding="utf-8"))
    found = evaluate_all(expand(["sysu"]), official, permutations=permutations, metric="euclidean")
    assert set(found) == set(truth)
    for name, trials in found.items():
        assert_meets(trials, truth[name], 1e-8)


@needs_splits
@needs_oracles
def test_seeded_sysu_scores_are_met(counts: dict[tuple[int, int], int]):
    truth = json.loads((ORACLES / "python_protocols.json").read_text(encoding="utf-8"))
    names = ("sysu_all_single", "sysu_indoor_single")
    protocols = [with_draw(PROTOCOLS[name], "seeded") for name in names]
    for name, trials in evaluate_all(protocols, sysu_features(counts, 11)).items():
        assert_meets(trials, truth[name], 1e-6)
