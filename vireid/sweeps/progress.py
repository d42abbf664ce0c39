"""What a sweep prints while it runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from tqdm import tqdm

from vireid.sweeps.outcome import RunOutcome
from vireid.sweeps.planner import RunState, SweepRun


class SweepProgress:
    """A line per event, and a bar over the runs in a terminal.

    Args:
        states: what every run's folder holds.
    """

    def __init__(self, states: Mapping[SweepRun, RunState]) -> None:
        self.states = states
        self._finished = {run for run, state in states.items() if state is RunState.FINISHED}
        self._working: dict[SweepRun, float] = {}  # → when it started
        self._begun = {run for run, state in states.items() if state is RunState.INTERRUPTED}
        self._ended = self._failed = 0  # here
        self._start = 0.0
        self._bar: tqdm | None = None

    def __enter__(self) -> SweepProgress:
        self._start = time.monotonic()
        total, done = len(self.states), len(self._finished)
        self._bar = tqdm(total=total, initial=done, desc="runs", unit="run", disable=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def finished(self) -> list[SweepRun]:
        """The runs with results, in the order of the sweep."""
        return [run for run in self.states if run in self._finished]

    def summary(self) -> str:
        """How many runs are in which state."""
        counts = Counter(self.states.values())
        if set(counts) == {RunState.FINISHED}:
            return "all runs are finished: nothing to train"
        return ", ".join(f"{counts[state]} {state.value}" for state in RunState if counts[state])

    def listing(self, queued: Mapping[SweepRun, str]) -> str:
        """One line per run: what its folder holds.

        Args:
            queued: Slurm's state of the runs that have a job.
        """
        return "\n".join(
            f"  {queued.get(run, state.value):<14} {run.name}" for run, state in self.states.items()
        )

    def started(self, run: SweepRun) -> None:
        self._working[run] = time.monotonic()
        self.say(f"{run.name} {'continues' if run in self._begun else 'starts'}")
        self._begun.add(run)

    def ended(self, outcome: RunOutcome) -> None:
        run, now = outcome.run, time.monotonic()
        took = f"after {_clock(now - self._working.pop(run, now))}"
        if outcome.stopped:
            self.say(f"{run.name} stopped {took}")
            return
        self._ended += 1
        if outcome.failure:
            self._failed += 1
            self.say(f"{run.name} failed {took}: {outcome.failure}")
        else:
            self._finished.add(run)
            self.say(f"{run.name} finished {took}; {self._counts(now - self._start)}")
        if self._bar is not None:
            self._bar.update()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def _counts(self, elapsed: float) -> str:
        left = len(self.states) - len(self._finished) - self._failed
        parts = [f"{len(self._finished)} of {len(self.states)} finished"]
        parts += [f"{self._failed} failed"] if self._failed else []
        parts += [f"{len(self._working)} at work"] if self._working else []
        # as many more runs take as long again, however many are trained at the same time
        rest = f", about {_clock(elapsed / self._ended * left)} left" if left else ""
        return f"{', '.join(parts)}; {_clock(elapsed)} so far{rest}"


def _clock(seconds: float) -> str:
    """``1:05:03``."""
    return str(timedelta(seconds=round(seconds)))
