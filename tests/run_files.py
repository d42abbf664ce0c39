"""What tests read of run folders, and how they change it."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from vireid.engine.checkpoint import LAST, load_checkpoint, save_checkpoint
from vireid.engine.trainer import TIMING, Trainer


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv, whose last columns must be the timing."""
    with (folder / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    assert tuple(found[0])[-3:] == TIMING
    return found


def metrics(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its timing."""
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows(folder)]


def column(folder: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows(folder)]


def last(folder: Path) -> dict[str, Any]:
    return load_checkpoint(folder / LAST)


def change_checkpoint(path: Path, *, out: Path | None = None, **entries: Any) -> None:
    """Replaces entries of a checkpoint; those of ``progress`` are added to the ones it has."""
    content = load_checkpoint(path)
    progress = content["progress"] | entries.pop("progress", {})
    save_checkpoint(out or path, {**content, **entries, "progress": progress})


def assert_same_training(one: Path, other: Path) -> None:
    assert metrics(one) == metrics(other)
    first, second = last(one)["model"], last(other)["model"]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int, signal_number: int) -> None:
    """Sends this process a signal during the given training step, counted from 1."""
    step, calls = Trainer.step, []

    def counted(self, batch):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal_number)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", counted)
