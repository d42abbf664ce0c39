"""What every tool shares: parsing options, and one message and an exit code for each mistake."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from itertools import takewhile
from pathlib import Path
from typing import Any

from vireid.errors import UsageError, VireidError, printable
from vireid.structures import Modality, modality_named

# Errors of the operating system that users can cause, and the remedy.
SYSTEM_ERRORS = {
    errno.ENOSPC: "make room and start again; what was written before is whole",
    errno.EDQUOT: "make room and start again; what was written before is whole",
    errno.EFBIG: "files may not grow so large here (ulimit -f); raise that and start again",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "ask its owner for the right to read or write it",
    errno.EPERM: "ask its owner for the right to read or write it",
    errno.ENAMETOOLONG: "name another file",
    errno.EIO: "its disk or file server fails; start again when it works",
    errno.ESTALE: "its disk or file server fails; start again when it works",
    errno.EMFILE: "this process may open no more files (ulimit -n); raise that, or lower "
    "DATA.WORKERS",
}
OVERRIDES_HELP = "options that replace those of the config file, e.g. SOLVER.EPOCHS 60 SEED 1"
MODALITY_HELP = "visible (or rgb, …) or infrared (or ir, nir, thermal, …)"
SHIPPED_HELP = "if this folder has no such configs/… file, the installed project's is used"


def tool(run: Callable[[Sequence[str] | None], None]) -> Callable[..., int]:
    """Makes a tool's ``main()``: errors that users can cause become one line and an exit code."""

    @wraps(run)
    def main(arguments: Sequence[str] | None = None) -> int:
        with _sigterm_unwinds():
            try:
                run(arguments)
            except VireidError as error:
                _log_error(f"error: {error}")
                return error.exit_code
            except OSError as error:
                if error.errno not in SYSTEM_ERRORS:
                    raise
                named = f" ({error.filename})" if error.filename else ""
                remedy = SYSTEM_ERRORS[error.errno]
                _log_error(f"error: {error.strerror}{named}: {remedy}")
                return UsageError.exit_code
            except KeyboardInterrupt:
                print("\nstopped", file=sys.stderr)
                return 128 + signal.SIGINT
        return 0

    return main


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """SIGTERM leaves through every ``finally``, so that half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _log_error(message: str) -> None:
    message = printable(message)
    rank = os.environ.get("RANK", "0")  # of torchrun; the mistake ends all its processes
    print(message if rank == "0" else f"process {rank}: {message}", file=sys.stderr)
    for handler in logging.getLogger("vireid").handlers:  # a run's log.txt says why it ended
        if isinstance(handler, logging.FileHandler) and handler.stream:
            with suppress(OSError):  # a full disk, which the message may be about
                handler.stream.write(message + "\n")
                handler.flush()


class ToolParser(argparse.ArgumentParser):
    """A parser of options and of ``KEY VALUE`` words, which may be anywhere among them."""

    device_is_override = False  # see add_device

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parses the given words, or those of the command line.

        Returns:
            ``overrides`` has all ``KEY VALUE`` words, also that which ``--device`` is short for.
        """
        args = self.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
        args.overrides = [*getattr(args, "overrides", []), *getattr(args, "behind_lists", [])]
        if self.device_is_override:
            args.overrides += device_override(args.device)
        return args


def parser(doc: str | None, example: str) -> ToolParser:
    """A parser whose ``--help`` starts with what the tool does and ends with an example."""
    return ToolParser(
        description=(doc or "").splitlines()[0],
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


class ListOption(argparse.Action):
    """An option with ``nargs="+"`` that does not take the ``KEY VALUE`` words behind its values.

    Args:
        item: what makes a value of each word, and may raise ArgumentTypeError.
        options: of :class:`argparse.Action`.
    """

    def __init__(self, *, item: Callable[[str], Any] = str, **options: Any) -> None:
        super().__init__(**options)
        self._item = item

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        own = list(takewhile(lambda word: not is_key(word), values))
        if not own:
            raise argparse.ArgumentError(self, "expected at least one argument")
        try:
            setattr(namespace, self.dest, [self._item(word) for word in own])
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        behind = values[len(own) :]  # argparse gives every word up to the next option
        namespace.behind_lists = [*getattr(namespace, "behind_lists", []), *behind]


LIST: dict[str, Any] = {"nargs": "+", "action": ListOption, "default": []}


def add_device(line: ToolParser) -> None:
    """``--device`` of tools that run a model."""
    line.device_is_override = True
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N (same as DEVICE)")


def add_options(line: ToolParser) -> None:
    """``--device`` and the options that follow as ``KEY VALUE``, of tools that read a config."""
    add_device(line)
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)


def add_figure(line: argparse.ArgumentParser) -> None:
    """``--out`` of tools that draw."""
    line.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="figure to write: .png, .jpg, .pdf or .svg",
    )


def add_titles(line: argparse.ArgumentParser, each: str) -> None:
    """``--titles`` of figures that compare runs."""
    about = f"titles in the figure, one for each {each}"
    line.add_argument("--titles", nargs="+", default=[], metavar="TEXT", help=about)


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from ``least`` on."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text!r}")
        return int(text)

    return number


def points(text: str) -> float:
    """The type of an argument that is a difference of scores in points, above 0."""
    with suppress(ValueError):
        if 0 < float(text) <= 100:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0, at most 100, got {text!r}")


def seed_number(text: str) -> int:
    """The type of a ``--seed`` argument: what numpy's and scikit-learn's generators take."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^32 - 1, got {text!r}")
    return int(text)


def modality(text: str) -> Modality:
    """The type of ``--modality`` arguments: any of the names that people use, in any case."""
    try:
        return modality_named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def is_key(word: str) -> bool:
    """Whether a word of the command line is meant as an option's name, known or mistyped."""
    return re.fullmatch(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*", word) is not None


def device_override(device: str | None) -> list[str]:
    """``--device X`` as the option that it is short for."""
    return ["DEVICE", device] if device else []


def as_overrides(chosen: Mapping[str, str | None]) -> list[str]:
    """Options by key as ``KEY VALUE`` words, without those that are not given."""
    return [word for key, value in chosen.items() if value for word in (key, value)]
