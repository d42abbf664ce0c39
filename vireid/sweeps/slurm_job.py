"""What runs inside a Slurm job: one training, from wherever its folder stands by then.

Light on purpose: it waits beside the training and imports none of its libraries.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.sweeps.local import OUTPUT

HEADER = "[Slurm job "  # starts the line before what each job printed
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
MOST_RESTARTS = 100  # of a job that never gets anywhere


def exit_file(folder: Path, job_id: str) -> Path:
    """Where a job leaves its training's exit code; its absence tells of a job that was killed."""
    return folder / f"{job_id}_exit.txt"


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A run's training as a job; submitit pickles it and calls it on the node.

    Shortly before its time limit Slurm sends SIGUSR2: the training saves a checkpoint and the job
    goes back into the queue, from where it continues.

    Args:
        command: trains the run from its start.
        folder: of the run, absolute.
        place: working directory of the command.
        jobs: folder of what the jobs leave.
        checkpoint: within the run's folder, what a continuation needs.
    """

    command: Sequence[str]
    folder: Path
    place: Path
    jobs: Path
    checkpoint: str

    def __call__(self) -> None:
        exit_file(self.jobs, _job_id()).unlink(missing_ok=True)  # of an earlier start
        flags = self._flags()
        if flags is None:
            return self._leave(0)
        code, asked = self._train([*self.command, *flags])
        if asked and code in STOPPED and self._requeue():
            time.sleep(600)  # Slurm ends this process
        return self._leave(code)

    def _flags(self) -> list[str] | None:
        """How to start: a folder may hold more by now than when the job was submitted.

        Returns:
            None when the run is finished.
        """
        if (self.folder / "results.json").is_file():
            return None
        if (self.folder / self.checkpoint).is_file():
            return ["--resume"]
        return ["--overwrite"] if (self.folder / "config.yaml").is_file() else []

    def _train(self, command: Sequence[str]) -> tuple[int, bool]:
        """The training's exit code, and whether it was asked to stop for the time limit."""
        asked = False
        self.folder.mkdir(parents=True, exist_ok=True)
        # Slurm sends its signals to every process of the job: only this one heeds SIGUSR2.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        with (self.folder / OUTPUT).open("ab") as file:
            file.write(f"{HEADER}{_job_id()} on {socket.gethostname()}]\n".encode())
            file.flush()
            training = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.place,
                env=_environment(),
            )

        def stop(number: int, frame: object) -> None:
            nonlocal asked
            if not asked:
                asked = True
                training.send_signal(signal.SIGTERM)

        signal.signal(signal.SIGUSR2, stop)
        return training.wait(), asked

    def _requeue(self) -> bool:
        """Whether Slurm will start this job again."""
        if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= MOST_RESTARTS:
            print(f"not started again: its time limit came {MOST_RESTARTS} times", file=sys.stderr)
            return False
        return subprocess.run(["scontrol", "requeue", _job_id()]).returncode == 0

    def _leave(self, code: int) -> None:
        """Keeps the exit code for the tool that waits, and ends with it for Slurm's own records."""
        path = exit_file(self.jobs, _job_id())
        temporary = path.with_suffix(".tmp")
        temporary.write_text(str(code))
        temporary.replace(path)
        if code:
            raise SystemExit(code if code > 0 else 128 - code)


def _job_id() -> str:
    return os.environ["SLURM_JOB_ID"]


def _environment() -> dict[str, str]:
    """As many threads as the job has processors, unless the user said how many."""
    count = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    return {**({"OMP_NUM_THREADS": count} if count else {}), **os.environ}
