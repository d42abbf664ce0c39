"""Two processes train what one would, on the same global batch."""

import multiprocessing
import os
import socket
import subprocess
import sys

import pytest
import torch

from tests.run_files import column, last
from vireid.cli import train


def losses(folder) -> list[float]:
    return column(folder, "loss")


def train_by_torchrun(arguments: list[str]) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *launcher, "tools/train.py", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


def train_on_two(arguments: list[str]) -> None:
    """The same without the seconds in which three programs import torch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        world["MASTER_PORT"] = str(free.getsockname()[1])
    context = multiprocessing.get_context("fork")
    pair = [context.Process(target=_work, args=(r, world, arguments)) for r in ("0", "1")]
    for process in pair:
        process.start()
    for process in pair:
        process.join(300)
    assert [process.exitcode for process in pair] == [0, 0]


def _work(rank: str, world: dict[str, str], arguments: list[str]) -> None:
    os.environ.update(world, RANK=rank, LOCAL_RANK=rank)
    raise SystemExit(train.main(arguments))


# All 8 identities × 4 images in one batch: an epoch is one step, and each row one step's loss.
ONE_STEP = (
    "SAMPLER.IDENTITIES=8",
    "SAMPLER.IMAGES=4",
    "SOLVER.EPOCHS=5",
    "SOLVER.STEPS=[]",
    "SOLVER.BASE_LR=3.5e-4",
)


@pytest.mark.slow
def test_five_steps_on_two_processes_equal_those_on_one(tiny_command, tmp_path):
    """Triplets are mined over the global batch: a process's own half would give other losses."""
    others = ("HETERO_CENTER", "CENTER_CLUSTER", "CIRCLE", "CROSS_MODAL_KL", "MMD")
    weights = [f"LOSS.{name}.WEIGHT=1" for name in others]
    extra = (*ONE_STEP, "MODEL.BN_EVAL=true", *weights)
    assert train.main(tiny_command(tmp_path / "one", *extra)) == 0
    train_by_torchrun(tiny_command(tmp_path / "two", *extra))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 5 and one[4] != one[0]
    assert two == pytest.approx(one, rel=1e-6, abs=1e-5)


@pytest.mark.slow
def test_heads_without_a_loss_are_left_alone_on_two_processes_as_on_one(tiny_command, tmp_path):
    """Weight decay would shrink what a gradient of zeros reaches."""
    options = ("LOSS.IDENTITY.WEIGHT=0", "LOSS.PART_IDENTITY.WEIGHT=0", "MODEL.SDM.WEIGHTS=[1,0,1]")
    options += ("MODEL.MGIM.GRANULARITIES=[1]",)
    idle = ("head.classifier.", "shallow.shallow2.", "parts.classifiers.")
    extra = (*ONE_STEP, "MODEL.BN_EVAL=true", "SOLVER.EPOCHS=3", *options)
    assert train.main([*tiny_command(tmp_path / "one", *extra), "--gradient-norms"]) == 0
    train_on_two([*tiny_command(tmp_path / "two", *extra), "--gradient-norms"])
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert two == pytest.approx(one, rel=1e-6, abs=1e-5)
    for name in ("grad_triplet", "grad_part_triplet"):
        norms = column(tmp_path / "one", name)
        assert column(tmp_path / "two", name) == pytest.approx(norms, rel=1e-3)
    states = [last(tmp_path / name)["model"] for name in ("one", "two")]
    for beginning in idle:
        without = [key for key in states[0] if key.startswith(beginning)]
        assert without
        assert all(torch.equal(states[0][key], states[1][key]) for key in without)


@pytest.mark.slow
def test_two_processes_learn_with_batchnorm_training(tiny_command, tmp_path):
    extra = ("SOLVER.EPOCHS=4", "SOLVER.STEPS=[]")
    train_on_two(tiny_command(tmp_path / "two", *extra))
    values = losses(tmp_path / "two")
    assert values[-1] < values[0]
