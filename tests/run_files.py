"""What tests read of run folders, and how they change it."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from vireid.engine.checkpoint import LAST, RAW, load_checkpoint, save_checkpoint
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


def weights_of_terms(**others: float) -> dict[str, float]:
    """Of the default configuration's losses, and of others."""
    weights = dict.fromkeys(("identity", "triplet", "part_identity", "part_triplet"), 1.0)
    for number in (1, 2, 3):
        weights |= {f"sdm_identity_shallow{number}": 0.7, f"sdm_kl_shallow{number}": 0.3}
        weights[f"sdm_hint_shallow{number}"] = 0.5
    return weights | others


def assert_weighted_sum(
    row: dict[str, str], weights: dict[str, float], *, rel: float = 1e-5
) -> None:
    """Checks that a row of metrics.csv has these losses, and their sum as the total."""
    names = [name.removeprefix("loss_") for name in row if name.startswith("loss_")]
    assert sorted(names) == sorted(weights)
    total = sum(weight * float(row[f"loss_{name}"]) for name, weight in weights.items())
    assert float(row["loss"]) == pytest.approx(total, rel=rel)


def last(folder: Path) -> dict[str, Any]:
    return load_checkpoint(folder / LAST)


def change_checkpoint(path: Path, *, out: Path | None = None, **entries: Any) -> None:
    """Replaces entries of a checkpoint; those of ``progress`` are added to the ones it has."""
    content = load_checkpoint(path)
    progress = content["progress"] | entries.pop("progress", {})
    save_checkpoint(out or path, {**content, **entries, "progress": progress})


def assert_same_training(one: Path, other: Path) -> None:
    assert metrics(one) == metrics(other)
    first, second = last(one), last(other)
    for name in ("model", RAW, "criterion"):
        states = [content.get(name, {}) for content in (first, second)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int, signal_number: int) -> None:
    """Sends this process a signal during the given training step, counted from 1."""
    step, calls = Trainer.step, []

    def counted(self, batch):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal_number)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", counted)
