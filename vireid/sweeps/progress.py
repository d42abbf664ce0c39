"""How the runs of a sweep end, and what is printed while they are trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from vireid.sweeps.planner import RunState, SweepRun
from vireid.utils.io import say

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


class SweepProgress:
    """Keeps the outcomes of the runs, and prints a line per event.

    Args:
        states: what every run's folder held at the start.
    """

    def __init__(self, states: Mapping[SweepRun, RunState]) -> None:
        self.states = states
        self.outcomes: list[RunOutcome] = []
        self._begun = {run for run, state in states.items() if state is RunState.INTERRUPTED}
        self._started: dict[SweepRun, float] = {}  # → when, in seconds
        self._start = time.monotonic()

    @property
    def finished(self) -> list[SweepRun]:
        """The runs with results, in the order of the sweep."""
        here = {outcome.run for outcome in self.outcomes if outcome.code == 0}
        states = self.states.items()
        return [run for run, state in states if state is RunState.FINISHED or run in here]

    def started(self, run: SweepRun) -> None:
        self._started[run] = time.monotonic()
        self.say(f"{run.name} {'continues' if run in self._begun else 'starts'}")
        self._begun.add(run)

    def ended(self, outcome: RunOutcome) -> None:
        self.outcomes.append(outcome)
        run, now = outcome.run, time.monotonic()
        took = f"after {_clock(now - self._started.get(run, now))}"
        if outcome.stopped:
            self.say(f"{run.name} stopped {took}")
        elif outcome.failure:
            self.say(f"{run.name} failed {took}: {outcome.failure}")
        else:
            self.say(f"{run.name} finished {took}; {self._counts(now - self._start)}")

    def say(self, line: str) -> None:
        say(line)

    def _counts(self, elapsed: float) -> str:
        before = sum(state is RunState.FINISHED for state in self.states.values())
        left = len(self.states) - before - len(self.outcomes)
        # as many more runs take as long again, however many are trained at the same time
        rest = f", about {_clock(elapsed / len(self.outcomes) * left)} left" if left else ""
        counts = f"{len(self.finished)} of {len(self.states)} finished"
        return f"{counts}; {_clock(elapsed)} so far{rest}"


def last_error(printed: str) -> str:
    """The error that a process ended with, or else the last line that it printed."""
    lines = lines_of(printed)
    errors = [line for line in lines if line.startswith("error: ")]
    last = (errors or lines or ["it printed nothing"])[-1]
    return last.removesuffix("; continue with:")  # a command follows there


def lines_of(text: str) -> list[str]:
    """The lines that are not empty; every state of a progress bar is a line."""
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def _clock(seconds: float) -> str:
    """``1:05:03``."""
    return str(timedelta(seconds=round(seconds)))
