"""What a sweep says while it works: which run started, how it ended, how long the rest takes."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from vireid.engine.sweep import Run, State
from vireid.engine.sweep_local import Outcome
from vireid.engine.sweep_output import OUTPUT
from vireid.engine.sweep_time import expected_seconds, whole_seconds, work_left

USUAL = ("None", "Priority", "Resources", "BeginTime")  # why a job waits that will not for ever


class Progress:
    """A line per event, and a bar over the runs where there is a terminal.

    Args:
        states: what every run's folder holds.
        places: runs that are trained at the same time; 0: nobody knows yet.
    """

    def __init__(self, states: Mapping[Run, State], places: int) -> None:
        self._states, self._places = states, places
        self._left = {run: work_left(run, state) for run, state in states.items()}
        self._finished = [run for run, state in states.items() if state is State.FINISHED]
        begun = [run for run, left in self._left.items() if left < 1]
        self.measured = whole_seconds(begun)  # seconds of whole runs
        self._walls: dict[Run, float] = {}  # seconds of those trained here from start to end
        self._working: list[Run] = []
        self._begun: set[Run] = set()  # here, once or again
        self._reasons: set[str] = set()
        self._failed = 0
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

    def listing(self, in_queue: Mapping[Run, str]) -> str:
        """One line per run: what its folder holds, and the time that it will take.

        Args:
            in_queue: what Slurm says of runs that have a job.
        """
        expected = expected_seconds([*self._states], self.measured)
        width = max(len(run.name) for run in self._states)
        lines = []
        for run, state in self._states.items():
            line = f"  {in_queue.get(run, state.value):<14} {run.name:<{width}}"
            if expected and state is not State.FINISHED:
                line += f"  about {duration(self._left[run] * expected[run])}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    def started(self, run: Run) -> None:
        self._working.append(run)
        before = self._states[run] is State.INTERRUPTED or run in self._begun
        how = "continues" if before else "starts"
        self._begun.add(run)
        self._say(f"{run.name} {how}")

    def ended(self, outcome: Outcome) -> None:
        run, took = outcome.run, duration(outcome.seconds)
        if run in self._working:
            self._working.remove(run)
        if outcome.stopped:
            self._say(f"{run.name} stopped after {took}")
            return
        self._left[run] = 0.0
        if outcome.code:
            self._failed += 1
            self._say(f"{run.name} failed after {took}: {reason(outcome)}")
        else:
            self._finished.append(run)
            if self._states[run] is not State.INTERRUPTED and not outcome.partial:
                self._walls[run] = outcome.seconds
            else:
                self.measured |= whole_seconds([run])
            self._say(f"{run.name} finished in {took}; {self._counts()}; {self._time_left()}")
        if self._bar is not None:
            self._bar.update()

    def found(self, job_ids: Mapping[Run, str], *, submitted: bool) -> None:
        what = "submitted" if submitted else "in the queue since an earlier call"
        for run, job_id in job_ids.items():
            self._say(f"{run.name} {what}: job {job_id}")

    def queued(self, running: Sequence[Run], reasons: Mapping[str, int]) -> None:
        """What the queue looks like: some run, others wait for a reason."""
        self._places = len(running)
        self._working = list(running)
        waiting = [f"{n} wait ({reason})" for reason, n in reasons.items()]
        for reason in set(reasons) - self._reasons - {*USUAL}:
            self._reasons.add(reason)
            self._say(f"{reasons[reason]} jobs wait, says Slurm: {reason}")
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join([f"{len(running)} at work", *waiting]))

    def warned(self, line: str) -> None:
        self._say(line)

    def _counts(self) -> str:
        parts = [f"{len(self._finished)} of {len(self._states)} finished"]
        parts += [f"{self._failed} failed"] if self._failed else []
        parts += [f"{len(self._working)} at work"] if self._working else []
        return ", ".join(parts)

    def _time_left(self) -> str:
        for run in self._working:  # what they have behind them by now
            self._left[run] = work_left(run, State.INTERRUPTED)
        if not any(self._left.values()) and not self._working:
            return "time left: none"
        lately = {
            run.cell.name for run in self._walls
        }  # those say more: of now, and with the scoring
        before = {run: took for run, took in self.measured.items() if run.cell.name not in lately}
        expected = expected_seconds([*self._states], before | self._walls)
        if not expected:
            return "time left: unknown until a run is finished"
        seconds = sum(share * expected[run] for run, share in self._left.items())
        if not self._places and seconds:
            return f"about {duration(seconds)} of training left, if one run follows another"
        return f"time left: about {duration(seconds / max(1, self._places))}"

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
    code, ending = outcome.code, outcome.ending
    if not ending:
        ending = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
    return f"{ending}, {outcome.message} (see {outcome.run.folder / OUTPUT})"
