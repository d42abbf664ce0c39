"""What runs on a node of the cluster: one training, continued at its time limit.

It imports no torch: it waits beside the training.
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

HEADER = "[Slurm job "  # starts the line before what each job printed
MOST_RESTARTS = 100  # of a job at its time limit


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A run's training; submitit pickles it and calls it on the node.

    Shortly before the time limit Slurm sends SIGUSR2: the training saves a checkpoint, and the job
    goes back into the queue and continues there. submitit's own handler cannot do that: it needs
    the limit in minutes, which the user need not give, and does not wait for a checkpoint.

    Args:
        command: trains the run from its start.
        folder: of the run, absolute.
        checkpoint: file in it from which a training continues.
        output: file in it for all that the training prints.
        workdir: working directory of the command.
        jobs: folder of what the jobs write.
    """

    command: Sequence[str]
    folder: Path
    checkpoint: str
    output: str
    workdir: Path
    jobs: Path

    def __call__(self) -> None:
        job_id = os.environ["SLURM_JOB_ID"]
        exit_file(self.jobs, job_id).unlink(missing_ok=True)  # of an earlier start
        finished = (self.folder / "results.json").is_file()
        code, at_limit = (0, False) if finished else self._train(job_id)
        if at_limit and code == 128 + signal.SIGTERM and _requeue(job_id):
            time.sleep(600)  # Slurm ends this process
        exit_file(self.jobs, job_id).write_text(str(code))
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def _train(self, job_id: str) -> tuple[int, bool]:
        """The training's exit code, and whether it was told to stop for the time limit."""
        command = [*self.command]  # the folder may hold more by now than at the submission
        if (self.folder / self.checkpoint).is_file():
            command.append("--resume")
        elif (self.folder / "config.yaml").is_file():
            command.append("--overwrite")
        cpus = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
        threads = {"OMP_NUM_THREADS": cpus} if cpus else {}
        self.folder.mkdir(parents=True, exist_ok=True)
        # Slurm sends SIGUSR2 to every process of the job; the training must not die of it.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        with (self.folder / self.output).open("a") as file:
            print(f"{HEADER}{job_id} on {socket.gethostname()}]", file=file, flush=True)
            training = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.workdir,
                env={**threads, **os.environ},
            )
        at_limit: list[int] = []

        def stop(number: int, frame: object) -> None:
            if not at_limit:
                training.terminate()
            at_limit.append(number)

        signal.signal(signal.SIGUSR2, stop)
        return training.wait(), bool(at_limit)


def exit_file(jobs: Path, job_id: str) -> Path:
    """Where a job writes its training's exit code; a job that was killed writes none."""
    return jobs / f"{job_id}_exit.txt"


def _requeue(job_id: str) -> bool:
    """Whether Slurm will start this job again."""
    if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= MOST_RESTARTS:
        print(f"not started again: it was {MOST_RESTARTS} times at its limit", file=sys.stderr)
        return False
    return subprocess.run(["scontrol", "requeue", job_id]).returncode == 0
