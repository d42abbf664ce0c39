"""Trains the runs of a sweep on this machine, each in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import vireid
from vireid.engine.signals import StopFlag
from vireid.errors import UsageError
from vireid.sweeps.planner import SweepRun
from vireid.sweeps.progress import OUTPUT, RunOutcome, SweepProgress, last_error

POLL = 0.1  # seconds between looks at the processes
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
SOURCES = Path(vireid.__file__).parents[1]


def visible_gpus() -> list[str]:
    """Names by which CUDA_VISIBLE_DEVICES selects each of the GPUs that this process sees."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [listed[i] if i < len(listed) and listed[i] else str(i) for i in range(count)]


def slots_for(jobs: int | None, gpus: Sequence[str], *, processors: int) -> list[dict[str, str]]:
    """Environment variables of the runs that are trained at the same time.

    Args:
        jobs: how many; None: one per GPU, or 1 without a GPU.
        gpus: names of GPUs as CUDA_VISIBLE_DEVICES takes them.
        processors: shared by the runs, unless OMP_NUM_THREADS says how many threads each has.
    """
    count = jobs or max(1, len(gpus))
    slots = [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {} for i in range(count)]
    if count > 1 and "OMP_NUM_THREADS" not in os.environ:
        slots = [{**slot, "OMP_NUM_THREADS": str(max(1, processors // count))} for slot in slots]
    return slots


def train_here(
    commands: Mapping[SweepRun, Sequence[str]],
    slots: Sequence[Mapping[str, str]],
    progress: SweepProgress,
) -> int:
    """Trains the runs in order, as many at a time as there are slots.

    The first SIGINT or SIGTERM is passed on to the processes, which save a checkpoint; no other
    run is started. A second signal ends the processes at once.

    Args:
        commands: the program that trains each run, and its arguments.
        slots: environment variables of the runs that are trained at the same time.
        progress: keeps the outcomes of all runs that were started.
    Returns:
        the signal that kept some runs from their end (0: none).
    """
    waiting, free = deque(commands), list(slots)
    working: list[_RunProcess] = []
    with StopFlag() as stop:
        try:
            while working or (waiting and not stop.received):
                while waiting and free and not stop.received:
                    run = waiting.popleft()
                    progress.started(run)
                    working.append(_RunProcess(run, commands[run], free.pop(0)))
                for process in list(working):
                    process.pass_on(stop.received)
                    outcome = process.outcome(stopping=bool(stop.received))
                    if outcome:
                        working.remove(process)
                        free.append(process.slot)
                        progress.ended(outcome)
                time.sleep(POLL if working else 0)
        finally:
            for process in working:
                process.kill()
    cut_short = waiting or any(outcome.stopped for outcome in progress.outcomes)
    return stop.received if cut_short else 0


class _RunProcess:
    """A run's process. It has its own session, so that Ctrl-C reaches it only through pass_on."""

    def __init__(self, run: SweepRun, command: Sequence[str], slot: Mapping[str, str]) -> None:
        self._run, self.slot = run, slot
        self._signalled = False
        self._output = run.folder / OUTPUT
        path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            file = self._output.open("ab")
        except OSError as error:
            raise UsageError(f"cannot write {self._output}: {error.strerror}") from error
        with file:
            self._offset = file.tell()  # the file keeps what earlier processes printed
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, **slot},
                start_new_session=True,
            )

    def pass_on(self, number: int) -> None:
        if number and not self._signalled:
            self._popen.send_signal(number)
            self._signalled = True

    def outcome(self, *, stopping: bool) -> RunOutcome | None:
        """How it ended; None while it works."""
        code = self._popen.poll()
        if not code:
            return None if code is None else RunOutcome(self._run, 0)
        error = last_error(self._output.read_bytes()[self._offset :].decode(errors="replace"))
        ending = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        failure = f"{ending}, {error} (see {self._output})"
        return RunOutcome(self._run, code, failure, stopped=stopping and code in STOPPED)

    def kill(self) -> None:
        """Ends it and the processes that it started, whether or not they have saved."""
        try:
            os.killpg(self._popen.pid, signal.SIGTERM)
            self._popen.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self._popen.kill()
        self._popen.wait()
