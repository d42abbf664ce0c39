"""``visualize ranks``: queries and their nearest gallery images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vireid.cli.arguments import LIST, ToolParser, add_options, as_overrides, seed_number
from vireid.cli.evaluate import GALLERY_DRAWS, official_permutations
from vireid.cli.visualize.kinds import kind_parser
from vireid.errors import DataError, UsageError, printable
from vireid.evaluation.distance import METRICS
from vireid.evaluation.feature_files import read_feature_file
from vireid.evaluation.protocols import RetrievalProtocol, expand, plain_name, with_draw
from vireid.evaluation.query_gallery import read_permutations, require_complete
from vireid.evaluation.ranked_lists import GalleryRanking, rank_gallery
from vireid.figures.ranked_lists import (
    WORST,
    choose_queries,
    describe,
    draw_lists,
    explain_ranks,
)
from vireid.figures.style import require_figure, require_no_image
from vireid.runs.names import names_beside
from vireid.runs.options import run_config
from vireid.structures import FeatureSet, Splits


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py ranks --help``."""
    args = _parser().parse(arguments)
    require_figure(args.out, inputs=[args.run or args.features])
    found, root = _search_run(args) if args.run else _search_features(args)
    require_no_image(args.out, root, found.features.paths.tolist())
    choice = {"worst": args.worst, "names": args.queries, "count": args.count, "seed": args.seed}
    lists = [found.ranked_list(position) for position in choose_queries(found, **choice)]
    protocol = found.protocol
    draw = "" if protocol.draw == "all" else f", {protocol.draw} gallery draw {args.trial}"
    title = f"{protocol.name}{draw}, {found.metric}"
    draw_lists(lists, found, root, args.out, top=args.top, title=title)
    print(title, *(f"  {printable(describe(one, found))}" for one in lists), sep="\n")
    print(explain_ranks(found), f"wrote {args.out}", sep="\n")


def _search_run(args: argparse.Namespace) -> tuple[GalleryRanking, Path]:
    """The search results, and the folder of the images."""
    for option, given in {"--root": args.root, "--permutations": args.permutations}.items():
        if given:
            raise UsageError(f"{option} goes with --features; a run knows its data set")
    found, splits = search_run(args, metric=args.metric)
    return found, splits.root


def _require_clean(name: str | None) -> None:
    """Raises ``UsageError`` for the name of a protocol with corrupted images."""
    if name and name != plain_name(name):
        raise UsageError(
            f"{name}: ranked lists show the images on disk, which are clean: name "
            f"{plain_name(name)}"
        )


def search_run(
    args: argparse.Namespace, *, metric: str | None = None
) -> tuple[GalleryRanking, Splits]:
    """The search results of a run's protocol, and its data set.

    Args:
        args: has ``run``, ``protocol``, ``gallery_draw``, ``trial`` and ``overrides``.
        metric: instead of the protocol's own.
    """
    _require_clean(args.protocol)
    chosen = {
        "TEST.METRIC": metric,
        "TEST.GALLERY_DRAW": args.gallery_draw,
        "TEST.PROTOCOLS": args.protocol and f"[{args.protocol}]",
    }
    cfg = run_config(args.run, args.overrides + as_overrides(chosen))
    from vireid.runs.saved_features import run_features  # torch, which files do not need
    from vireid.runs.score import chosen_protocols

    protocol = chosen_protocols(cfg)[0]
    split = "val" if protocol.held_out else "test"
    held = run_features(cfg, run=args.run, split=split, protocols=[protocol])
    permutations = held.splits.gallery_permutations
    found = _search(args, protocol, held.features, permutations, cfg.TEST.METRIC)
    return found.of_set(held.splits), held.splits


def _search_features(args: argparse.Namespace) -> tuple[GalleryRanking, Path]:
    """The search results, and the folder of the images."""
    if args.overrides:
        raise UsageError(f"{' '.join(args.overrides)} goes with --run, not with --features")
    if not args.protocol or args.root is None:
        raise UsageError("--features needs --protocol (by which rules) and --root (the images)")
    if not args.root.is_dir():
        raise DataError(f"--root {args.root} is not a folder: name the one where the paths start")
    _require_clean(args.protocol)
    try:
        (protocol, *_) = expand([args.protocol])
    except ValueError as error:
        raise UsageError(str(error)) from error
    protocol = with_draw(protocol, args.gallery_draw or "auto")
    permutations = official_permutations(args.permutations)
    held = read_feature_file(args.features)
    if "paths" in held.absent or not held.has_features:
        raise DataError(
            f"{args.features} lacks {'paths' if held.has_features else 'features'}, and ranked "
            "lists show images by their paths: save paths, or query_paths and gallery_paths"
        )
    names: tuple[dict[int, str], dict[int, str]] = dict(enumerate(held.names, start=1)), {}
    if not held.used and not held.names:  # a file of this project
        names = names_beside(args.features)
    features, (protocol,) = held.for_protocols([protocol])
    found = _search(args, protocol, features, permutations, args.metric or "auto")
    return replace(found, identities=names[0], cameras=names[1]), args.root


def _search(
    args: argparse.Namespace,
    protocol: RetrievalProtocol,
    features: FeatureSet,
    permutations: Path | None,
    metric: str,
) -> GalleryRanking:
    needed = protocol.draw == "official"
    known = read_permutations(permutations) if permutations and needed else None
    require_complete(protocol, features, known)
    return rank_gallery(protocol, features, trial=args.trial, permutations=known, metric=metric)


def add_protocol(line: ToolParser) -> None:
    """The options that choose a protocol and one of its galleries."""
    line.add_argument("--protocol", metavar="NAME", help="protocol (default with --run: the first)")
    line.add_argument("--trial", type=int, default=1, help="number of the gallery draw (1)")
    line.add_argument("--gallery-draw", choices=GALLERY_DRAWS, help="default: the protocol's own")


def _parser() -> ToolParser:
    line = kind_parser(
        "ranks",
        "--run runs/demo/seed0 --worst --out failures.png",
        "--features features.npz --root /data/LLCM --protocol llcm_v2n --out ranks.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run or model folder")
    source.add_argument("--features", type=Path, metavar="FILE", help="file of features; no model")
    add_protocol(line)
    line.add_argument("--top", type=int, help="gallery images per query (10, or all of fewer)")
    line.add_argument("--count", type=int, help="number of queries (6, or all of fewer)")
    about = "failures: lowest AP (ap) or latest first true match (first); default: random queries"
    line.add_argument("--worst", nargs="?", choices=WORST, const="ap", default="", help=about)
    line.add_argument(
        "--queries", metavar="NAME", help="show these queries: paths or identities", **LIST
    )
    line.add_argument("--seed", type=seed_number, default=0, help="seed of the random queries (0)")
    line.add_argument("--metric", choices=METRICS, help="default: the protocol's own")
    line.add_argument(
        "--root", type=Path, metavar="DIR", help="with --features: folder of the images"
    )
    about = "with --features: rand_perm_cam.mat of the official draw"
    line.add_argument("--permutations", type=Path, metavar="FILE", help=about)
    add_options(line)
    return line
