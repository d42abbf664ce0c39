"""Builds a gallery from your own images, changes it, and searches it across modalities."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from vireid.cli.arguments import tool
from vireid.cli.search.options import STEPS, search_parser


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/search.py --help``."""
    args = search_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    # Imported now: LanceDB is optional, and the help works without it.
    module = importlib.import_module(f"vireid.cli.search.{STEPS[args.step].module}")
    getattr(module, args.step)(args)
