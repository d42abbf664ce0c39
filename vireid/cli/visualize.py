"""Draws ranked lists, activation maps, distances, curves, and contact sheets of data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vireid.cli.arguments import (
    LIST,
    ToolParser,
    add_device,
    add_figure,
    add_options,
    add_titles,
    as_overrides,
    at_least,
    is_key,
    parser,
    seed_number,
    tool,
)
from vireid.cli.evaluate import GALLERY_DRAWS, official_permutations
from vireid.cli.sources import add_query_modality, read_sets, titles_of
from vireid.config import load_config
from vireid.data.datasets import DATASETS
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.feature_files import read_feature_file
from vireid.evaluation.identities import left_out
from vireid.evaluation.protocols import RetrievalProtocol, expand, with_draw
from vireid.evaluation.query_gallery import read_permutations, require_complete
from vireid.evaluation.ranked_lists import GalleryRanking, rank_gallery
from vireid.evaluation.results import read_results
from vireid.figures.contact_sheet import contact_sheet, draw_contact_sheet
from vireid.figures.curves import draw_cmc, draw_learning_curves
from vireid.figures.distances import distances, draw_distances, is_single
from vireid.figures.ranked_lists import (
    WORST,
    choose_queries,
    describe,
    draw_lists,
    explain_ranks,
)
from vireid.figures.style import require_figure
from vireid.runs.logs import read_metrics
from vireid.runs.names import names_beside
from vireid.runs.options import run_config
from vireid.structures import SPLITS, FeatureSet


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py --help``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kinds = "\n".join(f"  {name:12} {about}" for name, (_, about) in KINDS.items())
    line = parser(
        __doc__,
        "python tools/visualize.py distances runs/demo/seed0 --out distances.png\n"
        "(visualize ranks --help lists the options of ranks)",
    )
    line.description = f"{__doc__}\n\n{kinds}"
    line.usage = f"visualize {{{','.join(KINDS)}}} ... --out FILE"
    line.add_argument("figure", choices=tuple(KINDS), help=argparse.SUPPRESS)
    # Not subparsers: argparse cannot mix their options with KEY VALUE words.
    kind = line.parse_known_args(words[:1])[0].figure
    KINDS[kind][0](words[1:])


def kind_parser(kind: str, *examples: str) -> ToolParser:
    """The parser of one kind of figure, with ``--out``."""
    command = f"python tools/visualize.py {kind} "
    line = parser(__doc__, "\n         ".join(command + example for example in examples))
    line.prog += f" {kind}"
    line.description = KINDS[kind][1]
    add_figure(line)
    return line


def activations(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py activations --help``."""
    # these import torch, which the other kinds do not need
    from vireid.figures.activations import (
        draw_activations,
        read_activations,
        require_maps,
        run_activations,
        write_activations,
    )

    args = _activations_parser().parse(arguments)
    require_figure(args.out, inputs=[args.run or args.maps])
    if args.maps:
        if given := [*args.images, *args.overrides]:
            raise UsageError(f"{' '.join(given)} goes with --run, not with --maps")
        draw_activations(read_activations(args.maps), args.out)
        print(f"wrote {args.out}")
        return
    maps = args.out.with_suffix(".npz")
    require_maps(maps)
    cfg = run_config(args.run, args.overrides)
    choice = {"names": args.images, "count": args.ids, "seed": args.seed}
    found = run_activations(cfg, run=args.run, split=args.split, **choice)
    write_activations(maps, found)
    draw_activations(found, args.out)
    depth = cfg.MODEL.SHARED_DEPTH
    print(f"wrote {args.out} and {maps}: {len(found.images)} images, exits {', '.join(found.maps)}")
    print(f"stages that both streams share: {depth}" + (" (all: one stream)" if depth == 5 else ""))


def _activations_parser() -> ToolParser:
    line = kind_parser(
        "activations",
        "--run runs/demo/seed0 --out activations.png",
        "--maps activations.npz --out again.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps kept beside a picture")
    about = "paths within the data set, or identities (their first image of each modality)"
    line.add_argument("--images", metavar="NAME", help=about, **LIST)
    line.add_argument("--ids", type=int, default=2, help="identities drawn without --images (2)")
    line.add_argument("--seed", type=seed_number, default=0, help="of that choice (0)")
    line.add_argument("--split", choices=SPLITS, default="test", help="images (test)")
    add_options(line)
    return line


def curves(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py curves --help``."""
    args = _curves_parser().parse(arguments)
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


def _curves_parser() -> ToolParser:
    line = kind_parser(
        "curves",
        "runs/demo/seed0 --out curves.png",
        "runs/a/seed0 runs/b/seed0 --kind cmc --out cmc.pdf",
    )
    line.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="run folders")
    line.add_argument("--kind", choices=("learning", "cmc"), default="learning", help="(learning)")
    about = "only columns of metrics.csv whose name contains one of these, e.g. kl grad_"
    line.add_argument("--terms", nargs="+", default=[], metavar="WORD", help=about)
    line.add_argument(
        "--protocols", nargs="+", default=[], metavar="NAME", help="only these CMC curves (all)"
    )
    add_titles(line, "run")
    return line


def distance_histograms(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py distances --help``."""
    args = _distances_parser().parse(arguments)
    # Folders come first, then KEY VALUE.
    keys = [at for at, word in enumerate(args.paths) if is_key(word) and not Path(word).exists()]
    split = keys[0] if keys else len(args.paths)
    paths = [Path(word) for word in args.paths[:split]]
    if not paths:
        raise UsageError("name run folders or files of features")
    titles = titles_of(paths, args.titles)
    require_figure(args.out, inputs=paths)
    options = args.paths[split:] + args.overrides
    sets = read_sets(paths, options, split=args.split, query_modality=args.query_modality)
    found = {}
    for title, path, features in zip(titles, paths, sets, strict=True):
        one = found[title] = distances(features, metric=args.metric, name=str(path))
        if without := left_out(features):
            print(f"{title}: without {without}")
        if is_single(features):
            print(f"{title}: all images are of one modality, so every two of them are a pair")
        print(
            f"{title}: one identity {one.mean['intra']:.4f} ± {one.std['intra']:.4f}, two "
            f"identities {one.mean['inter']:.4f} ± {one.std['inter']:.4f}, gap {one.gap:.4f} "
            f"({one.counts['intra'].sum()} and {one.counts['inter'].sum()} pairs)"
        )
    draw_distances(found, args.out)
    print(f"wrote {args.out}")


def _distances_parser() -> ToolParser:
    line = kind_parser(
        "distances",
        "runs/demo/seed0 --out distances.png",
        "a.npz b.npz --out pair.pdf --titles before after",
    )
    about = "run folders or features.npz, one panel each; KEY VALUE behind them, for runs"
    line.add_argument("paths", nargs="+", metavar="PATH", help=about)
    line.add_argument("--metric", choices=METRICS, default="cosine", help="(cosine)")
    add_titles(line, "panel")
    line.add_argument("--split", choices=SPLITS, default="test", help="of runs: images (test)")
    add_query_modality(line)
    add_device(line)
    return line


def ranks(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py ranks --help``."""
    args = _ranks_parser().parse(arguments)
    require_figure(args.out, inputs=[args.run or args.features])
    found, root = _search_run(args) if args.run else _search_features(args)
    choice = {"worst": args.worst, "names": args.queries, "count": args.count, "seed": args.seed}
    lists = [found.ranked_list(position) for position in choose_queries(found, **choice)]
    protocol = found.protocol
    draw = "" if protocol.draw == "all" else f", {protocol.draw} gallery draw {args.trial}"
    title = f"{protocol.name}{draw}, {found.metric}"
    draw_lists(lists, found, root, args.out, top=args.top, title=title)
    print(title, *(f"  {describe(one, found)}" for one in lists), sep="\n")
    print(explain_ranks(found), f"wrote {args.out}", sep="\n")


def _search_run(args: argparse.Namespace) -> tuple[GalleryRanking, Path]:
    """The search results, and the folder of the images."""
    for option, given in {"--root": args.root, "--permutations": args.permutations}.items():
        if given:
            raise UsageError(f"{option} goes with --features; a run knows its data set")
    chosen = {
        "TEST.METRIC": args.metric,
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
    splits = held.splits
    return replace(found, identities=splits.identities, cameras=splits.cameras), splits.root


def _search_features(args: argparse.Namespace) -> tuple[GalleryRanking, Path]:
    """The search results, and the folder of the images."""
    if args.overrides:
        raise UsageError(f"{' '.join(args.overrides)} goes with --run, not with --features")
    if not args.protocol or args.root is None:
        raise UsageError("--features needs --protocol (by which rules) and --root (the images)")
    if not args.root.is_dir():
        raise DataError(f"--root {args.root} is no folder: name the one that the paths begin in")
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
    if not held.used:  # a file of this project
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


def _ranks_parser() -> ToolParser:
    line = kind_parser(
        "ranks",
        "--run runs/demo/seed0 --worst --out failures.png",
        "--features features.npz --root /data/LLCM --protocol llcm_v2n --out ranks.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    source.add_argument("--features", type=Path, metavar="FILE", help="features.npz; no model")
    line.add_argument("--protocol", metavar="NAME", help="default of a run: its first")
    line.add_argument("--trial", type=int, default=1, help="gallery draw, from 1 (1)")
    line.add_argument("--top", type=int, help="gallery images shown (10, or all of fewer)")
    line.add_argument("--count", type=int, help="queries shown (6, or all of fewer)")
    about = "failures: lowest AP, or last rank of the first match (default: drawn at random)"
    line.add_argument("--worst", nargs="?", choices=WORST, const="ap", default="", help=about)
    line.add_argument("--queries", metavar="NAME", help="instead: paths, or identities", **LIST)
    line.add_argument("--seed", type=seed_number, default=0, help="of the draw of queries (0)")
    line.add_argument("--metric", choices=METRICS, help="default: the protocol's own")
    line.add_argument("--gallery-draw", choices=GALLERY_DRAWS, help="default: its own")
    line.add_argument("--root", type=Path, metavar="DIR", help="with --features: the images")
    about = "with --features: rand_perm_cam.mat of the official draw"
    line.add_argument("--permutations", type=Path, metavar="FILE", help=about)
    add_options(line)
    return line


def sheet(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py sheet --help``."""
    args = _sheet_parser().parse(arguments)
    if args.run and args.root:
        raise UsageError("--root goes with --dataset; a run knows its data set")
    if args.dataset and not args.root:
        raise UsageError("--dataset needs --root, the folder of the images")
    require_figure(args.out, inputs=[args.run or args.root])
    if args.run:
        from vireid.runs.rendered_data import require_rendered

        cfg = run_config(args.run, args.overrides)
        require_rendered(cfg)
    else:
        chosen = as_overrides({"DATA.DATASET": args.dataset, "DATA.ROOT": str(args.root)})
        cfg = load_config(None, [*args.overrides, *chosen], environment={})
    name, data = cfg.DATA.DATASET, cfg.DATA
    splits = DATASETS[name].read(data.ROOT, data, split=data.SPLIT, split_trial=data.TRIAL)
    choice = {"ids": args.ids, "seed": args.seed, "images": args.images, "cameras": args.cameras}
    found = contact_sheet(splits, args.split, name=name, **choice)
    draw_contact_sheet(found, splits.root, args.out)
    print(f"wrote {args.out}: {found.title}")


def _sheet_parser() -> ToolParser:
    line = kind_parser(
        "sheet",
        "--dataset sysu --root /data/SYSU-MM01 --out sheet.jpg",
        "--run runs/demo/seed0 --ids 8 --split train --out sheet.jpg",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", choices=sorted(DATASETS), help="data set in --root")
    source.add_argument("--run", type=Path, metavar="DIR", help="the data set of a run folder")
    line.add_argument("--root", type=Path, metavar="DIR", help="folder of --dataset")
    line.add_argument("--split", choices=SPLITS, default="test", help="images (test)")
    line.add_argument("--ids", type=at_least(1), metavar="N", help="rows (6, or all of fewer)")
    line.add_argument("--seed", type=seed_number, default=0, help="of the draw of identities (0)")
    about = "of each identity and camera (as many as fill a row of 12)"
    line.add_argument("--images", type=at_least(1), metavar="N", help=about)
    about = "only these cameras, by name or number"
    line.add_argument("--cameras", metavar="NAME", help=about, **LIST)
    about = "options of the data set, e.g. DATA.TRIAL 2"
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=about)
    return line


KINDS: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "ranks": (ranks, "queries and their nearest gallery images"),
    "activations": (activations, "activation maps, by stream, exit and part stripe"),
    "distances": (distance_histograms, "distances within and between identities across modalities"),
    "sheet": (sheet, "contact sheet of a data set: identities by camera"),
    "curves": (curves, "learning curves by loss term, or CMC curves, of one run or several"),
}
