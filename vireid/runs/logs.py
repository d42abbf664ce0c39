"""What a run writes while it trains: messages and metrics.csv."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from vireid.engine.trainer import TIMING
from vireid.errors import DataError
from vireid.runs.console import INDENT, WIDTH, wrapped
from vireid.utils.io import write_text


def start_log(folder: Path | None) -> None:
    """Messages to standard output, and to log.txt when a folder is given."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if folder is not None:  # a file's name may hold bytes that are no text
        path = folder / "log.txt"
        handlers.append(logging.FileHandler(path, encoding="utf-8", errors="backslashreplace"))
    logger = logging.getLogger("vireid")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        with suppress(OSError):  # its last lines, on a full disk
            old.close()
    for handler in handlers:
        # A line that cannot be written must not end the run, nor print a traceback for every line.
        handler.handleError = lambda record: None  # type: ignore[method-assign]
        handler.setFormatter(_Wrapping(_columns(handler)))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Wrapping(logging.Formatter):
    """Messages in lines of at most ``columns`` characters, as ``wrapped`` breaks them.

    Warnings are entries, as the lines of a training's start are, with the title ``warning``.
    """

    def __init__(self, columns: int) -> None:
        super().__init__("%(message)s")
        self._columns = columns

    def format(self, record: logging.LogRecord) -> str:
        indent, text = getattr(record, "indent", None), super().format(record)
        if record.levelno >= logging.WARNING and indent is None:
            indent, text = INDENT, "warning".ljust(INDENT) + text
        return wrapped(text, self._columns, indent)


def _columns(handler: logging.Handler) -> int:
    """Columns of a handler's lines: a terminal may have fewer than a file."""
    if isinstance(handler, logging.FileHandler) or not sys.stdout.isatty():
        return WIDTH
    return max(40, min(WIDTH, shutil.get_terminal_size().columns))


def write_metrics(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """A CSV of all the rows; columns that not every row has stay empty there, timing comes last."""
    columns = dict.fromkeys(name for row in history for name in row if name not in TIMING)
    frame = pd.DataFrame(history, columns=[*columns, *TIMING], dtype=object)  # keeps every digit
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Rows of a run's metrics.csv, one per epoch; empty cells are left out.

    Raises:
        DataError: missing, damaged, or without a finished epoch.
    """
    path = run / "metrics.csv"
    try:
        frame = pd.read_csv(path, dtype=str).astype(float)  # Python's, which keeps every digit
        if not isinstance(frame.index, pd.RangeIndex):
            raise ValueError("its rows do not fit its columns")
        if frame.empty or "epoch" not in frame or not np.isfinite(frame["epoch"]).all():
            raise ValueError("no finished epoch")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} holds no learning curves ({reason}): name the folder of a run that has "
            "trained for an epoch, or restore the file from a copy"
        ) from error
    return [{str(k): v for k, v in row.dropna().items()} for _, row in frame.iterrows()]
