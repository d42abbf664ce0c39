"""LanceDB's errors as one line each, and commits that are tried again."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vireid.errors import CheckpointError, UsageError, VireidError
from vireid.search.storage import storage_error

T = TypeVar("T")
ATTEMPTS = 12  # of a commit that other processes' commits overtake
# What LanceDB says of a disk, and what to do.
DISK_ERRORS = {
    "No space left on device|os error 28|Disk quota|os error 122": "make room and start again; "
    "what was written before is whole",
    "Permission denied|os error 13": "ask its owner for the right to read or write it",
    "Operation not permitted|os error 1\\)|Operation not supported|os error 95": "name a place on "
    "another file system: this one may not be changed, or has no hard links",
    "Read-only file system|os error 30": "name a folder that can be written",
    "File too large|os error 27": "files may not grow so large here (ulimit -f); raise that",
    "Too many open files|os error 24": "this process may open no more files (ulimit -n)",
}
CONFLICT = re.compile(r"conflict|concurrent|preempted|too much contention", re.IGNORECASE)


def is_panic(error: BaseException) -> bool:
    """Whether LanceDB's own code gave up: it has no class of errors for that."""
    return "panic" in f"{type(error).__name__} {error}".lower()


def short(error: BaseException) -> str:
    """An error of LanceDB's without the places in its source code, on one line."""
    text = re.sub(r",? ?(/[\w./-]*)?/(registry|rustc)/\S+", "", str(error))
    text = re.sub(r"lance error: |Invalid (user )?input[:,] |Schema error: ", "", text)
    text = re.sub(r" Valid fields are .*", "", text, flags=re.DOTALL)
    return " ".join(text.split())[:300]


@contextmanager
def lance_errors(place: str) -> Iterator[None]:
    """Turns what LanceDB raises about a gallery into errors of this project.

    Raises:
        UsageError: the disk is full or cannot be written, or other processes write all the time.
        CheckpointError: the gallery is damaged, or its storage does not answer.
    """
    try:
        yield
    except (VireidError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if not isinstance(error, (OSError, RuntimeError, ValueError)) and not is_panic(error):
            raise
        raise _translated(place, error) from error


def _translated(place: str, error: BaseException) -> VireidError:
    text = str(error)
    for pattern, remedy in DISK_ERRORS.items():
        if re.search(pattern, text):
            return UsageError(f"gallery {place}: {short(error)}: {remedy}")
    if CONFLICT.search(text):
        return UsageError(
            f"gallery {place}: other processes change it all the time; start again later "
            f"({short(error)})"
        )
    return storage_error(place, text) or CheckpointError(
        f"the gallery {place} is damaged: {short(error)}; restore it from a copy, or build it again"
    )


def is_conflict(error: BaseException) -> bool:
    """Whether a commit failed because another process was faster."""
    return CONFLICT.search(str(error)) is not None


def committed(table: Any, action: Callable[[], T]) -> T:
    """Does a commit; again after a random pause, on the newest state, if another was faster.

    Args:
        table: that the action changes.
    """
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except (OSError, RuntimeError, ValueError) as error:
            if attempt == ATTEMPTS - 1 or not is_conflict(error):
                raise
            time.sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))
            table.checkout_latest()
    raise AssertionError("the last attempt returns or raises")
