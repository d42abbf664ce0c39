"""How a run of a sweep ended. It imports no torch: a Slurm job waits beside the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vireid.sweeps.planner import SweepRun

OUTPUT = "output.txt"  # in a run's folder: all that its processes printed


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run's process or job ended.

    Args:
        code: its exit code; negative: the signal that killed it.
        failure: why it failed, in one line; empty when it finished.
        stopped: it ended because this program was asked to stop.
    """

    run: SweepRun
    code: int
    failure: str = ""
    stopped: bool = False


def last_error(printed: str) -> str:
    """The error that a process ended with, or else the last line that it printed."""
    lines = lines_of(printed)
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or ["it printed nothing"])[-1]
    return last.removesuffix("; continue with:")  # a command follows there


def lines_of(text: str) -> list[str]:
    """The lines that are not empty; every state of a progress bar is a line."""
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
