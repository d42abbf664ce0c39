"""Loader processes: small shared memory, processes that hang or die, the end of both."""

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tests.faults.scenarios import can_mount
from vireid.data import loading
from vireid.data.loading import Collate, batches, semaphores_work, use_shared_memory
from vireid.errors import ProcessError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")


@pytest.fixture(autouse=True)
def _warn_again(monkeypatch):
    monkeypatch.setattr(loading, "_warned", set())


@dataclass(frozen=True)
class Item:
    image: torch.Tensor
    label: int
    is_infrared: bool
    index: int


class Numbers(Dataset):
    """Image k is full of k; ``at`` does something when image 5 is read."""

    def __init__(self, at=lambda: None, size: int = 8) -> None:
        self.at, self.size = at, size

    def __len__(self) -> int:
        return 12

    def __getitem__(self, k: int) -> Item:
        if k == 5:
            self.at()
        return Item(torch.full((3, self.size, 4), k, dtype=torch.uint8), 10 * k, k % 2 == 1, k)


def loader(data: Dataset, *, shared: bool = True, timeout: float = 0) -> DataLoader:
    options = {"batch_size": 3, "num_workers": 2, "timeout": timeout}
    return DataLoader(data, collate_fn=Collate(shared), **options)


def require_all(found: list) -> None:
    assert [batch.images[:, 0, 0, 0].tolist() for batch in found] == [
        [k, k + 1, k + 2] for k in (0, 3, 6, 9)
    ]
    assert [label for batch in found for label in batch.labels.tolist()] == list(range(0, 120, 10))


@LINUX
@pytest.mark.parametrize("room", ["enough", "planned", "none", "filled meanwhile", "unknown"])
def test_batches_arrive_whatever_room_shared_memory_has(monkeypatch, caplog, room):
    free = {"none": 0, "unknown": None}.get(room, 1 << 40)
    monkeypatch.setattr(loading, "free_shared_memory", lambda: free)
    if room == "filled meanwhile":

        def full(tensor):
            raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

        monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    require_all(list(batches(loader(Numbers(), shared=room != "planned"))))
    expected = 0 if room in ("enough", "planned") else 1  # what was planned was said before
    assert len(caplog.messages) == expected
    assert all("/dev/shm" in text and "--shm-size" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("workers", "megabytes", "free", "processes", "fits"),
    [
        (2, 14.2, 64, "1", False),  # docker's usual 64 MB
        (2, 14.2, 100, "1", True),
        (2, 14.2, 100, "2", False),
        (4, 1.0, 16, "1", True),
        (0, 999.0, 1, "8", True),  # no loader process, no shared memory
    ],
)
def test_the_room_is_compared_before_the_first_batch(
    monkeypatch, caplog, workers, megabytes, free, processes, fits
):
    monkeypatch.setattr(loading, "free_shared_memory", lambda: free * 10**6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert use_shared_memory(workers, int(megabytes * 1e6)) is fits
    assert use_shared_memory(workers, int(megabytes * 1e6)) is fits
    assert len(caplog.messages) == (not fits)
    for text in caplog.messages:
        assert f"{free} MB free" in text and f"{megabytes:.1f} MB" in text
        assert f"DATA.WORKERS {workers}" in text and "--shm-size" in text


def test_without_semaphores_there_are_no_loader_processes(monkeypatch, caplog):
    assert semaphores_work()

    def refused(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refused)
    assert not semaphores_work()
    assert "No space left" in caplog.text and "DATA.WORKERS 0" in caplog.text


@LINUX
@pytest.mark.parametrize(
    ("at", "phrase"),
    [
        (lambda: time.sleep(60), "DATA.TIMEOUT 1 s"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "a process that loads data died"),
        (lambda: os.kill(os.getpid(), signal.SIGBUS), "a process that loads data died"),
    ],
    ids=["hangs", "killed", "bus error"],
)
def test_a_process_that_hangs_or_dies_ends_in_one_line(at, phrase):
    started = time.monotonic()
    with pytest.raises(ProcessError) as error:
        list(batches(loader(Numbers(at), timeout=1)))
    assert phrase in str(error.value) and "DATA.WORKERS" in str(error.value)
    assert time.monotonic() - started < 8


REAL = """
import logging, torch
from tests.data.test_loading import Numbers, loader, require_all
from vireid.data.loading import batches, use_shared_memory
logging.basicConfig()
data = Numbers(size=1 << 16)
for shared in (use_shared_memory(2, 3 * 3 * 4 << 16), True):
    require_all(list(batches(loader(data, shared=shared))))
"""


@pytest.mark.skipif(not can_mount(), reason="may not mount a file system")
def test_a_real_shared_memory_of_one_megabyte():
    mount = "mount -t tmpfs -o size=1m tmpfs /dev/shm && exec"
    command = ["unshare", "-m", "sh", "-c", f'{mount} "$0" -c "$1"', sys.executable, REAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("--shm-size") == 1 and "1 MB free" in done.stderr


def test_warnings_are_the_packages(caplog):
    """So that a run's log.txt has them."""
    with caplog.at_level(logging.WARNING, logger="vireid"):
        loading._warn_once("one two")
        loading._warn_once("one three")
    assert [(r.name, r.message) for r in caplog.records] == [("vireid.data.loading", "one two")]
