"""Slurm's queue: which of the user's jobs there are, and how they stand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from vireid.sweeps.local import lines_of

# Slurm remembers ended jobs for minutes (MinJobAge). All other states mean that a job goes on.
ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED "
    "TIMEOUT".split()
)
RUNNING = frozenset("COMPLETING RUNNING SIGNALING STAGE_OUT STOPPED SUSPENDED".split())
FIELDS = "%i|%T|%M|%r|%j"  # the name last: it may hold anything
TIMEOUT = 120  # seconds that a busy controller may take


class QueueError(Exception):
    """The controller did not answer; it may the next time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A job in the queue, or lately there.

    Args:
        state: Slurm's name of it, such as PENDING.
        seconds: that it has run since it was last started.
        reason: why it waits, in Slurm's words.
    """

    job_id: str
    state: str
    seconds: float
    reason: str

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def running(self) -> bool:
        return self.state in RUNNING


def read_queue() -> dict[str, list[Entry]]:
    """The user's jobs by their names, those that ended lately too; the oldest first.

    Raises:
        QueueError: there is no squeue here, or the controller does not answer.
    """
    command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}"]
    try:
        done = subprocess.run(
            [*command, f"--format={FIELDS}"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # other people's names of jobs
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        raise QueueError("there is no squeue here: is this a Slurm machine?") from None
    except subprocess.TimeoutExpired:
        raise QueueError(f"squeue took more than {TIMEOUT} s") from None
    if done.returncode:
        told = lines_of(done.stderr) or [f"squeue: exit code {done.returncode}"]
        raise QueueError(told[-1])
    found: dict[str, list[Entry]] = {}
    for line in done.stdout.splitlines():
        job_id, state, time, reason, name = (*line.split("|", 4), "", "", "", "")[:5]
        if name and job_id.isdigit():  # others are of arrays, of several parts, or half a name
            found.setdefault(name, []).append(Entry(job_id, state, _seconds(time), reason))
    return {name: sorted(jobs, key=lambda job: int(job.job_id)) for name, jobs in found.items()}


def active(jobs: Iterable[Entry]) -> Entry | None:
    """The one that waits or runs; None when all have ended."""
    return next((job for job in jobs if not job.ended), None)


def _seconds(time: str) -> float:
    """``1-02:03:04`` or ``3:04``; 0 where Slurm does not know."""
    days, _, clock = time.rpartition("-")
    try:
        total = 0
        for part in clock.split(":"):
            total = 60 * total + int(part)
        return 86400 * int(days or 0) + total
    except ValueError:
        return 0.0
