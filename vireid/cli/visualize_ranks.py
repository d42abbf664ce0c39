"""Draws queries and the gallery images that they find, in the evaluator's order."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from vireid.analysis.ranks import WORST, choose_queries, describe, draw_lists
from vireid.analysis.style import require_figure
from vireid.cli.common import (
    add_figure,
    add_options,
    device_override,
    is_key,
    parser,
    seed_number,
    tool,
)
from vireid.cli.evaluate import SPLITS_FOLDER
from vireid.cli.sources import run_config
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.files import read_features
from vireid.evaluation.gallery import Permutations, read_permutations, require_complete
from vireid.evaluation.lists import Search, search
from vireid.evaluation.protocols import RetrievalProtocol, expand, with_draw
from vireid.structures import FeatureSet


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py ranks --help``."""
    args = _parser().parse_intermixed_args(arguments)
    # --queries takes every word that follows, so options after it end up among its names.
    names = list(takewhile(lambda word: not is_key(word), args.queries))
    overrides = args.overrides + args.queries[len(names) :] + device_override(args.device)
    require_figure(args.out, inputs=[args.run or args.features])
    found, root = _of_run(args, overrides) if args.run else _of_features(args, overrides)
    choice = {"worst": args.worst, "names": names, "count": args.count, "seed": args.seed}
    lists = [found.ranked(position) for position in choose_queries(found, **choice)]
    protocol = found.protocol
    draw = "" if protocol.draw == "all" else f", {protocol.draw} gallery draw {args.trial}"
    title = f"{protocol.name}{draw}, {found.metric}"
    draw_lists(lists, found, root, args.out, top=args.top, title=title)
    print(title, *(f"  {describe(one, found)}" for one in lists), f"wrote {args.out}", sep="\n")


def _of_run(args: argparse.Namespace, overrides: list[str]) -> tuple[Search, Path]:
    """The search, and the folder of its images."""
    for given, option in ((args.root, "--root"), (args.permutations, "--permutations")):
        if given:
            raise UsageError(f"{option} goes with --features; a run knows its data set")
    chosen = {"TEST.METRIC": args.metric, "TEST.GALLERY_DRAW": args.gallery_draw}
    overrides = overrides + [
        word for key, value in chosen.items() if value for word in (key, value)
    ]
    overrides += ["TEST.PROTOCOLS", f"[{args.protocol}]"] if args.protocol else []
    cfg = run_config(args.run, overrides)
    from vireid.engine.save_features import run_features
    from vireid.engine.score import chosen_protocols

    protocol = chosen_protocols(cfg)[0]
    split = "val" if protocol.held_out else "test"
    held = run_features(cfg, run=args.run, split=split, protocols=[protocol])
    permutations = held.splits.gallery_permutations
    if protocol.draw != "official" or permutations is None:
        known = None
    else:
        known = read_permutations(permutations)
    return _search(args, protocol, held.features, known, cfg.TEST.METRIC), held.splits.root


def _of_features(args: argparse.Namespace, overrides: list[str]) -> tuple[Search, Path]:
    if overrides:
        raise UsageError(f"{' '.join(overrides)} goes with --run; features are what they are")
    if not args.protocol or args.root is None:
        raise UsageError("--features needs --protocol (by which rules) and --root (the images)")
    if not args.root.is_dir():
        raise DataError(f"--root {args.root} is no folder: name the one that the paths begin in")
    try:
        (protocol, *_) = expand([args.protocol])
    except ValueError as error:
        raise UsageError(str(error)) from error
    protocol = with_draw(protocol, args.gallery_draw or "auto")
    permutations, folder = args.permutations, os.environ.get(SPLITS_FOLDER)
    if permutations is None and folder:
        permutations = Path(folder) / "rand_perm_cam.mat"
    needed = permutations and protocol.draw == "official"
    known = read_permutations(permutations) if needed else None
    features = read_features(args.features)
    return _search(args, protocol, features, known, args.metric or "auto"), args.root


def _search(
    args: argparse.Namespace,
    protocol: RetrievalProtocol,
    features: FeatureSet,
    known: Permutations | None,
    metric: str,
) -> Search:
    require_complete(protocol, features, known)
    return search(protocol, features, trial=args.trial, permutations=known, metric=metric)


def _parser() -> argparse.ArgumentParser:
    line = parser(
        __doc__,
        "python tools/visualize.py ranks --run runs/demo/seed0 --worst --out failures.png\n"
        "         python tools/visualize.py ranks --features features.npz --root /data/LLCM "
        "--protocol llcm_v2n --out ranks.pdf",
    )
    line.prog += " ranks"
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    source.add_argument("--features", type=Path, metavar="FILE", help="features.npz; no network")
    add_figure(line)
    line.add_argument("--protocol", metavar="NAME", help="default of a run: its first")
    line.add_argument("--trial", type=int, default=1, help="gallery draw, from 1 (1)")
    line.add_argument("--top", type=int, help="gallery images shown (10, or all of fewer)")
    line.add_argument("--count", type=int, help="queries shown (6, or all of fewer)")
    line.add_argument(
        "--worst",
        nargs="?",
        choices=WORST,
        const="ap",
        default="",
        help="failures: of the lowest AP, or whose first match stands last (drawn at random)",
    )
    line.add_argument(
        "--queries", nargs="+", default=[], metavar="NAME", help="instead: paths, or identities"
    )
    line.add_argument("--seed", type=seed_number, default=0, help="of the draw of queries (0)")
    line.add_argument("--metric", choices=METRICS, help="default: the protocol's own")
    line.add_argument("--gallery-draw", choices=("official", "seeded"), help="default: its own")
    line.add_argument("--root", type=Path, metavar="DIR", help="with --features: the images")
    line.add_argument(
        "--permutations",
        type=Path,
        metavar="FILE",
        help="with --features: rand_perm_cam.mat of the official draw",
    )
    add_options(line)
    return line
