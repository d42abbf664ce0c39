"""What a tracker's library is asked to do with a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

PROJECT = "vireid"  # name of the project or experiment that holds the runs


class Status(Enum):
    """How a training ended."""

    FINISHED = "finished"
    KILLED = "killed"  # by a signal; it can be resumed
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What trackers learn of a run at its start.

    Args:
        folder: of the run.
        name: for people, such as ``sysu/seed0``.
        config: values of all options, by key.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]


class Tracker(ABC):
    """A run in one tracker. One thread calls its methods; whatever they raise is a warning.

    Args:
        run: the run to be tracked.
    """

    module: ClassVar[str]  # that is imported
    package: ClassVar[str]  # that pip installs

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    @abstractmethod
    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        """Starts the run there, or continues the one that an earlier call has returned.

        Args:
            known: what that call returned; empty for a new run.
        Returns:
            what identifies the run; other than ``known`` where a new one had to be started.
        """

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the run is to be found, for people."""

    def discard(self, known: Mapping[str, str]) -> None:  # noqa: B027
        """Removes a run, where the tracker can: it has epochs that are trained another time."""

    def epochs(self) -> int | None:
        """Epochs that the opened run holds; None where the tracker cannot say."""
        return None

    @abstractmethod
    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Sends a row of metrics.csv, without the column ``epoch``."""

    @abstractmethod
    def log_scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Sends the final scores, in [0, 1], by ``test/<protocol>/<metric>``."""

    @abstractmethod
    def log_figures(self, epoch: int, figures: Sequence[Path]) -> None:
        """Sends PNG files, named by their stems."""

    @abstractmethod
    def close(self, status: Status) -> None:
        """Ends the run, after everything else has arrived."""
