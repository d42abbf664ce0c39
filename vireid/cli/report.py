"""Writes one HTML page about runs or a sweep: scores, figures, ranked lists; it works offline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import (
    ToolParser,
    add_device,
    as_overrides,
    at_least,
    parser,
    tool,
)
from vireid.cli.sources import add_runs, finished_runs
from vireid.engine.precision import resolve_device
from vireid.errors import DataError, UsageError
from vireid.reports.html import LIMIT, Page, runs_page, sweep_page
from vireid.reports.ranked_lists import COUNT, ListOptions
from vireid.reports.run_files import read_run
from vireid.reports.sweep_tables import sweep_folder
from vireid.utils.io import require_target, write_text


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/report.py --help``."""
    args = _parser().parse(arguments)
    if args.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {args.out}: name a .html file")
    require_target(args.out)
    if args.device:
        resolve_device(args.device)  # it may be none
    if args.root and not Path(args.root).is_dir():
        raise DataError(f"--root {args.root} is no folder: name the one that holds the data set")
    page, what = _page(args)
    write_text(args.out, page.text)
    size = args.out.stat().st_size
    print(f"wrote {args.out}: {what}, {size / 1e6:.1f} MB")
    if page.about_images:
        print(f"it holds {page.about_images}: read the data set's agreement before you pass it on")
    if size > LIMIT:
        print(
            f"it is larger than {LIMIT / 1e6:.0f} MB: name fewer runs, or move large pictures out "
            "of the runs' figures/"
        )


def _page(args: argparse.Namespace) -> tuple[Page, str]:
    """The page, and how many runs it shows."""
    options = ListOptions(
        count=COUNT if args.lists is None else args.lists,
        compute=bool(args.lists),
        images=not args.no_images,
        overrides=args.overrides + as_overrides({"DATA.ROOT": args.root}),
    )
    if args.sweep and len(args.runs) > 1:
        raise UsageError(f"--sweep {args.sweep} goes with one folder, that of the sweep")
    sweep = sweep_folder(args.runs[0], args.sweep) if len(args.runs) == 1 else None
    if sweep is not None:
        runs = [read_run(run.folder) for run in sweep.finished]
        return sweep_page(sweep, runs, options), f"a sweep, {len(runs)} of {len(sweep.runs)} runs"
    folders = finished_runs(args.runs)
    kind = "run" if len(folders) == 1 else "runs"
    page = runs_page([read_run(folder) for folder in folders], options)
    return page, f"{len(folders)} {kind}"


def _parser() -> ToolParser:
    line = parser(__doc__, "python tools/report.py runs/sysu/seed* --out report.html")
    add_runs(line)
    line.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="page to write: .html"
    )
    about = f"ranked lists: queries of each kind ({COUNT}); features that a run lacks are computed"
    line.add_argument("--lists", type=at_least(0), metavar="N", help=about)
    about = "no images of the data set in the page; the lists name their paths"
    line.add_argument("--no-images", action="store_true", help=about)
    about = "where the runs' data set is now (each run's DATA.ROOT)"
    line.add_argument("--root", metavar="DIR", help=about)
    about = "of one sweep's folder: its file (the copy in the folder, or configs/sweeps/NAME.yaml)"
    line.add_argument("--sweep", type=Path, metavar="FILE", help=about)
    add_device(line)
    return line
