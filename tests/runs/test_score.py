"""A trained network is scored on what it has not seen, and no earlier score is lost."""

import json
import shutil

import numpy as np
import pytest
import yaml
from scipy.io import loadmat, savemat

from tests.run_files import change_checkpoint, last
from vireid.cli import evaluate, train
from vireid.cli.sources import run_config
from vireid.engine.checkpoint import LAST
from vireid.runs.saved_features import NAMING
from vireid.runs.score import SCORING
from vireid.runs.trained_run import TrainedRun
from vireid.synthetic.writers import write_set

ALL = ("--protocols", "sysu_all_single")


def source(path) -> dict:
    return json.loads(path.read_text())["source"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["TEST.FLIP", "true"], "results_flip-true.json"),
        (["TEST.METRIC", "euclidean"], "results_metric-euclidean.json"),
        (["INPUT.SIZE", "[64, 48]"], "results_size-64-48.json"),
        (["TEST.EXIT", "shallow2"], "results_exit-shallow2.json"),
        (["TEST.EMBED", "parts"], "results_embed-parts.json"),
    ],
)
def test_other_options_are_scored_beside_the_runs_own(run, options, name):
    before = (run / "results.json").read_bytes()
    assert evaluate.main(["--run", str(run), *ALL, *options]) == 0
    assert (run / "results.json").read_bytes() == before
    assert (run / name).is_file()


def test_options_without_parameters_make_another_network_of_the_same_weights(run):
    cfg = run_config(run, ["MODEL.DIRECTIONAL.SPATIAL_NORM", "none"])
    trained = TrainedRun.open(cfg, run)
    for keys in (SCORING, NAMING):
        assert trained.differences(keys) == ["spatial_norm-none"]


def test_a_run_that_was_moved_keeps_its_scores(run):
    assert evaluate.main(["--run", str(run), "--protocols", "sysu_indoor_single"]) == 0
    scores = json.loads((run / "results.json").read_text())["protocols"]
    assert set(scores) == {"sysu_all_single", "sysu_indoor_single"}


def test_other_data_of_the_same_set_need_a_file_of_their_own(run, tiny_sysu, tmp_path, capsys):
    other = shutil.copytree(tiny_sysu, tmp_path / "other")
    image = next((other / "cam3").rglob("*.jpg"))
    image.write_bytes(image.read_bytes() + b"\0")
    words, before = ["--run", str(run), "--root", str(other)], sorted(run.rglob("*"))
    assert evaluate.main(words) == 2
    assert f"other images in {other}: these are not the data of the run {run}" in (
        capsys.readouterr().err
    )
    path = tmp_path / "other.json"
    assert evaluate.main([*words, "--out", str(path)]) == 0
    assert sorted(run.rglob("*")) == before
    assert source(path)["data"] != source(run / "results.json")["data"]


def test_other_validation_identities_need_a_file_of_their_own(run, tmp_path, capsys):
    """Also a part of the run's own, which did not train it either."""
    unseen = last(run)["pids"][0]
    change_checkpoint(run / LAST, pids=last(run)["pids"][1:])
    (file := tmp_path / "val.txt").write_text(f"{unseen}\n")
    words = ["--run", str(run), "--protocols", "val_v2i"]
    words += ["DATA.SPLIT", "train", "DATA.VAL_IDS", str(file)]
    assert evaluate.main(words) == 2
    assert f"DATA.VAL_IDS {file}: these are not the data of the run" in capsys.readouterr().err


def test_another_data_set_needs_a_file_for_its_results(run, tmp_path, capsys):
    """Whose folder it is does not change; nothing is computed first."""
    write_set(
        "llcm",
        tmp_path / "llcm",
        train_ids=2,
        test_ids=2,
        images_per_camera=1,
        size=(32, 32),
        seed=1,
    )
    words = ["--run", str(run), "--dataset", "llcm", "--root", str(tmp_path / "llcm")]
    before = sorted(run.rglob("*"))
    assert evaluate.main([*words, "--protocols", "llcm_n2v"]) == 2
    error = capsys.readouterr().err
    assert f"llcm in {tmp_path / 'llcm'}" in error and "with --out" in error
    assert sorted(run.rglob("*")) == before
    moved = shutil.copytree(run, tmp_path / "elsewhere")  # its own data, wherever they lie
    assert evaluate.main(["--run", str(moved), *ALL]) == 0


def test_identities_that_were_trained_are_not_scored(run, capsys):
    arguments = ["--run", str(run), "--protocols", "val", "DATA.SPLIT", "train"]
    assert evaluate.main(arguments) == 3
    assert "was trained on 2 of its 2 identities" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["nowhere/results.json", ""])
def test_a_bad_out_is_noticed_before_the_work(run, tmp_path, capsys, out):
    assert evaluate.main(["--run", str(run), "--out", str(tmp_path / out)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_mistyped_option_after_protocols_is_no_protocol(run, capsys):
    assert evaluate.main(["--run", str(run), *ALL, "TEST.FLPI", "true"]) == 2
    assert "did you mean TEST.FLIP" in capsys.readouterr().err


def test_an_unfinished_epoch_is_said(run, caplog, capsys):
    change_checkpoint(run / LAST, progress={"step": 1})
    assert evaluate.main(["--run", str(run), *ALL]) == 0
    assert "within epoch 3" in capsys.readouterr().out + caplog.text


@pytest.mark.parametrize("damage", ["rows", "images"])
def test_permutations_that_do_not_fit_are_noticed_before_training(
    tiny_command, tiny_sysu, tmp_path, capsys, damage
):
    root = shutil.copytree(tiny_sysu, tmp_path / "data")
    path = root / "exp/rand_perm_cam.mat"
    cells = loadmat(path)["rand_perm_cam"]
    for pid in range(8, 12):
        rows = cells[3, 0][pid, 0]
        cells[3, 0][pid, 0] = rows[:9] if damage == "rows" else np.ones((10, 1), np.uint8)
    savemat(path, {"rand_perm_cam": cells})
    assert train.main(tiny_command(tmp_path / "run", f"DATA.ROOT={root}")) == 3
    assert "permutations" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_seeded_gallery_is_scored_beside_the_official_one(run):
    assert evaluate.main(["--run", str(run), *ALL, "--gallery-draw", "seeded"]) == 0
    seeded = json.loads((run / "results_gallery_draw-seeded.json").read_text())["protocols"]
    assert seeded["sysu_all_single"]["gallery_draw"] == "seeded"
    official = json.loads((run / "results.json").read_text())["protocols"]
    assert official["sysu_all_single"]["gallery_draw"] == "official"


def test_reranked_scores_join_the_plain_ones(run):
    before = json.loads((run / "results.json").read_text())["protocols"]
    assert evaluate.main(["--run", str(run), *ALL, "--rerank"]) == 0
    after = json.loads((run / "results.json").read_text())["protocols"]
    assert list(after) == ["sysu_all_single", "sysu_all_single+rerank"]
    assert after["sysu_all_single"] == before["sysu_all_single"]
    assert after["sysu_all_single+rerank"]["reranked"] is True


def test_other_constants_of_reranking_have_a_file_of_their_own(run, capsys):
    words = ["--run", str(run), *ALL, "TEST.EXPANSION", "true", "TEST.RERANK_K1", "4"]
    assert evaluate.main([*words, "--rerank", "--expansion-k", "2"]) == 0
    printed = capsys.readouterr().out
    assert "+rerank: after k-reciprocal re-ranking (k1 = 4, k2 = 6, λ = 0.3)" in printed
    path = run / "results_rerank_k1-4_expansion_k-2.json"
    found = json.loads(path.read_text())["protocols"]
    names = ["sysu_all_single" + suffix for suffix in ("", "+rerank", "+expansion")]
    assert list(found) == names
    assert found[names[1]]["rerank"] == {"k1": 4, "k2": 6, "lambda": 0.3}
    assert found[names[2]]["expansion"] == {"k": 2, "alpha": 3.0}
    assert evaluate.main([*words, "--aim-k1", "2"]) == 2
    assert "--aim-k1 is a constant of --aim" in capsys.readouterr().err
    assert evaluate.main([*words, "TEST.AIM", "true", "TEST.AIM_K1", "9999"]) == 3
    assert "asks for the 9999 nearest gallery images" in capsys.readouterr().err


def test_a_run_of_an_older_version_lacks_newer_options(run):
    options = yaml.safe_load(last(run)["config"])
    del options["TEST"]["GALLERY_DRAW"]
    change_checkpoint(run / LAST, config=yaml.safe_dump(options))
    assert evaluate.main(["--run", str(run), *ALL]) == 0
    assert [file.name for file in run.glob("results*.json")] == ["results.json"]
