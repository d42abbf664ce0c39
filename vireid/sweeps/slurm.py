"""Trains the runs of a sweep as jobs of a Slurm cluster; submitit submits one job per run.

The state of the jobs is squeue's, not submitit's: submitit asks sacct, which needs an accounting
database that many clusters lack. By their names squeue also lists the jobs that an earlier call
submitted, so that no run is submitted twice.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vireid
from vireid.engine.checkpoint import LAST
from vireid.engine.signals import StopFlag
from vireid.errors import UsageError
from vireid.sweeps.planner import SweepRun
from vireid.sweeps.progress import OUTPUT, RunOutcome, SweepProgress, last_error, lines_of
from vireid.sweeps.slurm_job import HEADER, TrainJob, exit_file

FOLDER = "slurm"  # in the sweep's: what submitit and the jobs write
GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres", "tres-per-task")
SAVING = 120  # seconds before its time limit at which a job is told to save
TIMEOUT = 120  # seconds that squeue may take to answer
POLL = 10.0  # seconds between looks at the queue
PATIENCE = 20.0  # seconds until a shared disk shows a file that another machine wrote
# Slurm lists jobs for some minutes after they end. In all other states a job goes on.
ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED "
    "TIMEOUT".split()
)
WAITING = frozenset("CONFIGURING PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT".split())
GONE = "GONE"  # our name for the state of a job that Slurm does not list any more


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in Slurm's queue, or one that ended lately."""

    job_id: str
    state: str  # Slurm's name of it, such as PENDING
    name: str


def read_queue() -> dict[str, QueuedJob]:
    """The user's jobs by their ids; :class:`UsageError` without squeue, or without its answer."""
    command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%j"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT
        )
    except FileNotFoundError:
        raise UsageError("there is no squeue here: is this a Slurm machine?") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"squeue does not answer within {TIMEOUT} s") from None
    if done.returncode:
        raise UsageError((lines_of(done.stderr) or [f"squeue: exit code {done.returncode}"])[-1])
    fields = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return {job_id: QueuedJob(job_id, state, name) for job_id, state, name in fields}


def jobs_in_queue(runs: Iterable[SweepRun]) -> dict[SweepRun, QueuedJob]:
    """The jobs that wait or work, by their runs; errors as :func:`read_queue` has them."""
    active = {job.name: job for job in read_queue().values() if job.state not in ENDED}
    return {run: active[job_name(run)] for run in runs if job_name(run) in active}


def job_name(run: SweepRun) -> str:
    """The name of a run's job, by which a later call finds it in the queue."""
    digest = hashlib.sha256(str(run.folder.resolve()).encode()).hexdigest()[:8]
    return f"{run.name} {digest}"


def with_gpu(options: Mapping[str, str], runs: Iterable[SweepRun]) -> dict[str, str]:
    """Options of sbatch: one GPU unless they say otherwise (0: none), or DEVICE is cpu."""
    found = dict(options)
    if not any(name in found for name in GPU_OPTIONS) and any(r.cfg.DEVICE != "cpu" for r in runs):
        found["gpus"] = "1"
    return {name: text for name, text in found.items() if name not in GPU_OPTIONS or text != "0"}


def train_on_slurm(
    commands: Mapping[SweepRun, Sequence[str]],
    folder: Path,
    options: Mapping[str, str],
    progress: SweepProgress,
) -> tuple[list[str], int]:
    """Submits a job for every run that has none in the queue, and waits for all jobs.

    SIGINT and SIGTERM end the waiting, not the jobs.

    Args:
        commands: what trains each run from its start.
        folder: for what submitit and the jobs write, on a disk that all nodes see.
        options: of sbatch.
        progress: keeps the outcomes of the jobs that end.
    Returns:
        the ids of the jobs still in the queue, and the signal that ended the waiting (0: none).
    Raises:
        UsageError: there is no submitit or no Slurm here, or sbatch refuses the options.
    """
    jobs = _SweepJobs(commands, folder.resolve(), options, progress)
    with StopFlag() as stop:
        while jobs.left and not stop.received:
            jobs.update()
            until = time.monotonic() + POLL
            while jobs.left and not stop.received and time.monotonic() < until:
                time.sleep(0.1)
    return [job.job_id for job in jobs.queued.values()], stop.received if jobs.left else 0


def _executor(folder: Path, options: Mapping[str, str]) -> Any:
    """submitit's executor, with the options of all jobs of a sweep."""
    try:
        import submitit
    except ImportError as error:
        what = "--executor slurm needs submitit: pip install 'vireid[slurm]'"
        raise UsageError(what) from error
    for program in ("sbatch", "squeue", "srun"):
        if shutil.which(program) is None:
            raise UsageError(
                f"--executor slurm: there is no {program} here; call it on a machine of the "
                "cluster, or use --executor local"
            )
    folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.SlurmExecutor(folder)
    sources = shlex.quote(str(Path(vireid.__file__).parents[1]))
    cpus = options.get("cpus-per-task")
    executor.update_parameters(
        time=None,  # submitit's default is five minutes; the cluster's own is better
        wckey=None,
        signal_delay_s=SAVING,
        setup=[f"export PYTHONPATH={sources}${{PYTHONPATH:+:$PYTHONPATH}}"],
        srun_args=[f"--cpus-per-task={cpus}"] if cpus else [],  # not inherited since 22.05
        additional_parameters={"requeue": True} | {k: v or True for k, v in options.items()},
    )
    return executor


class _SweepJobs:
    """The jobs of a sweep from their submission to their end."""

    def __init__(
        self,
        commands: Mapping[SweepRun, Sequence[str]],
        folder: Path,
        options: Mapping[str, str],
        progress: SweepProgress,
    ) -> None:
        self._commands, self._folder, self._progress = commands, folder, progress
        self._gpus = options.get("gpus")
        self._executor = _executor(folder, options)
        self._squeue_answers = True
        self.queued = jobs_in_queue(commands)
        self._unsubmitted = deque(run for run in commands if run not in self.queued)
        for run, job in self.queued.items():
            progress.say(f"{run.name} in the queue since an earlier call: job {job.job_id}")
            if job.state not in WAITING:
                progress.started(run)

    @property
    def left(self) -> int:
        """Runs whose jobs have not ended."""
        return len(self._unsubmitted) + len(self.queued)

    def update(self) -> None:
        """Submits what can be submitted, and reads what happened to the jobs."""
        self._submit_all()
        try:
            listed = read_queue()
        except UsageError as error:
            if self._squeue_answers:
                self._progress.say(f"{error}; the jobs go on, and this tool asks again")
            self._squeue_answers = False
            return
        self._squeue_answers = True
        for run, job in list(self.queued.items()):
            self._move(run, job, listed.get(job.job_id) or QueuedJob(job.job_id, GONE, job.name))

    def _submit_all(self) -> None:
        """Where a limit on jobs is met, the other runs wait until a job has ended."""
        submitted = False
        while self._unsubmitted:
            run = self._unsubmitted[0]
            try:
                job = self._submit(run)
            except UsageError as error:
                if not self.queued:
                    raise
                if submitted:
                    left = len(self._unsubmitted)
                    self._progress.say(f"{error}; {left} runs wait for others to end")
                return
            self.queued[self._unsubmitted.popleft()] = job
            submitted = True
            self._progress.say(f"{run.name} submitted: job {job.job_id}")

    def _submit(self, run: SweepRun) -> QueuedJob:
        name, command = job_name(run), tuple(self._commands[run])
        self._executor.update_parameters(job_name=name)
        job = TrainJob(command, run.folder.resolve(), LAST, OUTPUT, Path.cwd(), self._folder)
        try:
            with redirect_stderr(io.StringIO()):  # submitit repeats there what sbatch prints
                return QueuedJob(self._executor.submit(job).job_id, "PENDING", name)
        except RuntimeError as error:
            lines = lines_of(str(error))
            refusal = "; ".join(line.removeprefix("sbatch: error: ") for line in lines)
            if self._gpus and "resource" in refusal:  # a cluster without GPUs
                refusal += f" (it asks for gpus={self._gpus}; --gpus 0 asks for none)"
            raise UsageError(f"Slurm refuses the job {run.name}: {refusal}") from error

    def _move(self, run: SweepRun, before: QueuedJob, now: QueuedJob) -> None:
        self.queued[run] = now
        if now.state in ENDED or now.state == GONE:
            del self.queued[run]
            self._progress.ended(self._outcome(run, now))
        elif before.state in WAITING and now.state not in WAITING:
            self._progress.started(run)
        elif before.state not in WAITING and now.state in WAITING:
            self._progress.say(f"{run.name} is back in the queue, to continue there")

    def _outcome(self, run: SweepRun, job: QueuedJob) -> RunOutcome:
        """By the training's exit code, or by Slurm's state of a job that was killed."""
        file = exit_file(self._folder, job.job_id)
        killed = job.state not in ("COMPLETED", "FAILED", GONE)
        code = _text_of(file, patience=0 if killed else PATIENCE)
        results = run.folder / "results.json"
        if code == "0" and _text_of(results, patience=PATIENCE):
            return RunOutcome(run, 0)
        ending = f"job {job.job_id} {job.state}"
        if code:
            ending += f", but there is no {results}" if code == "0" else f", exit code {code}"
        output = run.folder / OUTPUT
        printed = _text_of(output).rpartition(f"{HEADER}{job.job_id} ")[2].partition("\n")[2]
        log = _text_of(self._folder / f"{job.job_id}_0_log.err")
        error = last_error(printed if printed.strip() else log)
        return RunOutcome(run, int(code or 0) or 1, f"{ending}, {error} (see {output})")


def _text_of(path: Path, *, patience: float = 0) -> str:
    """What a file holds; empty when there is none within so many seconds."""
    until = time.monotonic() + patience
    while not path.is_file() and time.monotonic() < until:
        time.sleep(0.2)
    return path.read_text(errors="replace") if path.is_file() else ""
