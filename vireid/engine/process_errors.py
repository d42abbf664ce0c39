"""When another process dies: which one it was, and how to go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from vireid.errors import ProcessError

LOADER = re.compile(r"DataLoader worker \(pid.*?\) (?:is killed by signal: ([\w ]+)|exited)")
PEER = re.compile(
    r"closed by peer|reset by peer|Socket closed|Broken pipe|NCCL|gloo", re.IGNORECASE
)


@contextmanager
def explain_worker_errors() -> Iterator[None]:
    """Turns torch's errors about processes that died into one line.

    Raises:
        ProcessError: a loader process, or another process of torchrun's, died.
    """
    try:
        yield
    except RuntimeError as error:
        line = _explanation(str(error))
        if not line:
            raise
        raise ProcessError(line) from error


def _explanation(text: str) -> str:
    """Empty where the error is about something else."""
    loader = LOADER.search(text)
    if loader:
        by = f" (signal: {loader[1].strip()})" if loader[1] else ""
        return (
            f"a process that loads data died{by}: memory, or shared memory (/dev/shm), may be too "
            "small for DATA.WORKERS; the last checkpoint is whole: continue with --resume, and "
            "with fewer DATA.WORKERS if it happens again"
        )
    if PEER.search(text):
        said = " ".join(text.split())
        return (
            "another process of this training died or cannot be reached, and says itself why, if "
            f"it can (here: {said:.160}); the last checkpoint is whole: continue with the same "
            "torchrun command and --resume"
        )
    return ""
