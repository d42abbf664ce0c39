"""Loader processes: how their batches travel, and what happens when one of them fails.

A batch travels through shared memory (/dev/shm on Linux), which containers often limit to 64 MB.
torch sends it from a thread whose errors are lost, and then waits for ever. Here the process
itself puts the batch into shared memory, and sends it through a pipe when there is no room.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils import signal_handling

from vireid.errors import DataError, ProcessError
from vireid.structures import Batch

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
PREFETCH = 2  # batches that each loader process makes ahead
IN_USE = 2  # batches that training holds
SMALL = 16 << 10  # bytes of a batch's labels and of the queues' semaphores, in pages
PIPES = (
    f"images go through pipes, which takes longer. Remedy: a larger {SHARED_MEMORY} (docker run "
    "--shm-size=1g), fewer DATA.WORKERS, or DATA.WORKERS 0"
)
PATIENCE = 1.0  # seconds for loader processes to end by themselves
# How torch says that a loader process failed.
DIED = re.compile(r"DataLoader worker \(pid.*?\) (?:is killed by signal: ([\w ]+)|exited)")
TIMED_OUT = re.compile(r"DataLoader timed out after ([\d.]+) seconds")
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch on its way from a loader process.

    Args:
        content: the pickled batch; its tensors are in shared memory, or their bytes are here.
        shared: whether shared memory was used.
    """

    content: bytes
    shared: bool

    def open(self) -> Batch:
        """The batch.

        Raises:
            ProcessError: the process that holds it died.
        """
        try:
            content = pickle.loads(self.content)  # of this program's own process
        except (ConnectionError, FileNotFoundError, EOFError) as error:
            raise ProcessError(_died("")) from error
        if self.shared:
            assert isinstance(content, Batch)
            return content
        return Batch(*map(torch.from_numpy, content))

    def pin_memory(self) -> Batch:
        """Called by the loader's thread that copies batches for a GPU."""
        return self.open().pin_memory()


@dataclass(frozen=True, slots=True)
class Collate:
    """Makes a batch of images; in a loader process, one that can travel.

    Args:
        shared: use shared memory while there is room.
    """

    shared: bool = True

    def __call__(self, items: Sequence) -> Batch | DataError | SentBatch:
        """Stacks images; the first error takes the place of the whole batch."""
        for item in items:
            if isinstance(item, DataError):
                return item
        batch = Batch(
            torch.stack([item.image for item in items]),
            torch.tensor([item.label for item in items]),
            torch.tensor([item.is_infrared for item in items]),
            torch.tensor([item.index for item in items]),
        )
        return batch if get_worker_info() is None else _sent(batch, shared=self.shared)


def _sent(batch: Batch, *, shared: bool) -> SentBatch:
    tensors = [getattr(batch, field.name) for field in fields(batch)]
    # torch leaves an empty file behind where it finds no room: look first
    if shared and batch.images.nbytes + SMALL <= (free_shared_memory() or 0):
        try:
            for tensor in tensors:
                tensor.share_memory_()
            return SentBatch(bytes(ForkingPickler.dumps(batch)), shared=True)
        except (RuntimeError, OSError):
            pass  # another program filled it meanwhile, or no file can be opened
    arrays: list[np.ndarray] = [tensor.numpy() for tensor in tensors]
    return SentBatch(pickle.dumps(arrays, protocol=pickle.HIGHEST_PROTOCOL), shared=False)


def free_shared_memory() -> int | None:
    """Bytes that are free in shared memory; None where the system has no such folder."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):  # macOS and Windows keep it elsewhere
        return None
    return status.f_bavail * status.f_frsize


def use_shared_memory(workers: int, batch_bytes: int) -> bool:
    """Whether shared memory has room for all the batches that may be on their way; else a warning.

    Args:
        workers: loader processes of this process; torchrun's processes on one machine share.
        batch_bytes: of a batch's images.
    """
    free = free_shared_memory()
    if not workers or free is None:
        return True
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    batches_at_once = (workers * PREFETCH + IN_USE) * processes
    needed = batches_at_once * (batch_bytes + SMALL)
    if needed <= free:
        return True
    _warn_once(
        f"{SHARED_MEMORY} has {free / 1e6:.0f} MB free, and {batches_at_once} batches of "
        f"{batch_bytes / 1e6:.1f} MB (DATA.WORKERS {workers}"
        f"{f' in each of {processes} processes' if processes > 1 else ''}) need "
        f"{needed / 1e6:.0f} MB: {PIPES}"
    )
    return False


def _warn_once(text: str) -> None:
    """A warning, unless one that begins with the same word was given before."""
    kind = text.partition(" ")[0]
    if kind not in _warned and os.environ.get("LOCAL_RANK", "0") == "0":
        _warned.add(kind)
        log.warning("%s", text)


def semaphores_work() -> bool:
    """Whether loader processes can be started at all: their queues need semaphores."""
    try:
        torch.multiprocessing.get_context().Lock()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        _warn_once(
            f"No loader process can be started ({reason}): images are read in the main process, "
            f"as with DATA.WORKERS 0. Remedy: room in {SHARED_MEMORY}, or the right to write there"
        )
        return False
    return True


def leave_signals_to_parent(worker: int) -> None:
    """Called in a loader process first.

    Ctrl-C and batch systems signal the whole process group, but the training loop needs its data
    until it has saved, and ends these processes then.
    """
    if hasattr(os, "setpgid"):  # not on Windows
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)  # the parent's
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the loop's exit sends it


def batches(loader: Iterable[Batch | SentBatch | DataError]) -> Iterator[Batch]:
    """The loader's batches.

    Raises:
        DataError: an image cannot be read, also where a loader process met it.
        ProcessError: a loader process died or does not answer.
    """
    with explain_loader_errors():
        iterator = iter(loader)
        try:
            for batch in iterator:
                if isinstance(batch, DataError):
                    raise batch
                if isinstance(batch, SentBatch):
                    if not batch.shared and _expects_room(loader):
                        _warn_once(f"{SHARED_MEMORY} was filled by another program: {PIPES}")
                    batch = batch.open()
                yield batch
        except GeneratorExit:
            raise
        except BaseException:  # a signal, too
            end_processes(iterator)
            raise


def _expects_room(loader: object) -> bool:
    return getattr(getattr(loader, "collate_fn", None), "shared", False)


def end_processes(iterator: object) -> None:
    """Ends a loader's processes now, or kills them after ``PATIENCE`` seconds.

    At the interpreter's exit they would be killed, which torch takes for a failure.

    Args:
        iterator: of a DataLoader, with or without processes; None does nothing.
    """
    end = getattr(iterator, "_shutdown_workers", None)  # torch offers no public way
    if end is None:
        return
    workers = list(getattr(iterator, "_workers", []))
    if getattr(iterator, "_worker_pids_set", False):  # torch must not take their end for a failure
        signal_handling._remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False  # type: ignore[attr-defined]
    timer = threading.Timer(PATIENCE, lambda: [worker.kill() for worker in workers])
    timer.daemon = True
    timer.start()
    try:
        end()
    finally:
        timer.cancel()


@contextmanager
def explain_loader_errors() -> Iterator[None]:
    """Turns torch's errors about loader processes into one line.

    Raises:
        ProcessError: a loader process died or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        died, timed_out = DIED.search(str(error)), TIMED_OUT.search(str(error))
        if died:
            by = f" (signal: {died[1].strip()})" if died[1] else ""
            raise ProcessError(_died(by)) from error
        if timed_out:
            raise ProcessError(
                f"no batch came from the processes that load data in DATA.TIMEOUT "
                f"{float(timed_out[1]):.0f} s: does the disk or file server of DATA.ROOT answer? "
                "Raise DATA.TIMEOUT for a slow one; to see what hangs, set DATA.WORKERS 0"
            ) from error
        raise


def _died(by: str) -> str:
    return (
        f"a process that loads data died{by}: memory, or shared memory ({SHARED_MEMORY}), may be "
        "too small for DATA.WORKERS; the last checkpoint of a training is whole: continue with "
        "--resume, and with fewer DATA.WORKERS if it happens again"
    )
