"""Draws ranked lists, activation maps, distance histograms and curves from saved files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

KINDS = {
    "ranks": "queries and the gallery images that they find",
    "activations": "where a network looks, by stream, exit and part stripe",
    "distances": "histograms of distances within and between identities, across modalities",
    "curves": "learning curves by loss term, or CMC curves, of one run or several",
}
USAGE = f"usage: visualize {{{','.join(KINDS)}}} ... --out FILE"


def main(arguments: Sequence[str] | None = None) -> int:
    """See ``python tools/visualize.py --help``; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kind = words[0] if words else ""
    if kind in ("-h", "--help"):
        kinds = "\n".join(f"  {name:12} {about}" for name, about in KINDS.items())
        print(
            f"{USAGE}\n\n{__doc__}\n\n{kinds}\n\nexample: python tools/visualize.py distances "
            "runs/demo/seed0 --out distances.png\n(visualize ranks --help tells more of ranks)"
        )
        return 0
    if kind not in KINDS:
        choices = ", ".join(KINDS)
        print(f"{USAGE}\nerror: choose what to draw of {choices}; got {kind!r}", file=sys.stderr)
        return 2
    return importlib.import_module(f"vireid.cli.visualize_{kind}").main(words[1:])
