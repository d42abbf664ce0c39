"""Sweeps whose runs only pretend to train."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from vireid.cli import extract, sweep
from vireid.sweeps.planner import train_command

FAKE = Path(__file__).with_name("fake_train.py")
BASE = Path(__file__).resolve().parents[2] / "configs/sysu.yaml"


@pytest.fixture
def fake(monkeypatch):
    """Runs leave made-up scores, and their networks cost the same without being built."""

    def command(base, run, state, precision):
        return [sys.executable, str(FAKE), *train_command(base, run, state)[4:]]

    monkeypatch.setattr(sweep, "train_command", command)
    monkeypatch.setattr(sweep, "common_precision", lambda runs, **_: ([], []))
    costs = {"parameters": 2_500_000, "macs": 1_234_000_000}
    monkeypatch.setattr(
        sweep,
        "cell_costs",
        lambda runs: pd.DataFrame(costs, dtype="Int64", index=[*{run.cell.name for run in runs}]),
    )


@pytest.fixture
def write(tmp_path):
    """Writes a sweep file whose runs go to tmp_path/out; returns its tool's arguments."""

    def written(grid, **sections) -> list[str]:
        sections = {"BASE": str(BASE), "OUTPUT": str(tmp_path / "out"), "GRID": grid} | sections
        path = tmp_path / "depth.yaml"
        path.write_text(yaml.safe_dump(sections, sort_keys=False))
        return ["--cfg", str(path), "--device", "cpu"]

    return written


@pytest.fixture(scope="session")
def features(finished_run, tmp_path_factory) -> Path:
    """The test features of the finished run."""
    path = tmp_path_factory.mktemp("features") / "features.npz"
    assert extract.main(["--run", str(finished_run), "--out", str(path)]) == 0
    return path
