"""SOLVER.FREEZE_EPOCHS: loaded weights stay as they are, then everything trains."""

import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import SMALL
from tests.engine.test_distributed import ONE_STEP, train_on_two
from tests.helpers import log_of
from tests.run_files import assert_same_training, column, last, stop_at_step
from vireid.cli import train
from vireid.config.schema import default_config
from vireid.data.build import build_splits
from vireid.engine.build import build_trainer
from vireid.engine.checkpoint import load_checkpoint
from vireid.engine.distributed import World
from vireid.engine.trainer import Trainer
from vireid.models.build import build_model

# The run that gives the weights has neither students nor parts
NEW = ("shallow.shallow1.", "parts.")
OPTIONS = (
    SMALL[0],
    "MODEL.SDM.TAPS=[conv4]",
    "MODEL.SHARED_DEPTH=4",
    "SOLVER.FREEZE_EPOCHS=1",
    "SOLVER.CHECKPOINT_EVERY=1",
    "SOLVER.STEPS=[]",
    "SAMPLER.IMAGES=3",
)


def fine_tune(command, base: Path, folder: Path, *extra: str) -> int:
    return train.main(command(folder, *OPTIONS, f"MODEL.PRETRAINED={base}", *extra))


def after(folder: Path, epoch: int) -> dict[str, Tensor]:
    return load_checkpoint(folder / f"checkpoints/epoch_{epoch:03d}.pth")["model"]


def step(trainer: Trainer, epoch: int) -> None:
    """The first one of an epoch."""
    trainer.progress.epoch = epoch
    trainer.prepare_epoch()
    trainer.advance(next(iter(trainer.loader)))


def changed(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    return {key for key in first if not torch.equal(first[key], second[key])}


@pytest.fixture(scope="module")
def frozen_run(tiny_command, small_run, tmp_path_factory) -> Path:
    """Two epochs, the first of them frozen. Never write into it."""
    folder = tmp_path_factory.mktemp("frozen") / "run"
    assert fine_tune(tiny_command, small_run, folder) == 0
    return folder


def test_loaded_weights_and_statistics_stay_in_the_frozen_epoch_only(frozen_run, small_run):
    base, loaded = last(small_run)["model"], set(last(frozen_run)["loaded"])
    first, second = after(frozen_run, 1), after(frozen_run, 2)
    own = {key for key in first if ".classifier" in key or key.startswith(NEW)}
    assert loaded == set(first) - own and any(key.endswith("running_var") for key in loaded)
    names = {key: key.replace("backbone.shared.0", "backbone.visible.1") for key in loaded}
    names |= {k: k.replace(f"shared.{n}", f"shared.{n - 1}") for k in loaded for n in (1, 2, 3)
              if k.startswith(f"backbone.shared.{n}.")}  # fmt: skip
    assert all(torch.equal(first[key], base[names[key]]) for key in loaded)
    assert changed(first, second) == set(first)  # also every statistic and step counter
    log = (frozen_run / "log.txt").read_text()
    assert "frozen    in epochs 1 to 1: " in log and "everything trains from epoch 2 on" in log
    parameters = sum(
        first[k].numel() for k in loaded if not k.split(".")[-1].startswith(("r", "n"))
    )
    assert f"1 to 1: {parameters:,} parameters (backbone" in log
    assert "classifiers of head" in log.split("training: ")[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_neither_decay_nor_momentum_moves_frozen_weights(tiny_sysu, optimizer: str):
    """And the first step of all of them is possible, too."""
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.DATA.ROOT, cfg.DATA.WORKERS = [64, 32], str(tiny_sysu), 0
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = SMALL[0].split("=")[1], "none"
    cfg.MODEL.SDM.ENABLED = cfg.MODEL.MGIM.ENABLED = False
    cfg.SAMPLER.IDENTITIES, cfg.SAMPLER.IMAGES = 2, 2
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.WEIGHT_DECAY = optimizer, 0.5
    cfg.SOLVER.FREEZE_EPOCHS, cfg.SOLVER.EPOCHS = 2, 3
    model, _ = build_model(cfg, 8)
    loaded = frozenset(key for key in model.state_dict() if not key.startswith("head."))
    trainer = build_trainer(
        cfg, model, build_splits(cfg), device=torch.device("cpu"), world=World(), loaded=loaded
    )
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for epoch in range(2):
        step(trainer, epoch)
    assert changed(before, model.state_dict()) == set(before) - loaded
    assert all(p.grad is None for n, p in model.named_parameters() if n in loaded)
    step(trainer, 2)
    assert changed(before, model.state_dict()) == set(before)


@pytest.mark.parametrize("step", [2, 6])  # of 4 an epoch: within the frozen one, and after it
def test_stopped_and_resumed_equals_undisturbed(
    tiny_command, small_run, frozen_run, tmp_path, monkeypatch, step
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at_step(patch, step, signal.SIGTERM)
        assert fine_tune(tiny_command, small_run, folder) == 128 + signal.SIGTERM
    assert last(folder)["loaded"] == last(frozen_run)["loaded"]
    words = tiny_command(folder, *OPTIONS, "MODEL.PRETRAINED=imagenet")  # is not read any more
    assert train.main([*words, "--resume"]) == 0
    assert_same_training(frozen_run, folder)


@pytest.mark.slow
def test_two_processes_freeze_and_unfreeze_as_one_does(tiny_command, small_run, tmp_path):
    extra = (*ONE_STEP, "SOLVER.EPOCHS=4", "SOLVER.FREEZE_EPOCHS=2", "MODEL.BN_EVAL=true")
    assert fine_tune(tiny_command, small_run, tmp_path / "one", *extra) == 0
    words = tiny_command(tmp_path / "two", *OPTIONS, f"MODEL.PRETRAINED={small_run}", *extra)
    train_on_two(words)
    one, two = (column(tmp_path / name, "loss") for name in ("one", "two"))
    assert len(one) == 4 and one[3] != one[2] and two == pytest.approx(one, abs=1e-5)
    loaded = last(tmp_path / "two")["loaded"]
    states = [after(tmp_path / "two", epoch) for epoch in (1, 2, 4)]
    assert not changed(states[0], states[1]) & set(loaded)
    weights = {k for k in loaded if k.endswith("weight")}
    assert changed(states[1], states[2]) >= weights


def test_a_run_that_loaded_nothing_cannot_freeze(tiny_command, run, small_run, tmp_path, capsys):
    options = ("SOLVER.FREEZE_EPOCHS=1", "MODEL.BN_EVAL=true")
    assert train.main(tiny_command(tmp_path / "new", *options)) == 0
    log = log_of(tmp_path / "new")
    assert (
        "FREEZE_EPOCHS freezes nothing: MODEL.PRETRAINED none" in log and "set MODEL.BN_EVAL" in log
    )
    more = ("SOLVER.EPOCHS=4", "SOLVER.FREEZE_EPOCHS=3", f"MODEL.PRETRAINED={small_run}")
    assert train.main([*tiny_command(run, *more), "--resume"]) == 2
    assert "does not name loaded weights" in capsys.readouterr().err


def test_a_loss_that_no_free_parameter_changes_is_refused(
    tiny_command, small_run, tmp_path, capsys
):
    losses = ("LOSS.IDENTITY.WEIGHT=0", "MODEL.SDM.ENABLED=false", "MODEL.MGIM.ENABLED=false")
    assert fine_tune(tiny_command, small_run, tmp_path / "run", *losses) == 2
    error = capsys.readouterr().err
    assert "SOLVER.FREEZE_EPOCHS" in error and "no loss depends on" in error
