"""What a sweep says while it works: which run started, how it ended, how long the rest takes."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Mapping

from tqdm import tqdm

from vireid.engine.sweep import Run, State, mean_seconds, work_left
from vireid.engine.sweep_local import OUTPUT, Outcome


class Progress:
    """A line per event, and a bar over the runs where there is a terminal.

    Args:
        states: what every run's folder holds.
        places: runs that are trained at the same time.
    """

    def __init__(self, states: Mapping[Run, State], places: int) -> None:
        self._states, self._places = states, places
        self._left = {run: work_left(run, state) for run, state in states.items()}
        self._finished = [run for run, state in states.items() if state is State.FINISHED]
        self._measured = [run for run, left in self._left.items() if left < 1]
        self._walls: list[float] = []  # seconds of the runs that were trained here from their start
        self._bar: tqdm | None = None

    def __enter__(self) -> Progress:
        total, done = len(self._states), len(self._finished)
        self._bar = tqdm(total=total, initial=done, desc="runs", unit="run", disable=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def finished(self) -> list[Run]:
        """Those that have results, in the order of the sweep."""
        return [run for run in self._states if run in self._finished]

    def summary(self) -> str:
        """How many runs are in which state, and the time that is left."""
        counts = Counter(self._states.values())
        if set(counts) == {State.FINISHED}:
            return "all runs are finished: nothing to train"
        parts = [f"{counts[state]} {state.value}" for state in State if counts[state]]
        return f"{', '.join(parts)}; {self._time_left()}"

    def started(self, run: Run) -> None:
        how = "continues" if self._states[run] is State.INTERRUPTED else "starts"
        self._say(f"{run.name} {how}")

    def ended(self, outcome: Outcome) -> None:
        run, took = outcome.run, duration(outcome.seconds)
        if outcome.stopped:
            self._say(f"{run.name} stopped after {took}")
            return
        self._left[run] = 0.0
        if outcome.code:
            self._say(f"{run.name} failed after {took}: {reason(outcome)}")
        else:
            self._finished.append(run)
            if self._states[run] is not State.INTERRUPTED:
                self._walls.append(outcome.seconds)
            self._say(f"{run.name} finished in {took}; {self._time_left()}")
        if self._bar is not None:
            self._bar.update()

    def _time_left(self) -> str:
        walls, work = self._walls, sum(self._left.values())
        mean = sum(walls) / len(walls) if walls else mean_seconds(self._measured)
        if mean is None:
            return "time left: unknown until a run is finished"
        return f"time left: about {duration(work * mean / self._places)}"

    def _say(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """``3 h 05 min``, ``4 min 10 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def reason(outcome: Outcome) -> str:
    """Why a run failed, and where all that it printed is."""
    code = outcome.code
    ending = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
    return f"{ending}, {outcome.message} (see {outcome.run.folder / OUTPUT})"
