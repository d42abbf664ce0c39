"""Prints the scores of several runs: mean and standard deviation over seeds and splits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.analysis.table import FORMATS, find_runs, table_rows
from vireid.cli.common import parser, tool


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/table.py --help``."""
    line = parser(__doc__, "python tools/table.py runs/sysu/seed* --format latex")
    line.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN_DIR",
        help="folders of finished runs, or folders that hold some, at any depth",
    )
    line.add_argument("--format", choices=tuple(FORMATS), default="md", help="(md)")
    args = line.parse_args(sys.argv[1:] if arguments is None else arguments)
    runs, unfinished = find_runs(args.runs)
    if unfinished:
        print(f"left out, without results yet: {', '.join(map(str, unfinished))}", file=sys.stderr)
    print(FORMATS[args.format](table_rows(runs)))
