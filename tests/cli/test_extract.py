"""A run's features, saved and scored without the network, give the run's own scores."""

import json
from pathlib import Path

import numpy as np
import pytest

from vireid.cli import evaluate, extract
from vireid.evaluation.feature_files import read_features


def test_saved_features_score_as_the_run_did(finished_run, tiny_sysu, tmp_path, capsys):
    path = tmp_path / "features.npz"
    assert extract.main(["--run", str(finished_run), "--out", str(path)]) == 0
    assert f"wrote {path}: 40 images, 224 numbers each" in capsys.readouterr().out
    permutations = ["--permutations", str(tiny_sysu / "exp/rand_perm_cam.mat")]
    arguments = ["--features", str(path), "--protocols", "sysu_all_single", *permutations]
    assert evaluate.main(arguments) == 0
    own, again = (
        json.loads(file.read_text())["protocols"]["sysu_all_single"]
        for file in (finished_run / "results.json", tmp_path / "results.json")
    )
    assert again == own


@pytest.mark.parametrize(
    ("split", "options", "identities"),
    [("train", [], 8), ("train", ["DATA.SPLIT", "train"], 6), ("val", ["DATA.SPLIT", "train"], 2)],
)
def test_other_splits_hold_their_identities(finished_run, tmp_path, split, options, identities):
    path = tmp_path / "f.npz"
    arguments = ["--run", str(finished_run), "--split", split, "--out", str(path)]
    assert extract.main([*arguments, *options]) == 0
    found = read_features(path)
    assert len(set(found.pids.tolist())) == identities
    assert np.isfinite(found.features).all() and found.features.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "code", "phrase"),
    [
        (["--split", "val"], 3, "DATA.SPLIT train"),
        (["MODEL.BACKBONE", "osnet_x0_5"], 4, "another model"),
        (["TEST.FLPI", "true"], 2, "TEST.FLIP"),
        (["--out", "nowhere/f.npz"], 2, "nowhere"),
        (["--run", "tests"], 4, "config.yaml"),
    ],
)
def test_mistakes_leave_no_file(finished_run, tmp_path, capsys, arguments, code, phrase):
    out = ["--out", str(tmp_path / "f.npz")]
    assert extract.main(["--run", str(finished_run), *out, *arguments]) == code
    assert phrase in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
