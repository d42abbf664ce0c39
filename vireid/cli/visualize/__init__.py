"""Draws ranked lists, maps, distances, curves, and contact sheets of data sets."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from vireid.cli.arguments import parser, tool
from vireid.cli.visualize.kinds import KINDS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py --help``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kinds = "\n".join(f"  {name:12} {about}" for name, about in KINDS.items())
    line = parser(
        __doc__,
        "python tools/visualize.py distances runs/demo/seed0 --out distances.png\n"
        "(visualize ranks --help lists the options of ranks)",
    )
    line.description = f"{__doc__}\n\n{kinds}"
    line.usage = f"visualize {{{','.join(KINDS)}}} ... --out FILE"
    line.add_argument("figure", choices=tuple(KINDS), help=argparse.SUPPRESS)
    # Not subparsers: argparse cannot mix their options with KEY VALUE words.
    kind = line.parse_known_args(words[:1])[0].figure
    # Imported now: some kinds need torch, which takes seconds, and the others do not.
    importlib.import_module(f"vireid.cli.visualize.{kind}").main(words[1:])
