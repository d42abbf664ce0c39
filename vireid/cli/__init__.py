"""The tools: ``python tools/train.py …`` and, once installed, ``vireid train …``.

Each module parses its command line, calls the library and prints.
"""

import atexit
import importlib
import io
import os
import signal
import sys
from contextlib import suppress

from vireid.engine.signals import GRACE, end_in_time

# Seconds from a signal to the end, of tools that need more than GRACE
GRACES = {
    "sweep": GRACE + 3,  # its runs have GRACE, and save then
    "make_synthetic": 60.0,  # it removes thousands of folders
}
SPIN = "10000"  # turns that an idle thread waits for work; see benchmarks/waiting.py
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
PIPE_CLOSED = 128 + 13  # the exit code that a shell gives a program ended by SIGPIPE
TOOLS = (
    "train",
    "evaluate",
    "extract",
    "export",
    "table",
    "crosseval",
    "sweep",
    "cost",
    "report",
    "search",
    "serve",
    "tsne",
    "visualize",
    "make_synthetic",
    "check_data",
)


def main() -> int:
    """``vireid TOOL …``; returns the exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    usage = f"usage: vireid {{{','.join(TOOLS)}}} ...   (vireid TOOL --help lists its options)"
    if name in ("-h", "--help"):
        print(usage)
        return 0
    if name not in TOOLS:
        print(usage, file=sys.stderr)
        return 2
    sys.argv[:2] = [f"vireid {name}"]
    return launch(name)


def launch(name: str) -> int:
    """Runs one tool with the command line's arguments; returns the exit code."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _exit_at_once)  # nothing has begun yet
    end_in_time(GRACES.get(name, GRACE))
    if isinstance(sys.stdout, io.TextIOWrapper):  # for file names that the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is imported
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
    try:  # importing torch takes seconds, in which Ctrl-C must not end in a traceback
        code = importlib.import_module(f"vireid.cli.{name}").main()
        sys.stdout.flush()
    except BrokenPipeError:  # "vireid table … | head"
        code = PIPE_CLOSED
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        code = 128 + signal.SIGINT
    except SystemExit as error:  # of argparse, or SIGTERM's
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    _discard_unwritten_output()
    if code in STOPPED:
        # Python's own end takes seconds with torch, and nothing can cut it short.
        atexit._run_exitfuncs()
        os._exit(code)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is done
    return code


def _open_standard_streams() -> None:
    """Opens /dev/null in place of closed ones (``>&-``): no file may get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the smallest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _discard_unwritten_output() -> None:
    """Python would try again at its end to write what a closed pipe did not take, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _exit_at_once(number: int, frame: object) -> None:
    os._exit(128 + number)
