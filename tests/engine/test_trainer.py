"""Training continues exactly, whatever stopped it, and stops when it must."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.run_files import (
    assert_same_training,
    assert_weighted_sum,
    last,
    metrics,
    stop_at_step,
    weights_of_terms,
)
from vireid.cli import train
from vireid.engine.trainer import Trainer
from vireid.runs.score import score

STEPS = 6  # of an epoch


def rows_written(folder) -> int:
    path = folder / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def test_metrics_hold_every_term_and_their_weighted_sum(finished_run):
    rows = metrics(finished_run)
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert [int(row["steps"]) for row in rows] == [STEPS, STEPS]
    for row in rows:
        assert_weighted_sum(row, weights_of_terms())
        assert 0 <= float(row["accuracy"]) <= 1
    assert float(rows[1]["lr"]) == pytest.approx(float(rows[0]["lr"]) / 10)


def test_training_lowers_the_loss(finished_run):
    rows = metrics(finished_run)
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize("change", ["DATA.WORKERS=2", "SEED=0"])
def test_the_same_seed_gives_the_same_training(tiny_command, finished_run, tmp_path, change):
    assert train.main(tiny_command(tmp_path / "again", change)) == 0
    assert_same_training(tmp_path / "again", finished_run)


def test_another_seed_gives_another_training(tiny_command, finished_run, tmp_path):
    assert train.main(tiny_command(tmp_path / "other", "SEED=1", "SOLVER.EPOCHS=1")) == 0
    assert metrics(tmp_path / "other")[0] != metrics(finished_run)[0]


@pytest.mark.parametrize(
    ("step", "number"), [(2, signal.SIGTERM), (5, signal.SIGINT), (STEPS, signal.SIGTERM)]
)
def test_a_signal_saves_the_step_and_resuming_changes_nothing(
    tiny_command, finished_run, tmp_path, monkeypatch, capsys, step, number
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at_step(patch, step, number)
        assert train.main(tiny_command(folder)) == 128 + number
    assert "--resume" in capsys.readouterr().err
    progress = last(folder)["progress"]
    assert progress["epoch"] * STEPS + progress["step"] == step
    assert train.main([*tiny_command(folder), "--resume"]) == 0
    assert_same_training(folder, finished_run)


@pytest.mark.parametrize("where", ["last step", "scoring"])
def test_a_signal_after_the_training_still_stops_and_the_command_finishes(
    tiny_command, finished_run, tmp_path, monkeypatch, capsys, where
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        if where == "last step":
            stop_at_step(patch, 2 * STEPS, signal.SIGINT)
        else:
            patch.setattr("vireid.runs.pipeline.score", interrupted)
        patch.setattr(sys, "argv", ["tools/train.py"])
        assert train.main(tiny_command(folder)) == 130
    assert not (folder / "results.json").exists()
    python, tool, *arguments = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert (python, Path(tool)) == ("python", Path("tools/train.py").resolve())
    assert train.main(arguments) == 0
    assert_same_training(folder, finished_run)
    assert (folder / "results.json").read_text().count('"rank1"') == 12


VALIDATED = ("DATA.SPLIT=train", "SOLVER.VAL_EVERY=1", "SOLVER.SELECT=best")


@pytest.fixture(scope="module")
def validated_run(tiny_command, tmp_path_factory):
    """Two epochs with validation. Never write into it."""
    folder = tmp_path_factory.mktemp("validated") / "run"
    assert train.main(tiny_command(folder, *VALIDATED)) == 0
    return folder


@pytest.mark.parametrize("where", ["validation", "wait"])
def test_a_signal_ends_validation_and_the_wait_for_a_batch(
    tiny_command, validated_run, tmp_path, monkeypatch, capsys, where
):
    """Both at the second epoch; what was trained before is not lost."""
    name = "vireid.runs.pipeline.score" if where == "validation" else "vireid.data.loading.iter"
    real, calls = score if where == "validation" else iter, []

    def stopped(*args, **kwargs):
        calls.append(1)
        if len(calls) == (2 if where == "validation" else 3):  # validations have a loader, too
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        return real(*args, **kwargs)

    folder, started = tmp_path / "run", time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(name, stopped, raising=False)
        assert train.main(tiny_command(folder, *VALIDATED)) == 143
    assert time.monotonic() - started < 25
    assert f"{folder}/checkpoints/last.pth" in capsys.readouterr().err
    steps = int(metrics(validated_run)[0]["steps"])
    assert last(folder)["progress"]["step"] == (steps if where == "validation" else 0)
    assert train.main([*tiny_command(folder, *VALIDATED), "--resume"]) == 0
    assert_same_training(folder, validated_run)


@pytest.mark.slow
def test_a_signal_to_the_whole_process_group_saves_too(tiny_command, tmp_path):
    """As batch systems send it: the loader processes get it as well."""
    folder = tmp_path / "run"
    extra = ("SOLVER.EPOCHS=50", "SOLVER.STEPS=[]", "DATA.WORKERS=2")
    process = subprocess.Popen(
        [sys.executable, "tools/train.py", *tiny_command(folder, *extra)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not rows_written(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 143 and "Traceback" not in error, error
    assert "--resume" in error


def test_a_run_killed_before_its_first_epoch_ended_can_be_resumed(
    tiny_command, finished_run, tmp_path, monkeypatch
):
    def killed(self, batch):
        raise MemoryError  # stands for whatever ends a process without a word

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(MemoryError):
            train.main(tiny_command(tmp_path / "run"))
    assert train.main([*tiny_command(tmp_path / "run"), "--resume"]) == 0
    assert_same_training(tmp_path / "run", finished_run)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    tiny_command, tmp_path, capsys
):
    folder = tmp_path / "run"
    assert train.main(tiny_command(folder, "SOLVER.BASE_LR=1e30")) == 5
    error = capsys.readouterr().err
    assert "not finite" in error and "loss_identity" in error
    assert all(torch.isfinite(value).all() for value in last(folder)["model"].values())


def test_best_epoch_is_chosen_on_validation_identities(validated_run):
    folder = validated_run
    rows = metrics(folder)
    means = [(float(r["val_v2i_mAP"]) + float(r["val_i2v_mAP"])) / 2 for r in rows]
    best = torch.load(folder / "checkpoints/best.pth", weights_only=True)["progress"]
    assert best["epoch"] == 1 + means.index(max(means))
    assert best["best"]["mAP"] == pytest.approx(max(means))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_other_optimisers_and_losses_train(tiny_command, tmp_path, optimizer):
    extra = "LOSS.TRIPLET.WEIGHT=0 LOSS.WEIGHTED_TRIPLET.WEIGHT=0.5 LOSS.HETERO_CENTER.WEIGHT=2 "
    extra += "LOSS.PART_TRIPLET.KIND=weighted LOSS.SDM.WEIGHT=0 INPUT.SECOND_VISIBLE=true "
    extra += f"SOLVER.OPTIMIZER={optimizer} SOLVER.BACKBONE_LR_FACTOR=0.1 SOLVER.EPOCHS=1"
    assert train.main(tiny_command(tmp_path / "run", *extra.split(), "PRECISION=bf16")) == 0
    weights = dict.fromkeys(("identity", "part_identity", "part_triplet"), 1.0)
    weights |= {"weighted_triplet": 0.5, "hetero_center": 2.0}
    assert_weighted_sum(metrics(tmp_path / "run")[0], weights)
