"""Renders the pictures of a set, shared out among processes; the result depends on none of that."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from vireid.synthetic.writers.common import Shot, Studio
from vireid.utils.threads import processors

BATCH = 32  # pictures handed to a process at once
WORTH_A_PROCESS = 400  # pictures that take about as long as a process takes to start

_job: tuple[Studio, Path] | None = None  # of a worker process


def take(
    studio: Studio, folder: Path, shots: Sequence[Shot], *, workers: int, progress: bool
) -> None:
    """Render every shot into ``folder``, making the folders in it.

    Args:
        workers: processes; 0 for as many as there are processors to use and work to share.
        progress: show a bar when standard error is a terminal.
    Raises:
        ChildProcessError: a worker was killed.
    """
    for parent in sorted({(folder / shot.path).parent for shot in shots}):
        parent.mkdir(parents=True, exist_ok=True)
    batches = [shots[start : start + BATCH] for start in range(0, len(shots), BATCH)]
    workers = workers or min(processors(), -(-len(shots) // WORTH_A_PROCESS))
    workers = min(workers, len(batches))
    if workers <= 1:
        counts = (studio.save(folder, batch) for batch in batches)
    else:
        counts = _in_processes(studio, folder, batches, workers)
    # disable=None draws the bar on a terminal only.
    bar = tqdm(total=len(shots), desc="rendering", disable=None if progress else True)
    with closing(counts), bar:
        for count in counts:
            bar.update(count)


def _in_processes(
    studio: Studio, folder: Path, batches: Sequence[Sequence[Shot]], workers: int
) -> Iterator[int]:
    # Fresh processes: a fork would inherit locks that other threads of a trainer hold.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(studio, folder),
    )
    try:
        futures = [pool.submit(_save, batch) for batch in batches]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a rendering process ended early, for want of memory perhaps: use fewer workers"
        ) from error
    finally:  # the folder is removed only after the last process has stopped writing to it
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(studio: Studio, folder: Path) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _job = studio, folder


def _leave_with_parent() -> None:
    """A parent that is killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _save(shots: Sequence[Shot]) -> int:
    assert _job is not None
    studio, folder = _job
    return studio.save(folder, shots)
