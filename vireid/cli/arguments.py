"""What every tool shares: parsing overrides, and turning a user's mistake into one message."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path

from vireid.errors import UsageError, VireidError, printable

# What the machine refuses wherever a tool asks for it, and the remedy.
SYSTEMS_FAULTS = {
    errno.ENOSPC: "make room and start again; what was written before is whole",
    errno.EDQUOT: "make room and start again; what was written before is whole",
    errno.EFBIG: "files may not grow so large here (ulimit -f); raise that and start again",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "ask its owner for the right to read or write it",
    errno.EPERM: "ask its owner for the right to read or write it",
    errno.ENAMETOOLONG: "name another file",
    errno.EIO: "the disk or the network that holds it fails; start again when it works",
    errno.ESTALE: "the disk or the network that holds it fails; start again when it works",
    errno.EMFILE: "this process may open no more files (ulimit -n); raise that, or lower "
    "DATA.WORKERS",
}
OVERRIDES_HELP = "options that override the config file, e.g. SOLVER.EPOCHS 60 SEED 1"
SHIPPED_HELP = "where there is no configs/… in this folder, that of the installed project is used"


def tool(run: Callable[[Sequence[str] | None], None]) -> Callable[[], int]:
    """Makes a tool's ``main()`` of its body: errors that users can cause become exit codes."""

    @wraps(run)
    def main(arguments: Sequence[str] | None = None) -> int:
        with _sigterm_unwinds():
            try:
                run(arguments)
            except VireidError as error:
                _log_error(f"error: {error}")
                return error.exit_code
            except OSError as error:
                if error.errno not in SYSTEMS_FAULTS:
                    raise
                named = f" ({error.filename})" if error.filename else ""
                remedy = SYSTEMS_FAULTS[error.errno]
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
    if threading.current_thread() is not threading.main_thread():  # signals are not its business
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
    rank = os.environ.get("RANK", "0")  # of torchrun; all its processes meet the same mistake
    print(message if rank == "0" else f"process {rank}: {message}", file=sys.stderr)
    for handler in logging.getLogger("vireid").handlers:  # a run's log.txt tells why it ended
        if isinstance(handler, logging.FileHandler):
            with suppress(OSError):  # a full disk, which the message may be about
                handler.stream.write(message + "\n")
                handler.flush()


def parser(doc: str | None, example: str) -> argparse.ArgumentParser:
    """A parser whose ``--help`` starts with what the tool does and ends with an example."""
    return argparse.ArgumentParser(
        description=(doc or "").splitlines()[0],
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_options(line: argparse.ArgumentParser) -> None:
    """``--device`` and the options that follow as ``KEY VALUE``, of tools that read a config."""
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)


def add_figure(line: argparse.ArgumentParser) -> None:
    """``--out`` of tools that draw."""
    line.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png, .pdf or .svg")


def seed_number(text: str) -> int:
    """What numpy's and scikit-learn's generators take; the type of a ``--seed`` argument."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^32 - 1, got {text!r}")
    return int(text)


def is_key(word: str) -> bool:
    """Whether a word of the command line is meant as an option's name, known or mistyped."""
    return re.fullmatch(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*", word) is not None


def device_override(device: str | None) -> list[str]:
    """``--device X`` as the option that it is short for."""
    return ["DEVICE", device] if device else []
