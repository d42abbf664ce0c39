"""A seed decides a training: not the loaders, nor where it stopped, nor who looked on."""

import random

import numpy as np
import pytest
import torch

from tests.faults.trainings import alike
from tests.run_files import last, metrics
from vireid.cli import train
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.engine.checkpoint import rng_state
from vireid.runs.score import chosen_protocols, score
from vireid.runs.trained_run import trained_model

SHORT = """SOLVER.EPOCHS=3 SOLVER.STEPS=[2] SOLVER.CHECKPOINT_EVERY=1 MODEL.SDM.TAPS=[conv3]
MODEL.MGIM.GRANULARITIES=[2] DATA.SPLIT=train INPUT.GREY_EPOCHS=2 INPUT.JITTER=0.4 INPUT.SCALE=0.6
INPUT.ROTATE=10 INPUT.CHANNEL_MIX=0.5 INPUT.CHANNEL_ERASE=0.5""".split()


def state(folder) -> dict:
    checkpoint = last(folder)
    return {key: checkpoint[key] for key in ("model", "criterion", "optimizer", "rng")}


@pytest.fixture(scope="module")
def whole(tiny_command, tmp_path_factory):
    """Three epochs in one process, with a checkpoint of each (test_trainer.py: of other seeds)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main(tiny_command(folder, *SHORT)) == 0
    return folder


@pytest.mark.parametrize(("epoch", "workers"), [(1, 2), (2, 1)])
def test_a_resume_at_any_epoch_with_any_number_of_processes_changes_nothing(
    tiny_command, whole, tmp_path, epoch, workers
):
    words = tiny_command(tmp_path / "run", *SHORT, f"DATA.WORKERS={workers}")
    words += ["--resume", str(whole / f"checkpoints/epoch_{epoch:03d}.pth")]
    assert train.main(words) == 0
    assert metrics(tmp_path / "run") == metrics(whole)
    assert alike(state(tmp_path / "run"), state(whole))


def test_validation_between_epochs_changes_no_training(tiny_command, whole, tmp_path):
    folder = tmp_path / "validated"
    assert train.main(tiny_command(folder, *SHORT, "SOLVER.VAL_EVERY=1")) == 0
    plain, validated = metrics(whole), metrics(folder)
    assert len(validated[0].keys() - plain[0].keys()) == 4
    assert [{k: v for k, v in row.items() if k in plain[0]} for row in validated] == plain
    assert alike(state(folder), state(whole))


def test_scoring_draws_nothing_from_the_generators_of_training(whole):
    cfg = load_config(whole / "config.yaml", ["TEST.RERANK", "true"], environment={})
    model = trained_model(cfg, last(whole), whole).train()
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(7)
    before = rng_state()
    device = torch.device("cpu")
    score(cfg, model, build_splits(cfg), chosen_protocols(cfg), device=device)
    assert alike(rng_state(), before)
    assert model.training
