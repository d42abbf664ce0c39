"""Locks, also where a file system has none; lines for readers that may have gone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vireid.utils import io
from vireid.utils.io import locked


@pytest.fixture(autouse=True)
def _warn_again():
    io._warn_of_no_locks.cache_clear()


def refuse(monkeypatch, number: int, *, folders_only: bool = False) -> None:
    real = io.fcntl.flock

    def flock(descriptor, operation):
        if folders_only and Path(f"/proc/self/fd/{descriptor}").is_file():
            return real(descriptor, operation)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(io.fcntl, "flock", flock)


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTSUP]
)
@pytest.mark.parametrize("place", ["folder", "file"])
def test_without_locks_there_is_one_warning_and_the_work_goes_on(
    tmp_path, monkeypatch, caplog, number, place
):
    refuse(monkeypatch, number)
    done = []
    for _ in range(2):
        with locked(tmp_path if place == "folder" else tmp_path / "lock", wait=True):
            done.append(1)
    assert len(done) == 2
    (warning,) = caplog.messages
    assert "has no locks" in warning and os.strerror(number) in warning


def test_a_folder_that_cannot_be_locked_is_locked_by_a_file_in_it(tmp_path, monkeypatch, caplog):
    """NFS: an exclusive lock needs a descriptor that can be written, which no folder has."""
    refuse(monkeypatch, errno.EBADF, folders_only=True)
    with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path):
        pass
    with locked(tmp_path):
        assert not caplog.messages


def test_other_errors_of_locks_are_raised(tmp_path, monkeypatch):
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass


def test_a_line_for_a_reader_that_has_gone_does_not_end_the_work():
    code = (
        "import os\nfrom vireid.utils.io import say\nfor _ in range(9): say('x' * 9999)\n"
        "os.write(2, b'done')\nos._exit(0)"
    )
    command = f'{sys.executable} -c "$CODE" | head -c 5'
    environment = {**os.environ, "CODE": code}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True)
    assert (done.stdout, done.stderr) == (b"xxxxx", b"done")
