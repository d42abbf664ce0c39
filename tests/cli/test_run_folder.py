"""What a finished run leaves behind, and what evaluating it again gives."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch
import yaml
from PIL import Image

from vireid.cli import evaluate, train

RUN_FILES = {"config.yaml", "command.txt", "environment.json", "log.txt", "metrics.csv"}
RUN_FILES |= {"results.json", "checkpoints", "figures"}


def results(path) -> dict:
    return json.loads(path.read_text())


def test_a_run_folder_holds_what_the_contract_names(finished_run):
    names = {entry.name for entry in finished_run.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    with_tensorboard = find_spec("tensorboard") is not None
    assert len(events) == with_tensorboard  # one file, whatever the number of epochs
    assert names - events == RUN_FILES | ({"trackers.json"} if with_tensorboard else set())
    assert [p.name for p in (finished_run / "checkpoints").iterdir()] == ["last.pth"]
    for name in ("learning_curves.png", "cmc.png"):
        with Image.open(finished_run / "figures" / name) as image:
            assert min(image.size) > 300
    environment = results(finished_run / "environment.json")
    assert environment["torch"] == torch.__version__
    assert len(environment["data"]["fingerprint"]) == 64


def test_results_follow_the_schema(finished_run):
    content = results(finished_run / "results.json")
    assert content["format"] == 1
    entry = content["protocols"]["sysu_all_single"]
    assert entry["gallery_draw"] == "official" and entry["cmc_unit"] == "identity"
    assert entry["num_query"] == entry["num_valid_query"] == 4 * 2 * 2
    assert len(entry["trials"]) == 10
    for metric in ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"):
        mean = sum(trial[metric] for trial in entry["trials"]) / 10
        assert entry["mean"][metric] == pytest.approx(mean)
        assert 0 <= entry["mean"][metric] <= 1
    assert entry["cmc"][-1] == 1  # four identities: found at rank 4 at the latest
    assert content["source"]["epoch"] == 2 and content["source"]["input_size"] == [64, 32]


@pytest.mark.parametrize("words", ["", "--protocols sysu_all_single TEST.FLIP true --device cpu"])
def test_evaluating_again_gives_the_same_scores_unless_options_change(
    finished_run, tmp_path, words
):
    out = tmp_path / "again.json"
    assert evaluate.main(["--run", str(finished_run), "--out", str(out), *words.split()]) == 0
    again, own = results(out), results(finished_run / "results.json")
    assert again["source"]["flip"] is bool(words)
    assert (again["protocols"] == own["protocols"]) is not bool(words)


def test_changed_options_are_listed_when_resuming(tiny_command, run, capsys):
    arguments = tiny_command(run, "SOLVER.EPOCHS=3", "LOSS.TRIPLET.MARGIN=0.5")
    assert train.main([*arguments, "--resume"]) == 0
    output = capsys.readouterr().out
    assert "SOLVER.EPOCHS 2 → 3" in output and "LOSS.TRIPLET.MARGIN 0.3 → 0.5" in output
    assert results(run / "results.json")["source"]["epoch"] == 3


def test_resume_from_a_run_folder_continues_in_it(tiny_command, run):
    arguments = tiny_command(run, "SOLVER.EPOCHS=3")[:-2]  # no OUTPUT_DIR
    assert train.main([*arguments, "--resume", str(run)]) == 0
    assert len((run / "metrics.csv").read_text().splitlines()) == 4


def test_checkpoints_are_kept_every_so_often(tiny_command, tmp_path):
    folder = tmp_path / "run"
    extra = ("SOLVER.CHECKPOINT_EVERY=1", "SOLVER.EPOCHS=1")
    assert train.main(tiny_command(folder, *extra)) == 0
    kept = torch.load(folder / "checkpoints/epoch_001.pth", weights_only=True)
    assert kept["progress"]["epoch"] == 1
    assert yaml.safe_load(kept["config"])["SOLVER"]["EPOCHS"] == 1


def test_identities_of_one_modality_are_told_at_the_start(tiny_command, tiny_sysu, tmp_path):
    root = shutil.copytree(tiny_sysu, tmp_path / "data")
    for camera in (3, 6):
        shutil.rmtree(root / f"cam{camera}/0002")
    extra = (f"DATA.ROOT={root}", "SOLVER.EPOCHS=1")
    assert train.main(tiny_command(tmp_path / "run", *extra)) == 0
    lines = (tmp_path / "run/log.txt").read_text().splitlines()
    assert lines[1].strip() == "of these, 1 identity has visible images only: 2"
