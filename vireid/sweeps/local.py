"""Trains the runs of a sweep on this machine, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import vireid
from vireid.engine.signals import StopFlag
from vireid.errors import UsageError
from vireid.sweeps.planner import Run, State

OUTPUT = "output.txt"  # in a run's folder: all that its processes printed


def error_in(path: Path, *, offset: int = 0, after: str = "") -> str:
    """The error that a process ended with, or else the last line that it printed.

    Args:
        offset: bytes of earlier processes.
        after: what follows the last line that starts so counts; everything where there is none.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = lines_of(file.read().decode(errors="replace"))
    except OSError:
        lines = []
    starts = [i for i, line in enumerate(lines) if after and line.startswith(after)]
    lines = lines[starts[-1] + 1 if starts else 0 :]
    errors = [line for line in lines if line.startswith("error: ")]
    told = (errors or lines or ["it printed nothing"])[-1]
    return told.removesuffix("; continue with:")  # a command follows there


def lines_of(text: str) -> list[str]:
    """Those that are not empty; a progress bar's states are lines."""
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


POLL = 0.1  # seconds between looks at the processes
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is to be trained.

    Args:
        command: the program and its arguments.
    """

    run: Run
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run's process ended.

    Args:
        code: its exit code; negative: the signal that killed it.
        message: the error that it ended with; empty when it finished.
        stopped: it ended because this program was asked to stop.
        ending: how Slurm says that it ended; empty on this machine.
        partial: ``seconds`` are not of all its training.
    """

    run: Run
    code: int
    seconds: float
    message: str = ""
    stopped: bool = False
    ending: str = ""
    partial: bool = False


class Watcher(Protocol):
    """Who is told of what happens."""

    def started(self, run: Run) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def train_command(base: Path, run: Run, state: State) -> list[str]:
    """What trains a run, or continues it."""
    how = {State.INTERRUPTED: ["--resume"], State.UNSAVED: ["--overwrite"]}.get(state, [])
    python = [sys.executable, "-m", "vireid", "train"]
    return [*python, "--cfg", str(base), *run.overrides, *how]


def run_jobs(
    jobs: Sequence[Job], slots: Sequence[Mapping[str, str]], watcher: Watcher
) -> tuple[list[Outcome], int]:
    """Trains the runs in order, as many at a time as there are slots.

    The first SIGINT or SIGTERM is passed on to the processes, which save a checkpoint; nothing new
    is started. A second one ends them at once.

    Args:
        slots: environment variables of each place where a run can be trained.
    Returns:
        the outcomes of all that were started, and the signal that kept some from their end (0:
        none).
    """
    waiting, free = deque(jobs), list(slots)
    working: list[_Process] = []
    outcomes: list[Outcome] = []
    with StopFlag() as stop:
        try:
            while working or (waiting and not stop.received):
                while waiting and free and not stop.received:
                    job = waiting.popleft()
                    watcher.started(job.run)
                    working.append(_Process(job, free.pop(0)))
                for process in list(working):
                    process.pass_on(stop.received)
                    outcome = process.outcome(stopping=stop.received)
                    if outcome:
                        working.remove(process)
                        free.append(process.slot)
                        outcomes.append(outcome)
                        watcher.ended(outcome)
                time.sleep(POLL if working else 0)
        finally:
            for process in working:
                process.kill()
    cut_short = waiting or any(outcome.stopped for outcome in outcomes)
    return outcomes, stop.received if cut_short else 0


@dataclass
class _Process:
    """A run's process; it has a session of its own, so that Ctrl-C reaches it once, from here."""

    job: Job
    slot: Mapping[str, str]
    signalled: bool = False
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        folder = self.job.run.folder
        self.output = folder / OUTPUT
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.output.touch()
        except OSError as error:
            raise UsageError(f"cannot write {self.output}: {error.strerror}") from error
        self.offset = self.output.stat().st_size  # it keeps what earlier processes printed
        path = [str(Path(vireid.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        with self.output.open("ab") as file:
            self.popen = subprocess.Popen(
                self.job.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, **self.slot},
                start_new_session=True,
            )

    def pass_on(self, number: int) -> None:
        if number and not self.signalled and self.popen.poll() is None:
            self.popen.send_signal(number)
            self.signalled = True

    def outcome(self, *, stopping: int) -> Outcome | None:
        """How it ended; None while it works."""
        code = self.popen.poll()
        if code is None:
            return None
        seconds = time.monotonic() - self.started
        if code == 0:
            return Outcome(self.job.run, code, seconds)
        stopped = bool(stopping) and code in STOPPED
        error = error_in(self.output, offset=self.offset)
        return Outcome(self.job.run, code, seconds, error, stopped)

    def kill(self) -> None:
        """Ends it and the processes that it started, whether or not they have saved."""
        try:
            os.killpg(self.popen.pid, signal.SIGTERM)
            self.popen.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.popen.kill()
        self.popen.wait()


def slots_for(jobs: int | None, gpus: Sequence[str], *, processors: int) -> list[dict[str, str]]:
    """Where runs can be trained at the same time: one per GPU, or ``jobs`` (1) on the processor.

    Args:
        jobs: how many; None: as many as there are GPUs, or 1.
        gpus: names of GPUs as CUDA_VISIBLE_DEVICES takes them.
        processors: shared by the runs, unless OMP_NUM_THREADS says how many threads each has.
    """
    count = jobs or max(1, len(gpus))
    slots = [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {} for i in range(count)]
    if count > 1 and "OMP_NUM_THREADS" not in os.environ:
        slots = [{**slot, "OMP_NUM_THREADS": str(max(1, processors // count))} for slot in slots]
    return slots
