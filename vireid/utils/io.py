"""Files that the tools write: never in place of something else, never half; locks; id lists."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from vireid.errors import DataError, UsageError

try:
    import fcntl
except ImportError:  # Windows: two writers are not kept apart there
    fcntl = None  # type: ignore[assignment]


log = logging.getLogger(__name__)

FOLDER_LOCK = ".lock"  # in a folder that cannot be locked itself
# What flock() fails with on file systems without locks, such as some network and FUSE ones.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF}
# Identities: int() would also take 1_000 and other scripts' digits, and longer ones fit no array.
NUMBER = re.compile(r"[0-9]{1,18}")


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: it cannot be read, or is no file: reading a pipe would never end.
        UnicodeDecodeError: it is no text.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.read_text(encoding="utf-8-sig")


def read_ids(path: Path, *, blanks: bool = False) -> list[int]:
    """Identities from one comma-separated line of numbers.

    Args:
        blanks: they may separate identities, too.
    Raises:
        DataError: the file is missing or holds anything else.
    """
    wanted = f"{path} must hold one comma-separated line of identity numbers"
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{wanted}: it is not a text file (.mat files are not read)") from error
    except OSError as error:
        raise DataError(f"{wanted} ({error.strerror})") from error
    parts = re.split(r"[\s,]" if blanks else r"[\n,]", text)
    items = [part.strip() for part in parts if part.strip()]
    wrong = [item for item in items if not NUMBER.fullmatch(item)]
    if wrong:
        raise DataError(f"{wanted}, got {wrong[0]!r:.60}")
    return [int(item) for item in items]


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
        raise UsageError(f"cannot write {path}: it is not a regular file")
    if path.resolve() in {one.resolve() for one in inputs}:
        raise UsageError(f"cannot write {path}: it is being read; name another file")
    if not os.access(path.parent.resolve(), os.W_OK):
        raise UsageError(f"cannot write {path}: its folder cannot be written")


def replace_file(path: Path, write: Callable[[BinaryIO], object], *, durable: bool = False) -> None:
    """Writes a file beside ``path`` and renames it: a reader never sees half a file.

    A link stays a link: the file it points to is replaced.

    Args:
        durable: return only when the new file is on the disk, so that it survives a power cut.
    Raises:
        UsageError: the disk is full, or the file cannot be written.
    """
    target = path.resolve()
    # not tempfile: only the owner can read its files, so only the owner could read the results
    # the number tells writers on other machines and in other threads apart
    temporary = target.with_name(f"{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        with suppress(OSError):  # systems that cannot open folders
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the rename, too, survives a power cut
            finally:
                os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file as a whole; half a surrogate pair is written as an escape."""
    replace_file(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def say(text: str) -> None:
    """Prints a line amid work, which goes on when the reader of a pipe has gone (``| head``)."""
    with suppress(BrokenPipeError):
        print(text, flush=True)


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a file or folder; the system lifts the lock of a process that dies.

    Child processes do not inherit the lock. Where the file system has no locks, a warning says
    that two writers are not kept apart.

    Args:
        path: a folder, or a file that is made when it is missing.
        wait: until the holder is done, instead of failing at once.
    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false.
    """
    if fcntl is None:
        yield
        return
    held = [_open_for_lock(path)]
    # A loader process that outlives a killed run for some seconds must not keep its lock.
    os.register_at_fork(after_in_child=lambda: _close(held))
    try:
        _lock(held, path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        _close(held)


def _lock(held: list[int], path: Path, operation: int) -> None:
    try:
        fcntl.flock(held[0], operation)
    except OSError as error:
        if isinstance(error, BlockingIOError):
            raise
        if error.errno == errno.EBADF and path.is_dir():  # NFS locks only what can be written
            _close(held)
            held.append(_open_for_lock(path / FOLDER_LOCK))
            _lock(held, path / FOLDER_LOCK, operation)
            return
        if error.errno not in NO_LOCKS:
            raise
        _warn_of_no_locks(error.strerror or str(error))


def _open_for_lock(path: Path) -> int:
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)


@cache  # once
def _warn_of_no_locks(reason: str) -> None:
    log.warning(
        "this file system has no locks (%s): make sure that no two processes write to the same "
        "run, gallery or cache at the same time",
        reason,
    )


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
