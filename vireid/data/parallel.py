"""Work on many images by several threads: decoding releases the interpreter."""

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


def threaded_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, doing: str
) -> Iterator[Result]:
    """``function`` of every item, in order; a progress bar where there is a terminal.

    An error or a signal ends it at once: what was not begun is not begun any more.

    Args:
        doing: the progress bar's title.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        with tqdm(total=len(items), desc=doing, unit="image", disable=None) as bar:
            for position, item in enumerate(items, 1):
                waiting.append(pool.submit(function, item))
                while len(waiting) >= AHEAD or (waiting and position == len(items)):
                    yield waiting.popleft().result()
                    bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
