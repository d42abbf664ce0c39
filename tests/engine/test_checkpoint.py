"""What is said of a checkpoint that does not fit."""

from pathlib import Path

import pytest
from torch import nn

from vireid.engine.checkpoint import load_model
from vireid.errors import CheckpointError


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
            "it lacks 0.bias; it has 1.weight, which this network has not; it has 1.bias, which "
            "this network has not",
        ),
    ],
)
def test_every_difference_reads_as_a_sentence(other: nn.Module, phrase: str):
    with pytest.raises(CheckpointError) as error:
        load_model(nn.Sequential(nn.Linear(2, 4)), other.state_dict(), Path("last.pth"))
    assert str(error.value).endswith(phrase) and "\n" not in str(error.value)
