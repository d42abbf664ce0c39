"""Trains the runs of a sweep as jobs of a Slurm cluster, which submitit submits."""

from __future__ import annotations

import hashlib
import io
import shlex
import shutil
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import vireid
from vireid.engine.checkpoint import LAST
from vireid.engine.signals import StopFlag
from vireid.errors import UsageError
from vireid.sweeps.local import OUTPUT, Job, Outcome, Watcher, error_in, lines_of
from vireid.sweeps.planner import Run
from vireid.sweeps.slurm_job import HEADER, TrainJob, exit_file
from vireid.sweeps.slurm_queue import Entry, QueueError, active, read_queue
from vireid.sweeps.spec import GPU_OPTIONS

FOLDER = "slurm"  # in the sweep's: what submitit and the jobs leave
FASTEST, SLOWEST = 1.0, 30.0  # seconds between looks at the queue: after news, and without any
PATIENCE = 20.0  # seconds that a disk of several machines may take to show a file
SAVING = 120  # seconds before its time limit at which a job is told to save
GONE = "GONE"  # our name for the state of a job that Slurm has forgotten


class SlurmWatcher(Watcher, Protocol):
    """Who is told of what happens."""

    def found(self, job_ids: Mapping[Run, str], *, submitted: bool) -> None: ...

    def queued(self, running: Sequence[Run], reasons: Mapping[str, int]) -> None: ...

    def warned(self, line: str) -> None: ...


def job_name(run: Run) -> str:
    """What a run's job is called, by which another call finds it in the queue."""
    digest = hashlib.sha256(str(run.folder.resolve()).encode()).hexdigest()[:8]
    return f"{run.name} {digest}"


def jobs_in_queue(runs: Sequence[Run]) -> dict[Run, Entry]:
    """Those that wait or work in the queue already.

    Raises:
        QueueError: the queue cannot be read.
    """
    queue = read_queue()
    found = {run: active(queue.get(job_name(run), [])) for run in runs}
    return {run: entry for run, entry in found.items() if entry}


def sbatch_options(options: Mapping[str, str], runs: Sequence[Run]) -> dict[str, str]:
    """One GPU unless the options say otherwise (0: none), or the runs want none."""
    found = dict(options)
    if not any(name in found for name in GPU_OPTIONS) and any(r.cfg.DEVICE != "cpu" for r in runs):
        found["gpus"] = "1"
    return {name: text for name, text in found.items() if name not in GPU_OPTIONS or text != "0"}


def run_on_slurm(
    jobs: Sequence[Job], folder: Path, options: Mapping[str, str], watcher: SlurmWatcher
) -> tuple[list[Outcome], dict[Run, str], int]:
    """Submits one job per run, but for those that have one in the queue, and waits for all.

    SIGINT and SIGTERM end the waiting, not the jobs.

    Args:
        jobs: commands that train each run from its start; the job itself sees what is there by
            the time it starts.
        folder: for what submitit and the jobs write, on a disk that all nodes see.
        options: of sbatch.
    Returns:
        the outcomes of the jobs that ended, those still in the queue by run, and the signal that
        ended the waiting (0: none).
    Raises:
        UsageError: there is no submitit or no Slurm here, or sbatch refuses the options.
    """
    submitter = _Submitter(folder.resolve(), options)
    crowd = _Crowd(jobs, submitter, watcher)
    with StopFlag() as stop:
        pause = FASTEST
        while crowd.left and not stop.received:
            pause = FASTEST if crowd.look() else min(SLOWEST, 1.5 * pause)
            until = time.monotonic() + (pause if crowd.left else 0)
            while time.monotonic() < until and not stop.received:
                time.sleep(0.1)
    return crowd.outcomes, crowd.job_ids, stop.received if crowd.left else 0


class _Submitter:
    """submitit's executor, and what every job of the sweep has in common."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self._submitit = _import_submitit()
        self.folder, self._options = folder, options
        self._root = str(Path(vireid.__file__).parents[1])
        cpus = options.get("cpus-per-task")
        folder.mkdir(parents=True, exist_ok=True)
        self._executor = self._submitit.SlurmExecutor(folder)
        self._executor.update_parameters(
            time=None,  # submitit's default would be five minutes, the cluster's own is right
            wckey=None,
            signal_delay_s=SAVING,
            setup=[f"export PYTHONPATH={shlex.quote(self._root)}${{PYTHONPATH:+:$PYTHONPATH}}"],
            srun_args=[f"--cpus-per-task={cpus}"] if cpus else [],  # not inherited since 22.05
            additional_parameters={
                "requeue": True,
                **{name: text or True for name, text in options.items()},
            },
        )

    def submit(self, job: Job) -> str:
        """Its id.

        Raises:
            UsageError: sbatch refuses it.
        """
        self._executor.update_parameters(job_name=job_name(job.run))
        folder = job.run.folder.resolve()
        task = TrainJob(tuple(job.command), folder, Path.cwd(), self.folder, LAST)
        try:
            with redirect_stderr(io.StringIO()):  # where submitit repeats what sbatch complains of
                return self._executor.submit(task).job_id
        except RuntimeError as error:  # submitit's errors are such
            told = "; ".join(line.removeprefix("sbatch: error: ") for line in lines_of(str(error)))
            if "gpus" in self._options and "resource" in told:  # on a cluster without GPUs, say
                told += f" (it asks for gpus={self._options['gpus']}; --gpus 0 asks for none)"
            raise UsageError(f"Slurm takes no job of {job.run.name}: {told}") from error


@dataclass(slots=True)
class _Waiting:
    """A run's job in the queue."""

    job: Job
    entry: Entry
    began: bool = False  # seen running
    whole: bool = True  # all of its training is seen from here


class _Crowd:
    """The jobs of a sweep from their submission to their end."""

    def __init__(self, jobs: Sequence[Job], submitter: _Submitter, watcher: SlurmWatcher) -> None:
        self._new, self._submitter, self._watcher = deque(jobs), submitter, watcher
        self._working: dict[str, _Waiting] = {}  # by job id
        self._silent = 0  # looks at the queue without an answer
        self.outcomes: list[Outcome] = []
        self._attach()

    @property
    def left(self) -> int:
        return len(self._new) + len(self._working)

    @property
    def job_ids(self) -> dict[Run, str]:
        return {waiting.job.run: job_id for job_id, waiting in self._working.items()}

    def _attach(self) -> None:
        """Takes over what an earlier call has submitted."""
        try:
            found = jobs_in_queue([job.run for job in self._new])
        except QueueError as error:
            raise UsageError(f"--executor slurm: {error}") from error
        for job in [job for job in self._new if job.run in found]:
            entry = found[job.run]
            self._new.remove(job)
            self._working[entry.job_id] = _Waiting(job, entry, whole=not entry.running)
        if found:
            ids = {run: entry.job_id for run, entry in found.items()}
            self._watcher.found(ids, submitted=False)

    def look(self) -> bool:
        """Submits what can be, looks at the queue, and tells of what happened, if anything did."""
        news = self._submit()
        try:
            entries = {entry.job_id: entry for jobs in read_queue().values() for entry in jobs}
        except QueueError as error:
            self._silent += 1
            if self._silent == 1:
                self._watcher.warned(f"{error}; the jobs go on, and this tool asks again")
            return news
        self._silent = 0
        for job_id, waiting in list(self._working.items()):
            gone = Entry(job_id, GONE, waiting.entry.seconds, "")
            news |= self._update(waiting, entries.get(job_id, gone))
        running = [w.job.run for w in self._working.values() if w.entry.running]
        reasons = Counter(w.entry.reason for w in self._working.values() if not w.entry.running)
        self._watcher.queued(running, reasons)
        return news

    def _submit(self) -> bool:
        """Where a limit on jobs is met, the rest waits until one has ended."""
        before = len(self._new)
        submitted = {}
        while self._new:
            job = self._new[0]
            try:
                job_id = self._submitter.submit(job)
            except UsageError as error:
                if not self._working:
                    raise
                if before != len(self._new):
                    self._watcher.warned(f"{error}; {len(self._new)} runs wait for others to end")
                break
            self._new.popleft()
            submitted[job.run] = job_id
            self._working[job_id] = _Waiting(job, Entry(job_id, "PENDING", 0.0, "None"))
        if submitted:
            self._watcher.found(submitted, submitted=True)
        return bool(submitted)

    def _update(self, waiting: _Waiting, entry: Entry) -> bool:
        before, waiting.entry = waiting.entry, entry
        if entry.running and not waiting.began:
            waiting.began = True
            self._watcher.started(waiting.job.run)
        if waiting.began and not entry.running and not entry.ended and entry.state != GONE:
            waiting.began = waiting.whole = False
            self._watcher.warned(f"{waiting.job.run.name} is back in the queue, to continue there")
        if entry.ended or entry.state == GONE:
            del self._working[entry.job_id]
            outcome = self._outcome(waiting)
            self.outcomes.append(outcome)
            self._watcher.ended(outcome)
        return entry.state != before.state

    def _outcome(self, waiting: _Waiting) -> Outcome:
        """How a job ended: by its exit code, or as Slurm says when it left none."""
        run, entry = waiting.job.run, waiting.entry
        path, results = exit_file(self._submitter.folder, entry.job_id), run.folder / "results.json"
        expected = entry.state in ("COMPLETED", "FAILED", GONE)
        code = _number_in(path, patience=PATIENCE if expected else 0.0)
        ending = f"job {entry.job_id} {entry.state}"
        if code == 0 and _appears(results, PATIENCE):
            return Outcome(run, 0, entry.seconds, partial=not waiting.whole)
        if code is not None:
            ending += f", exit code {code}" if code else f", but there is no {results}"
        log = self._submitter.folder / f"{entry.job_id}_0_log.err"
        message = error_in(run.folder / OUTPUT, after=f"{HEADER}{entry.job_id} ") or error_in(log)
        return Outcome(run, code or 1, entry.seconds, message, ending=ending)


def _number_in(path: Path, *, patience: float) -> int | None:
    return int(path.read_text()) if _appears(path, patience) else None


def _appears(path: Path, patience: float) -> bool:
    """Whether a file is there, or comes up within so many seconds."""
    until = time.monotonic() + patience
    while not path.is_file() and time.monotonic() < until:
        time.sleep(0.2)
    return path.is_file()


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        what = "--executor slurm needs submitit: pip install 'vireid[slurm]'"
        raise UsageError(f"{what} (or pip install submitit)") from error
    for program in ("sbatch", "squeue", "srun"):
        if shutil.which(program) is None:
            raise UsageError(
                f"--executor slurm: there is no {program} here; call it on a machine of the "
                "cluster, or use --executor local"
            )
    return submitit
