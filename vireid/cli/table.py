"""Prints the scores of several runs: mean and standard deviation over seeds and splits."""

from __future__ import annotations

from collections.abc import Sequence

from vireid.cli.arguments import parser, points, tool
from vireid.cli.sources import add_runs, finished_runs
from vireid.reports.published import WITH_PUBLISHED
from vireid.reports.seeds import SEED_FORMATS, seed_table
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
    about = (
        "print instead how far the scores spread over seeds, and how many seeds a difference of "
        "so many points needs; recipes are compared with the first, paired by seed"
    )
    line.add_argument("--seeds-for", type=points, metavar="POINTS", help=about)
    args = line.parse(arguments)
    if args.seeds_for and args.beside:
        line.error("--seeds-for prints no published results: leave out --with")
    if args.seeds_for:
        print(SEED_FORMATS[args.format](seed_table(finished_runs(args.runs), args.seeds_for)))
        return
    formats = WITH_PUBLISHED if args.beside else FORMATS
    print(formats[args.format](score_table(finished_runs(args.runs))))
