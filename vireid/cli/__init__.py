"""The tools: ``python tools/train.py …`` and, once installed, ``vireid train …``.

Each module parses, calls and prints; whatever it calls can be called from Python as well.
"""

import importlib
import sys

TOOLS = ("train", "evaluate", "make_synthetic")


def main() -> int:
    """``vireid TOOL …``; returns the exit code."""
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else ""
    if name not in TOOLS:
        print(f"usage: vireid {{{','.join(TOOLS)}}} ...", file=sys.stderr)
        return 0 if name in ("__h", "__help") else 2
    sys.argv[:2] = [f"vireid {name}"]
    return importlib.import_module(f"vireid.cli.{name}").main()
