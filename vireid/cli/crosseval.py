"""Scores every run on every data set: one table, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import LIST, ToolParser, add_options, parser, tool
from vireid.cli.sources import finished_runs
from vireid.crosseval.matrix import cross_evaluate
from vireid.deploy.evaluation_backend import backend_of


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/crosseval.py --help``."""
    args = _parser().parse(arguments)
    cross_evaluate(
        finished_runs(args.runs),
        args.sets,
        args.protocols,
        corrupted=args.corrupted,
        overrides=args.overrides,
        out=args.out,
        backend_of=backend_of,
    )


def _parser() -> ToolParser:
    line = parser(
        __doc__,
        "python tools/crosseval.py --runs runs/sysu runs/regdb/split1 --sets sysu=/data/SYSU-MM01 "
        "regdb=/data/RegDB --out cross",
    )
    about = "folders of finished runs, or folders that contain such folders at any depth"
    runs = LIST | {"item": Path, "required": True}
    line.add_argument("--runs", metavar="RUN_DIR", help=about, **runs)
    about = "data sets: reader (value of DATA.DATASET) and folder; sets of one reader need labels"
    required = LIST | {"required": True}
    line.add_argument("--sets", metavar="[LABEL:]NAME=ROOT", help=about, **required)
    about = "protocols or groups of protocols, each for the sets that it is about (all of each set)"
    line.add_argument("--protocols", metavar="NAME", help=about, **LIST)
    about = "also score every protocol on corrupted images"
    line.add_argument("--corrupted", action="store_true", help=about)
    about = "folder of the table, the figure and the results of every cell; a second call continues"
    line.add_argument("--out", type=Path, required=True, metavar="DIR", help=about)
    add_options(line)
    return line
