"""The tools: ``python tools/train.py …`` and, once installed, ``vireid train …``.

Each module parses, calls and prints; whatever it calls can be called from Python as well.
"""

import importlib
import signal
import sys

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
    usage = f"usage: vireid {{{','.join(TOOLS)}}} ...   (vireid TOOL --help tells more)"
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
    try:  # importing torch takes seconds, in which Ctrl-C must not end in a traceback
        return importlib.import_module(f"vireid.cli.{name}").main()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 128 + signal.SIGINT
