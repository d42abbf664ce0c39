"""Two processes train what one would, on the same global batch."""

import csv
import os
import subprocess
import sys

import pytest

from vireid.cli import train


def losses(folder) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def train_on_two(arguments: list[str]) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *launcher, "tools/train.py", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


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
    extra = (*ONE_STEP, "MODEL.BN_EVAL=true", "LOSS.HETERO_CENTER.WEIGHT=1")
    assert train.main(tiny_command(tmp_path / "one", *extra)) == 0
    train_on_two(tiny_command(tmp_path / "two", *extra))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 5 and one[4] != one[0]
    assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.slow
def test_two_processes_learn_with_batchnorm_training(tiny_command, tmp_path):
    extra = ("SOLVER.EPOCHS=4", "SOLVER.STEPS=[]")
    train_on_two(tiny_command(tmp_path / "two", *extra))
    values = losses(tmp_path / "two")
    assert values[-1] < values[0]
