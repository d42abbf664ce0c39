"""What is said of a checkpoint that does not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vireid.engine.checkpoint import load_checkpoint, load_model, save_checkpoint
from vireid.errors import CheckpointError, UsageError


@pytest.mark.parametrize(
    ("other", "phrase"),
    [
        (
            nn.Sequential(nn.Linear(2, 3)),
            "it has 0.weight of (3, 2) instead of (4, 2); it has 0.bias of (3,) instead of (4,)",
        ),
        (
            nn.Sequential(
                nn.Linear(2, 4, bias=False), nn.BatchNorm1d(4, track_running_stats=False)
            ),
            "it lacks 0.bias; it has 1.weight, which this model does not have; it has 1.bias, "
            "which this model does not have",
        ),
    ],
)
def test_every_difference_reads_as_a_sentence(other: nn.Module, phrase: str):
    with pytest.raises(CheckpointError) as error:
        load_model(nn.Sequential(nn.Linear(2, 4)), other.state_dict(), Path("last.pth"))
    assert str(error.value).endswith(phrase) and "\n" not in str(error.value)


def content() -> dict[str, Any]:
    return {
        "model": {"w": torch.ones(2)},
        "criterion": {},
        "optimizer": {},
        "scaler": {},
        "progress": {"epoch": 1, "step": 0},
        "rng": {},
        "config": "SEED: 1",
        "pids": [1, 2],
        "dataset": "x",
        "split_trial": None,
        "data": "d",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {"w": 3}),
        ("model", {"w": torch.ones(2).to_sparse()}),
        ("model", torch.ones(2)),
        ("progress", {}),
        ("progress", {"epoch": -1, "step": 0}),
        ("progress", {"epoch": 1, "step": torch.ones(2)}),
        ("progress", {"epoch": 1, "step": 0, "history": torch.ones(())}),
        ("progress", {"epoch": 1, "step": 0, "history": [{"loss": torch.ones(2)}]}),
        ("progress", {"epoch": 1, "step": 0, "sums": [1.0]}),
        ("config", "a: &a [*a]"),
        ("config", "[1]"),
        ("pids", []),
        ("pids", ["1"]),
        ("split_trial", "1"),
        ("rng", None),
        ("teacher", torch.ones(2)),
    ],
)
def test_an_entry_of_another_kind_is_named(tmp_path: Path, key: str, value: Any):
    path = tmp_path / "last.pth"
    save_checkpoint(path, content())
    assert load_checkpoint(path)["pids"] == [1, 2]
    save_checkpoint(path, content() | {key: value})
    with pytest.raises(CheckpointError, match=f"its entry {key} is not as it was saved"):
        load_checkpoint(path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch):
    path = tmp_path / "last.pth"
    save_checkpoint(path, content())
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UsageError, match="No space left on device; what it held before is whole"):
        save_checkpoint(path, content())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pth"]


def test_tensors_that_cannot_be_copied_are_damage(tmp_path: Path):
    state = {key: value.to("meta") for key, value in nn.Linear(2, 2).state_dict().items()}
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(nn.Linear(2, 2), state, tmp_path / "last.pth")
