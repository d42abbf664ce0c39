"""Ctrl-C and SIGTERM as a flag that the training loop looks at between steps."""

from __future__ import annotations

import signal
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """While active, the first SIGINT or SIGTERM is kept in ``received``; a second one acts at once.

    Attributes:
        received: the signal's number; 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopFlag:
        self._before = {number: signal.signal(number, self._keep) for number in HANDLED}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
