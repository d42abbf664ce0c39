"""What every tool shares: parsing overrides, and turning a user's mistake into one message."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from vireid.engine.options import choices as choices
from vireid.engine.options import read_config as read_config
from vireid.errors import VireidError

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
    rank = os.environ.get("RANK", "0")  # of torchrun; all its processes meet the same mistake
    print(message if rank == "0" else f"process {rank}: {message}", file=sys.stderr)
    for handler in logging.getLogger("vireid").handlers:  # a run's log.txt tells why it ended
        if isinstance(handler, logging.FileHandler):
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
