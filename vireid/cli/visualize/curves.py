"""``visualize curves``: learning curves by loss term, or CMC curves, of one run or several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid.cli.arguments import ToolParser, add_titles
from vireid.cli.sources import titles_of
from vireid.cli.visualize.kinds import kind_parser
from vireid.errors import DataError, UsageError
from vireid.evaluation.results import read_results
from vireid.figures.curves import draw_cmc, draw_learning_curves
from vireid.figures.style import require_figure
from vireid.runs.logs import read_metrics


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py curves --help``."""
    args = _parser().parse(arguments)
    titles = titles_of(args.runs, args.titles)
    require_figure(args.out, inputs=args.runs)
    if args.kind == "learning":
        if args.protocols:
            raise UsageError("--protocols goes with --kind cmc")
        histories = {t: read_metrics(run) for t, run in zip(titles, args.runs, strict=True)}
        draw_learning_curves(histories, args.out, terms=args.terms)
    else:
        if args.terms:
            raise UsageError("--terms goes with --kind learning")
        draw_cmc(_cmc_entries(args, titles), args.out)
    print(f"wrote {args.out}: {', '.join(titles)}")


def _cmc_entries(args: argparse.Namespace, titles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The protocols asked for of every run's results, by title."""
    runs = {}
    for title, run in zip(titles, args.runs, strict=True):
        entries = read_results(run / "results.json")["protocols"]
        absent = [name for name in args.protocols if name not in entries]
        if absent:
            raise DataError(
                f"{run} has no results of {absent[0]}, but of {', '.join(entries) or 'nothing'}: "
                "score it with the evaluate tool"
            )
        runs[title] = {name: entries[name] for name in args.protocols or entries}
    if not any(runs.values()):
        raise DataError(f"{args.runs[0]} has no results: score it with the evaluate tool")
    return runs


def _parser() -> ToolParser:
    line = kind_parser(
        "curves",
        "runs/demo/seed0 --out curves.png",
        "runs/a/seed0 runs/b/seed0 --kind cmc --out cmc.pdf",
    )
    line.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="run folders")
    line.add_argument(
        "--kind", choices=("learning", "cmc"), default="learning", help="curves (learning)"
    )
    about = "only columns of metrics.csv whose names contain one of these words, e.g. kl grad_"
    line.add_argument("--terms", nargs="+", default=[], metavar="WORD", help=about)
    line.add_argument(
        "--protocols", nargs="+", default=[], metavar="NAME", help="CMC curves to draw (all)"
    )
    add_titles(line, "run")
    return line
