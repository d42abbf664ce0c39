"""The tools: ``python tools/train.py …`` and, once installed, ``vireid train …``.

Each module parses its command line, calls the library and prints.
"""

import importlib
import io
import os
import signal
import sys

SPIN = "10000"  # turns that an idle thread waits for work; see benchmarks/waiting.py
PIPE_CLOSED = 128 + 13  # the exit code that a shell gives a program ended by SIGPIPE
TOOLS = (
    "train",
    "evaluate",
    "extract",
    "export",
    "table",
    "sweep",
    "cost",
    "report",
    "search",
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
    if isinstance(sys.stdout, io.TextIOWrapper):  # for file names that the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is imported
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
    try:  # importing torch takes seconds, in which Ctrl-C must not end in a traceback
        code = importlib.import_module(f"vireid.cli.{name}").main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # "vireid table … | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 128 + signal.SIGINT
