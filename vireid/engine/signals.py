"""Ctrl-C and SIGTERM: a flag between steps, the end of every wait, and of the process in time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)
# Seconds from a signal until what is at work is given up; saving and ending take some more, and
# docker allows ten in all.
GRACE = 5.0
AGAIN = 1.0  # from a second signal


class Interrupted(BaseException):
    """A signal ended a wait; no ``except Exception`` may keep it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopFlag:
    """While active, the first SIGINT or SIGTERM is kept in ``received``; a second one acts at once.

    Only the main thread gets signals: elsewhere, as in a web application, the flag is never set.

    Attributes:
        received: the signal's number; 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._raises = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopFlag:
        if in_main_thread():
            self._before = {number: signal.signal(number, self._keep) for number in HANDLED}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @contextmanager
    def ending_waits(self) -> Iterator[None]:
        """Within it the signal raises ``Interrupted`` at once, also one that came before."""
        self._raises = True
        try:
            if self.received:
                raise Interrupted(self.received)
            yield
        finally:
            self._raises = False

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()
        if self._raises:
            raise Interrupted(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}


def in_main_thread() -> bool:
    """Whether this thread may set signal handlers."""
    return threading.current_thread() is threading.main_thread()


# What saves the work of a process that is ended: signal's number → the message.
LastResort = Callable[[int], str]
_last_resorts: list[LastResort] = []


@contextmanager
def last_resort(action: LastResort) -> Iterator[None]:
    """Has ``end_in_time`` call an action, in another thread, before it ends the process."""
    _last_resorts.append(action)
    try:
        yield
    finally:
        _last_resorts.remove(action)


def end_in_time(seconds: float = GRACE) -> None:
    """From now on the process ends soon after SIGINT or SIGTERM, whatever it is doing.

    Python handles a signal between two of its own instructions: a step of training on a slow
    processor, a wait for other machines or for a file server may keep it from that for minutes. A
    thread waits for the signal, too, and ends the process when it has not ended by itself.

    Args:
        seconds: that the process has after the first signal.
    """
    if not in_main_thread() or not hasattr(os, "register_at_fork"):  # Windows
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget_parent)
    threading.Thread(target=_watch, args=(reader, writer, seconds), daemon=True).start()


def _forget_parent() -> None:
    """A child's signals are not the parent's."""
    with suppress(ValueError):  # forked by a thread
        signal.set_wakeup_fd(-1)


def _watch(reader: socket.socket, writer: socket.socket, seconds: float) -> None:
    """Args: ``writer`` is kept open, for the system writes each signal's number to it."""
    end, number = float("inf"), 0
    while (left := end - time.monotonic()) > 0:
        reader.settimeout(None if end == float("inf") else left)
        try:
            received = reader.recv(1)[0]
        except TimeoutError:
            break
        if received in HANDLED:
            allowed = AGAIN if number else seconds
            number = number or received
            end = min(end, time.monotonic() + allowed)
    writer.setblocking(True)
    _end_now(number)


def _end_now(number: int) -> None:
    lines = []
    for action in reversed(_last_resorts):
        try:
            lines.append(action(number))
        except Exception as error:
            lines.append(f"{type(error).__name__}: {error}")
    name = signal.Signals(number).name
    text = "\n".join(lines) or f"{name}: ended at once; files that were written before are whole"
    with suppress(OSError):  # not print(): the main thread may hold its lock
        os.write(2, f"\n{text}\n".encode(errors="backslashreplace"))
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)
