"""Writes runs as one HTML page: scores, configuration, environment, figures; needs no network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import parser, tool
from vireid.cli.sources import add_runs, finished_runs
from vireid.errors import UsageError
from vireid.reports.html import page
from vireid.reports.run_files import read_run
from vireid.utils.io import replace_file, require_target


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/report.py --help``."""
    line = parser(__doc__, "python tools/report.py runs/sysu/seed* --out report.html")
    add_runs(line)
    line.add_argument("--out", type=Path, required=True, metavar="FILE", help="report.html")
    args = line.parse_args(sys.argv[1:] if arguments is None else arguments)
    if args.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {args.out}: name a .html file")
    require_target(args.out)
    folders = finished_runs(args.runs)
    # Half of a character, which a damaged file may hold, has no bytes of its own.
    content = page([read_run(folder) for folder in folders]).encode("utf-8", "backslashreplace")
    replace_file(args.out, lambda file: file.write(content))
    kind = "run" if len(folders) == 1 else "runs"
    print(f"wrote {args.out}: {len(folders)} {kind}, {len(content) / 1e6:.1f} MB")
