"""What a continuation may change, what it refuses, and what it leaves in a new folder."""

import shutil

import pytest
import torch
import yaml

from tests.faults.trainings import differences
from tests.run_files import change_checkpoint, last, rows
from vireid.cli import make_synthetic, train
from vireid.engine.checkpoint import BEST, LAST, load_checkpoint
from vireid.engine.trainer import Trainer
from vireid.errors import UsageError
from vireid.runs import pipeline

VALIDATED = ("DATA.SPLIT=train", "SOLVER.VAL_EVERY=1", "SOLVER.SELECT=best")


@pytest.fixture
def halfway(tiny_command, finished_run, tmp_path):
    """A run whose last checkpoint stands within its second epoch."""
    folder = shutil.copytree(finished_run, tmp_path / "halfway")
    done = {"epoch": 1, "step": 2, "sums": {"loss": 1.0, "accuracy": 0.0}}
    history = last(folder)["progress"]["history"][:1]
    change_checkpoint(folder / LAST, progress=done | {"history": history})
    return folder


def test_what_may_change_takes_effect(tiny_command, tiny_sysu, run, tmp_path, capsys):
    """Options of the optimiser, a loss that joins, and the place of the data; weights do not."""
    extra = ("SOLVER.WEIGHT_DECAY=0.125", "SOLVER.BASE_LR=2e-3", "SOLVER.EPOCHS=3")
    extra += ("LOSS.HETERO_CENTER.WEIGHT=1", "MODEL.PRETRAINED=imagenet")
    extra += (f"DATA.ROOT={shutil.copytree(tiny_sysu, tmp_path / 'moved')}",)
    assert train.main([*tiny_command(run, *extra), "--resume"]) == 0
    groups = last(run)["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.125}
    assert {group["base_lr"] for group in groups} == {2e-3}
    table = rows(run)  # which looks at the last columns, those of times
    assert float(table[2]["lr"]) == pytest.approx(2e-4)  # SOLVER.STEPS [1]
    assert table[0]["loss_hetero_center"] == "" and float(table[2]["loss_hetero_center"]) > 0
    line = next(x for x in capsys.readouterr().out.splitlines() if "MODEL.PRETRAINED" in x)
    assert "no effect" in line


def test_another_optimiser_is_refused(tiny_command, run, capsys):
    before = last(run)["optimizer"]
    assert train.main([*tiny_command(run, "SOLVER.OPTIMIZER=sgd"), "--resume"]) == 2
    assert "SOLVER.OPTIMIZER adam → sgd" in capsys.readouterr().err
    assert last(run)["optimizer"].keys() == before.keys()


@pytest.mark.parametrize(
    "option", ["LOSS.TRIPLET.WEIGHT=2", "MODEL.SDM.ALPHA=0.5", "SAMPLER.IMAGES=1", "SEED=5"]
)
def test_losses_and_batches_are_fixed_within_an_epoch(tiny_command, halfway, capsys, option):
    assert train.main([*tiny_command(halfway, option), "--resume"]) == 2
    error = capsys.readouterr().err
    assert option.split("=")[0] in error and "middle of an epoch" in error


def test_a_checkpoint_of_an_older_version_has_the_usual_values_of_newer_options(
    tiny_command, halfway, capsys
):
    config = yaml.safe_load(last(halfway)["config"])
    del config["DISTILL"], config["TEACHER"], config["LOSS"]["BRANCH_IDENTITY"]
    change_checkpoint(halfway / LAST, config=yaml.safe_dump(config))
    assert train.main([*tiny_command(halfway), "--resume"]) == 0
    assert "changed since the checkpoint" not in capsys.readouterr().out


def test_other_images_of_the_same_identities_are_refused(tiny_command, run, tmp_path, capsys):
    other = tmp_path / "other"
    arguments = "--train-ids 8 --test-ids 4 --images-per-camera 2 --size 64 32 --seed 2".split()
    assert make_synthetic.main(["--layout", "sysu", "--out", str(other), *arguments]) == 0
    assert train.main([*tiny_command(run, f"DATA.ROOT={other}"), "--resume"]) == 4
    assert "other images" in capsys.readouterr().err


def test_an_empty_path_is_a_mistake(tiny_command, tmp_path, capsys):
    assert train.main([*tiny_command(tmp_path / "run"), "--resume", ""]) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_mistyped_key_after_resume_is_no_path(tiny_command, tmp_path, capsys):
    assert train.main([*tiny_command(tmp_path / "run"), "--resume", "SEDE", "1"]) == 2
    assert "did you mean SEED" in capsys.readouterr().err


def test_a_new_folder_gets_the_history_and_can_itself_be_resumed(
    tiny_command, finished_run, tmp_path, monkeypatch
):
    def killed(self, batch):
        raise MemoryError

    new, source = tmp_path / "new", str(finished_run / "checkpoints/last.pth")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(MemoryError):
            train.main([*tiny_command(new, "SOLVER.EPOCHS=3"), "--resume", source])
    assert rows(new) == rows(finished_run)
    assert train.main([*tiny_command(new, "SOLVER.EPOCHS=3"), "--resume"]) == 0
    assert len(rows(new)) == 3


def test_a_row_lost_between_checkpoint_and_table_comes_back(tiny_command, run):
    complete = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text("".join(complete.splitlines(keepends=True)[:2]))
    assert train.main([*tiny_command(run), "--resume"]) == 0
    assert (run / "metrics.csv").read_text() == complete


def test_the_best_checkpoint_comes_along_but_not_one_of_a_later_epoch(
    tiny_command, tmp_path, capsys
):
    old, new = tmp_path / "old", tmp_path / "new"
    extra = (*VALIDATED, "SOLVER.CHECKPOINT_EVERY=1")
    assert train.main(tiny_command(old, *extra)) == 0
    assert train.main([*tiny_command(new, *extra), "--resume", str(old)]) == 0
    best = [load_checkpoint(folder / BEST)["model"] for folder in (old, new)]
    assert all(torch.equal(tensor, best[1][key]) for key, tensor in best[0].items())
    capsys.readouterr()
    change_checkpoint(old / BEST, progress={"epoch": 9})
    first = str(old / "checkpoints/epoch_001.pth")
    assert train.main([*tiny_command(old, *extra), "--resume", first]) == 0
    assert "only later epochs can be the best" in capsys.readouterr().out
    assert load_checkpoint(old / BEST)["progress"]["epoch"] == 2


def test_a_run_stopped_in_its_last_validation_ends_as_if_undisturbed(tiny_command, tmp_path):
    """No step is left to set the learning rate, which the checkpoint must bring."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    extra = (*VALIDATED, "SOLVER.STEPS=[1]")

    def disk_full(training, *others):
        if training.trainer.progress.epoch == 2:
            raise UsageError("No space left on device")
        return validate(training, *others)

    validate = pipeline._validate
    assert train.main(tiny_command(whole, *extra)) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_validate", disk_full)
        assert train.main(tiny_command(stopped, *extra)) == 2
    assert last(stopped)["progress"]["epoch"] == 1
    assert train.main([*tiny_command(stopped, *extra), "--resume"]) == 0
    rates = [[g["lr"] for g in last(run)["optimizer"]["param_groups"]] for run in (whole, stopped)]
    assert rates[0] == rates[1] and set(rates[0]) == {float(rows(whole)[1]["lr"])}
    assert differences(whole, stopped) == []


def test_norms_of_gradients_may_come_and_go_and_none_is_repeated(tiny_command, run, capsys):
    """They change no result, and an epoch without them has none."""
    with_norms, without = ("SOLVER.EPOCHS=3", "--gradient-norms"), ("SOLVER.EPOCHS=4",)
    assert train.main([*tiny_command(run, with_norms[0]), with_norms[1], "--resume"]) == 0
    assert train.main([*tiny_command(run, *without), "--resume"]) == 0
    assert "GRADIENT_NORMS" not in capsys.readouterr().out
    column = [row["grad_identity"] for row in rows(run)]
    assert column[:2] == ["", ""] and float(column[2]) > 0 and column[3] == ""
