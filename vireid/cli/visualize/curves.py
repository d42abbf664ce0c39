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
from vireid.evaluation.results import read_results, require_curve
from vireid.figures.curves import draw_cmc, draw_learning_curves, mean_entry
from vireid.figures.style import require_figure
from vireid.runs.logs import read_metrics
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import require_same_rules


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py curves --help``."""
    args = _parser().parse(arguments)
    require_figure(args.out, inputs=args.runs)
    if args.kind == "learning":
        if args.protocols or args.mean:
            raise UsageError(f"{'--mean' if args.mean else '--protocols'} goes with --kind cmc")
        titles = titles_of(args.runs, args.titles)
        histories = {t: read_metrics(run) for t, run in zip(titles, args.runs, strict=True)}
        draw_learning_curves(histories, args.out, terms=args.terms)
    else:
        if args.terms:
            raise UsageError("--terms goes with --kind learning")
        entries = _cmc_entries(args)
        titles = list(entries)
        draw_cmc(entries, args.out)
    print(f"wrote {args.out}: {', '.join(titles)}")


def _cmc_entries(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The protocols asked for, by title: of every run, or with ``--mean`` of every recipe."""
    groups: dict[Path, list[Path]] = {}
    for run in args.runs:
        groups.setdefault(recipe_of(run.resolve()) if args.mean else run, []).append(run)
    found = {}
    for title, members in zip(titles_of(list(groups), args.titles), groups.values(), strict=True):
        scored = [(run, _protocol_entries(run, args.protocols)) for run in members]
        found[title] = {
            name: _one_entry(name, [(run, entries[name]) for run, entries in scored])
            for name in dict.fromkeys(name for _, entries in scored for name in entries)
            if all(name in entries for _, entries in scored)
        }
    if not any(found.values()):
        raise DataError(f"{args.runs[0]} has no results: score it with the evaluate tool")
    return found


def _one_entry(protocol: str, scored: Sequence[tuple[Path, Any]]) -> Any:
    """The entry of a run, or the mean of several runs that were scored alike."""
    if len(scored) == 1:
        return scored[0][1]
    require_same_rules(protocol, scored)
    return mean_entry([entry for _, entry in scored])


def _protocol_entries(run: Path, protocols: Sequence[str]) -> dict[str, Any]:
    """Entries of results.json: of the protocols asked for, or of all."""
    path = run / "results.json"
    entries = read_results(path)["protocols"]
    for name in protocols:
        if name not in entries:
            raise DataError(
                f"{run} has no results of {name}, but of {', '.join(entries) or 'nothing'}: "
                "score it with the evaluate tool"
            )
    chosen = {name: entries[name] for name in protocols or entries}
    for name, entry in chosen.items():
        require_curve(path, name, entry)
    return chosen


def _parser() -> ToolParser:
    line = kind_parser(
        "curves",
        "runs/demo/seed0 --out curves.png",
        "runs/a/seed* runs/b/seed* --kind cmc --mean --out cmc.pdf",
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
    about = "with --kind cmc: one mean curve for the seeds and splits of a recipe"
    line.add_argument("--mean", action="store_true", help=about)
    add_titles(line, "run")
    return line
