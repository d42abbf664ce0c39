"""Scores that other people's code gave for the same features (shared/oracles)."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.io import loadmat

from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.gallery import Permutations, read_permutations
from vireid.evaluation.protocols import PROTOCOLS
from vireid.structures import FeatureSet

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
ORACLES = SHARED / "oracles"
SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP")

pytestmark = pytest.mark.skipif(not ORACLES.is_dir(), reason=f"{ORACLES} is not there")


def expected(file: str, name: str) -> dict:
    return json.loads((ORACLES / file).read_text(encoding="utf-8"))[name]


@pytest.fixture(scope="module")
def make_features() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_features", ORACLES / "make_features.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_official_folder(folder: Path) -> FeatureSet:
    """``*_cam1.mat`` … ``*_cam6.mat``, each with a row of ``feature{id}`` per image."""
    features, pids, camids, paths = [], [], [], []
    for cam in range(1, 7):
        (file,) = folder.glob(f"*_cam{cam}.mat")
        for pid, rows in enumerate(loadmat(file)["feature"].ravel(), start=1):
            features.append(rows.reshape(len(rows), -1) if rows.size else np.empty((0, 32)))
            pids += [pid] * len(features[-1])
            camids += [cam] * len(features[-1])
            paths += [f"cam{cam}/{pid:04d}/{k + 1:04d}.jpg" for k in range(len(features[-1]))]
    cams = np.array(camids)
    modality = np.isin(cams, (3, 6)).astype(np.uint8)
    return FeatureSet(np.concatenate(features), np.array(pids), cams, modality, np.array(paths))


@pytest.fixture(scope="module")
def official_features(
    make_features: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> FeatureSet:
    folder = tmp_path_factory.mktemp("official")
    make_features.sysu_mat(11, folder, 32, 2.0)
    features = read_official_folder(folder)
    assert features.features.dtype == np.float64
    return features


@pytest.fixture(scope="module")
def regdb_features(
    make_features: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> FeatureSet:
    path = tmp_path_factory.mktemp("regdb") / "features.npz"
    make_features.regdb(11, path)
    with np.load(path, allow_pickle=False) as file:
        names = ("features", "pids", "camids", "modality", "paths")
        return FeatureSet(**{name: file[name] for name in names})


@pytest.fixture(scope="module")
def permutations() -> Permutations:
    return read_permutations(SHARED / "sysu_mm01" / "rand_perm_cam.mat")


@pytest.mark.parametrize(
    ("name", "num_gallery"),
    [
        ("sysu_all_single", 301),
        ("sysu_all_multi", 3010),
        ("sysu_indoor_single", 112),
        ("sysu_indoor_multi", 1120),
    ],
)
def test_official_sysu_scores_are_met(
    official_features: FeatureSet, permutations: Permutations, name: str, num_gallery: int
):
    truth = expected("sysu_official.json", name)
    trials = evaluate(
        PROTOCOLS[name], official_features, permutations=permutations, metric="euclidean"
    )
    counts = {(t.num_query, t.num_valid_query, t.num_gallery) for t in trials}
    for score in SCORES:
        mean = np.mean([trial.metrics[score] for trial in trials])
        assert mean == pytest.approx(truth[score], abs=1e-8), score
    found = [trial.metrics["mAP"] for trial in trials]
    np.testing.assert_allclose(found, truth["mAP_trials"], rtol=0, atol=1e-8)
    assert {gallery for _, _, gallery in counts} == {num_gallery}
    assert {query for query, _, _ in counts} == {3803}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["regdb_v2t", "regdb_t2v"])
def test_usual_regdb_scores_are_met(regdb_features: FeatureSet, name: str, dtype: type):
    truth = expected("python_protocols.json", name)
    features = FeatureSet(
        regdb_features.features.astype(dtype),
        *(getattr(regdb_features, f) for f in ("pids", "camids", "modality", "paths")),
    )
    (trial,) = evaluate(PROTOCOLS[name], features)
    for score in (*SCORES, "mINP"):
        assert trial.metrics[score] == pytest.approx(truth[score], abs=1e-6), score
    counts = trial.num_query, trial.num_valid_query, trial.num_gallery
    assert counts == (truth["num_query"], truth["num_query"], truth["num_gallery"])
