"""What all kinds of attack share: good files, running a tool, and judging how it took an input.

A tool may accept an input, or refuse it with a message; nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.cli.arguments import tool

Use = Callable[[], object]  # reads an input as a tool would
CODES = (0, 2, 3, 4)
SECONDS = 6.0  # of processor time that one small input may take
MEMORY = 1 << 30  # bytes that one small input may add to the process
LONGEST = 6000  # characters of a message
RESET_PEAK = "5"  # what /proc/self/clear_refs takes


def corpus(write: Callable[[Path], object]) -> Callable[[], Path]:
    """A folder of good files, written at its first use and removed when the process ends."""

    @functools.cache
    def folder() -> Path:
        _HOLDERS.append(tempfile.TemporaryDirectory(prefix="vireid_fuzz_"))
        path = Path(_HOLDERS[-1].name)
        with contextlib.redirect_stdout(io.StringIO()):
            write(path)
        return path

    return folder


_HOLDERS: list[tempfile.TemporaryDirectory] = []


def run_tool(main: Callable[[Sequence[str]], int], *words: object) -> None:
    """Runs a command-line tool; an exit code that is not 0 is raised."""
    if code := main([*map(str, words)]):
        raise SystemExit(code)


class Payload:
    """Code that tries to run when a pickle is opened: it writes a file. It must never run."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.sentinel}'",)


class Hang(BaseException):
    """An input took more processor time than any of its size should."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a tool took an input.

    Args:
        code: its exit code; None where it ended in another way.
        message: its standard error.
        crash: what is wrong with that; empty: nothing.
    """

    code: int | None
    message: str = ""
    crash: str = ""


def judge(use: Use, *, sentinel: Path) -> Verdict:
    """Runs ``use`` as a tool would be run.

    Args:
        sentinel: file that code hidden in an input would write; it must not exist afterwards.
    """
    before, errors = _peak(reset=True), io.StringIO()
    code: int | None = None
    crash = ""
    with _quiet(errors), _time_limit():
        try:
            code = tool(lambda _: use())()
        except SystemExit as error:  # argparse's
            code = error.code if isinstance(error.code, int) else None
        except Hang:
            crash = f"still busy after {SECONDS:.0f} s of processor time"
        except BaseException as error:
            crash = _place_of(error)
    grown = _peak() - before
    crash = crash or _fault_of(code, errors.getvalue())
    if not crash and grown > MEMORY:
        crash = f"took {grown / 2**30:.1f} GiB"
    if sentinel.exists():
        sentinel.unlink()
        crash = "executed code from the input"
    return Verdict(code, errors.getvalue(), crash)


def _fault_of(code: int | None, message: str) -> str:
    odd = [c for c in message if not c.isprintable() and c != "\n"]
    if code not in CODES:
        return f"exit code {code}: {message[-300:]}"
    if "Traceback" in message:
        return f"printed a traceback: {message[-300:]}"
    if code and "error: " not in message:
        return f"refused without a message: {message[-300:]!r}"
    if odd:
        return f"sends {odd[0]!r} of the input to the terminal"
    return f"{len(message)} characters: {message[:200]!r}" if len(message) > LONGEST else ""


def _place_of(error: BaseException) -> str:
    """The exception, and the function of this project that raised it or let it through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/vireid/" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {place}: {str(error)[:200]}"


@contextlib.contextmanager
def _quiet(errors: io.StringIO) -> Iterator[None]:
    """Drops standard output; log handlers and warnings of the tool do not outlive it."""
    logger = logging.getLogger("vireid")
    with (
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def give_up(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak(*, reset: bool = False) -> int:
    """Most bytes that this process held since the last reset; 0 on systems without /proc."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
    except OSError:
        return 0
