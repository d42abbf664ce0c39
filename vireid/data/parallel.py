"""Work on many images by several threads: decoding releases the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = 8  # at most


def threaded_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, doing: str
) -> Iterator[Result]:
    """``function`` of every item, in order; a progress bar where there is a terminal.

    An error or a signal ends it at once: what was not begun is not begun any more.

    Args:
        doing: the progress bar's title.
    """
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        results = pool.map(function, items)
        yield from tqdm(results, total=len(items), desc=doing, unit="image", disable=None)
    finally:
        pool.shutdown(cancel_futures=True)
