"""Writes one HTML page about runs: scores, options, environment, figures; it works offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import parser, tool
from vireid.cli.sources import add_runs, finished_runs
from vireid.errors import UsageError
from vireid.reports.html import page
from vireid.reports.run_files import read_run
from vireid.utils.io import require_target, write_text


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/report.py --help``."""
    line = parser(__doc__, "python tools/report.py runs/sysu/seed* --out report.html")
    add_runs(line)
    line.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="page to write: .html"
    )
    args = line.parse(arguments)
    if args.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {args.out}: name a .html file")
    require_target(args.out)
    folders = finished_runs(args.runs)
    write_text(args.out, page([read_run(folder) for folder in folders]))
    kind = "run" if len(folders) == 1 else "runs"
    size = args.out.stat().st_size / 1e6
    print(f"wrote {args.out}: {len(folders)} {kind}, {size:.1f} MB")
