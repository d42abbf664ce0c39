"""Work on many images by several threads: decoding an image releases the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = 8  # at most
AHEAD = 64  # results that may wait to be taken: a slow disk must not fill the memory


def processors() -> int:
    """Processors that this process may use; batch systems and containers may not allow all."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threaded_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    doing: str,
    unit: str = "image",
    threads: int = THREADS,
    progress: bool | None = None,
) -> Iterator[Result]:
    """``function`` of every item, in order.

    An error or a signal ends it at once: items that wait are not started.

    Args:
        doing: the progress bar's title; ``unit``: what it counts.
        threads: at most; never more than processors.
        progress: whether to show a bar; None: on a terminal only.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(min(threads, processors()))
    try:
        hidden = None if progress is None and items else not progress
        with tqdm(total=len(items), desc=doing, unit=unit, disable=hidden, leave=False) as bar:
            for position, item in enumerate(items, 1):
                waiting.append(pool.submit(function, item))
                while len(waiting) >= AHEAD or (waiting and position == len(items)):
                    yield waiting.popleft().result()
                    bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
