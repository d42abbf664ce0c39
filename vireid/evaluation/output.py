"""Files that the tools write: never in place of something else, never half."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO

from vireid.errors import UsageError


def require_target(path: Path, *, inputs: Collection[Path] = ()) -> None:
    """Fails before the work is done rather than after it.

    Args:
        path: file to be written.
        inputs: files and folders that the work reads.
    Raises:
        UsageError: it is a folder, a device or one of the inputs, or cannot be written.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: it must be a file in a folder that exists")
    if path.exists() and not path.is_file():
        raise UsageError(f"cannot write {path}: it is no ordinary file")
    if path.resolve() in {one.resolve() for one in inputs}:
        raise UsageError(f"cannot write {path}: it is being read; name another file")
    if not os.access(path.parent.resolve(), os.W_OK):
        raise UsageError(f"cannot write {path}: its folder cannot be written")


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file beside ``path`` and renames it: a reader never sees half a file.

    A link stays a link: what it points to is replaced.

    Raises:
        UsageError: the disk is full, or the file cannot be written.
    """
    target = path.resolve()
    # not tempfile: its files are readable by their owner alone, and so would the results be
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
