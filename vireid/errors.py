"""Errors that a user can cause, each with the exit code that the tools return for it.

A message says what is wrong, the value seen, and what to do. Any other exception is a bug of this
project and keeps its traceback (exit code 1).
"""

from collections.abc import Sequence


class VireidError(Exception):
    """Base of all errors that end a tool with one message instead of a traceback."""

    exit_code = 1


class UsageError(VireidError):
    """A mistake in the command line or configuration, or a run folder already in use."""

    exit_code = 2


class ConfigError(UsageError):
    """Options that cannot be used.

    Args:
        what: what is wrong, and where.
        problems: all of them, one line each.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__("\n  - ".join([f"{what}:", *problems]))
        self.problems = tuple(problems)


class DataError(VireidError):
    """Data or features are missing, malformed or unsuitable for the protocol."""

    exit_code = 3


class CheckpointError(VireidError):
    """Weights are missing, damaged or of another model."""

    exit_code = 4


class DivergedError(VireidError):
    """The training loss is not finite."""

    exit_code = 5


class ProcessError(VireidError):
    """A data-loading process, or another process of torchrun's, died, often for lack of memory."""

    exit_code = 1


class AccuracyError(VireidError):
    """A quantised model loses more accuracy than is allowed."""

    exit_code = 5


class SweepError(VireidError):
    """Some runs of a sweep failed; the others are finished."""

    exit_code = 1


class CellsError(VireidError):
    """Some cells of a table across data sets failed; the others are finished."""

    exit_code = 1


class StoppedError(VireidError):
    """A signal stopped training, after a checkpoint to continue from was written.

    Args:
        message: what was saved and how to continue.
        signal_number: SIGINT or SIGTERM; the exit code is 128 + its number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def printable(text: str) -> str:
    """The text without characters that control a terminal: messages may quote foreign files.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
