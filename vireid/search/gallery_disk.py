"""Writing so that a stop at any moment, or a power cut, leaves what was there before."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vireid.errors import UsageError
from vireid.utils.io import locked as file_locked
from vireid.utils.io import replace_file

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The lock ends with its process, however that ends.

    Raises:
        UsageError: another process writes the gallery.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_locked(folder / LOCK))
        except BlockingIOError as error:
            with (folder / LOCK).open(encoding="utf-8", errors="replace") as file:
                who = file.read(200).strip() or "another process"
            raise UsageError(
                f"the gallery {folder} is being written by {who}: wait until it has finished"
            ) from error
        # not replaced: the lock is that of this very file
        with (folder / LOCK).open("w", encoding="utf-8") as file:
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield


def commit(path: Path, data: bytes) -> None:
    """Replaces a file; when this returns, the new one is on the disk."""

    def write(file: BinaryIO) -> None:
        file.write(data)
        sync(file)

    replace_file(path, write)
    with suppress(OSError):  # where folders can be opened, a rename lasts through a power cut
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def write_behind(path: Path, at: int, data: bytes) -> None:
    """Writes behind the first ``at`` bytes, and nothing stays behind that."""
    if not data and path.stat().st_size == at:
        return
    with path.open("r+b") as file:
        file.truncate(at)
        file.seek(at)
        file.write(data)
        sync(file)
