"""Prints the scores of several runs: mean and standard deviation over seeds and splits."""

from __future__ import annotations

from collections.abc import Sequence

from vireid.cli.arguments import parser, tool
from vireid.cli.sources import add_runs, finished_runs
from vireid.reports.published import WITH_PUBLISHED
from vireid.reports.tables import FORMATS, score_table


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/table.py --help``."""
    line = parser(__doc__, "python tools/table.py runs/sysu/seed* --format latex")
    add_runs(line)
    line.add_argument(
        "--format", choices=tuple(FORMATS), default="md", help="Markdown, CSV or LaTeX (md)"
    )
    about = "published: also results that others printed for the same protocols, with their rules"
    line.add_argument("--with", dest="beside", choices=("published",), help=about)
    args = line.parse(arguments)
    formats = WITH_PUBLISHED if args.beside else FORMATS
    print(formats[args.format](score_table(finished_runs(args.runs))))
