"""What the processes of a sweep's runs print, and the error in it."""

from __future__ import annotations

from pathlib import Path

OUTPUT = "output.txt"  # in a run's folder: all that its processes printed


def error_in(path: Path, *, offset: int = 0, after: str = "") -> str:
    """The error that a process ended with, or else the last line that it printed.

    Args:
        offset: bytes of earlier processes.
        after: what follows the last line that starts so counts; everything where there is none.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = lines_of(file.read().decode(errors="replace"))
    except OSError:
        lines = []
    starts = [i for i, line in enumerate(lines) if after and line.startswith(after)]
    lines = lines[starts[-1] + 1 if starts else 0 :]
    errors = [line for line in lines if line.startswith("error: ")]
    told = (errors or lines or ["it printed nothing"])[-1]
    return told.removesuffix("; continue with:")  # a command follows there


def lines_of(text: str) -> list[str]:
    """Those that are not empty; a progress bar's states are lines."""
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
