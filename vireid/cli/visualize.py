"""Draws ranked lists, activation maps, distance histograms and curves from saved files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from vireid.cli.arguments import (
    add_figure,
    add_options,
    device_override,
    is_key,
    parser,
    seed_number,
    tool,
)
from vireid.cli.evaluate import SPLITS_FOLDER
from vireid.cli.sources import read_sets, run_config, titles_of
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.feature_files import read_features
from vireid.evaluation.protocols import RetrievalProtocol, expand, with_draw
from vireid.evaluation.query_gallery import Permutations, read_permutations, require_complete
from vireid.evaluation.ranked_lists import GalleryRanking, rank_gallery
from vireid.evaluation.results import read_results
from vireid.figures.activations import (
    draw_activations,
    read_activations,
    require_maps,
    write_activations,
)
from vireid.figures.curves import draw_cmc, draw_learning_curves, read_history
from vireid.figures.distances import distances, draw_distances, is_single
from vireid.figures.ranked_lists import WORST, choose_queries, describe, draw_lists
from vireid.figures.style import require_figure
from vireid.structures import SPLITS, FeatureSet


@tool
def draw_activation_maps(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py activations --help``."""
    args = _activations_parser().parse_intermixed_args(
        sys.argv[1:] if arguments is None else arguments
    )
    # --images takes every word that follows, so options after it end up among its names.
    names = list(takewhile(lambda word: not is_key(word), args.images))
    overrides = args.overrides + args.images[len(names) :] + device_override(args.device)
    require_figure(args.out, inputs=[args.run or args.maps])
    if args.maps:
        if names or overrides:
            raise UsageError(f"{' '.join(names or overrides)} goes with --run, not with --maps")
        draw_activations(read_activations(args.maps), args.out)
        print(f"wrote {args.out}")
        return
    kept = args.out.with_suffix(".npz")
    require_maps(kept)
    cfg = run_config(args.run, overrides)
    from vireid.figures.activations import look_at_run

    choice = {"names": names, "count": args.ids, "seed": args.seed}
    found = look_at_run(cfg, run=args.run, split=args.split, **choice)
    write_activations(kept, found)
    draw_activations(found, args.out)
    depth = cfg.MODEL.SHARED_DEPTH
    print(f"wrote {args.out} and {kept}: {len(found.images)} images, exits {', '.join(found.maps)}")
    print(f"stages that both streams share: {depth}" + (" (all: one stream)" if depth == 5 else ""))


def _activations_parser() -> argparse.ArgumentParser:
    line = parser(
        __doc__,
        "python tools/visualize.py activations --run runs/demo/seed0 --out activations.png\n"
        "         python tools/visualize.py activations --maps activations.npz --out again.pdf",
    )
    line.prog += " activations"
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps kept beside a picture")
    add_figure(line)
    line.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="NAME",
        help="paths within the data set, or identities (their first image of each modality)",
    )
    line.add_argument("--ids", type=int, default=2, help="identities drawn without --images (2)")
    line.add_argument("--seed", type=seed_number, default=0, help="of that choice (0)")
    line.add_argument("--split", choices=SPLITS, default="test", help="images (test)")
    add_options(line)
    return line


@tool
def draw_curves(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py curves --help``."""
    args = _curves_parser().parse_args(arguments)
    titles = titles_of(args.runs, args.titles)
    require_figure(args.out, inputs=args.runs)
    if args.kind == "learning":
        if args.protocols:
            raise UsageError("--protocols goes with --kind cmc")
        histories = {t: read_history(run) for t, run in zip(titles, args.runs, strict=True)}
        draw_learning_curves(histories, args.out, terms=args.terms)
    else:
        if args.terms:
            raise UsageError("--terms goes with --kind learning")
        draw_cmc(_entries(args, titles), args.out)
    print(f"wrote {args.out}: {', '.join(titles)}")


def _entries(args: argparse.Namespace, titles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Entries of every run's results, only those asked for."""
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


def _curves_parser() -> argparse.ArgumentParser:
    line = parser(
        __doc__,
        "python tools/visualize.py curves runs/demo/seed0 --out curves.png\n"
        "         python tools/visualize.py curves runs/a/seed0 runs/b/seed0 --kind cmc --out "
        "cmc.pdf",
    )
    line.prog += " curves"
    line.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="run folders")
    add_figure(line)
    line.add_argument("--kind", choices=("learning", "cmc"), default="learning", help="(learning)")
    line.add_argument(
        "--terms",
        nargs="+",
        default=[],
        metavar="WORD",
        help="only columns of metrics.csv whose name contains one of these, e.g. kl grad_",
    )
    line.add_argument(
        "--protocols", nargs="+", default=[], metavar="NAME", help="only these CMC curves (all)"
    )
    line.add_argument("--titles", nargs="+", default=[], metavar="TEXT", help="one for each run")
    return line


@tool
def draw_distance_histograms(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py distances --help``."""
    args = _distances_parser().parse_intermixed_args(arguments)
    # Folders come first, then KEY VALUE.
    keys = [at for at, word in enumerate(args.paths) if is_key(word) and not Path(word).exists()]
    split = keys[0] if keys else len(args.paths)
    paths = [Path(word) for word in args.paths[:split]]
    overrides = args.paths[split:] + device_override(args.device)
    if not paths:
        raise UsageError("name run folders or files of features")
    titles = titles_of(paths, args.titles)
    require_figure(args.out, inputs=paths)
    found = {}
    sets = read_sets(paths, overrides, split=args.split)
    for title, path, features in zip(titles, paths, sets, strict=True):
        found[title] = distances(features, metric=args.metric, name=str(path))
        one = found[title]
        if is_single(features):
            print(f"{title}: all images are of one modality, so every two of them are a pair")
        print(
            f"{title}: one identity {one.mean['intra']:.4f} ± {one.std['intra']:.4f}, two "
            f"identities {one.mean['inter']:.4f} ± {one.std['inter']:.4f}, gap {one.gap:.4f} "
            f"({one.counts['intra'].sum()} and {one.counts['inter'].sum()} pairs)"
        )
    draw_distances(found, args.out)
    print(f"wrote {args.out}")


def _distances_parser() -> argparse.ArgumentParser:
    line = parser(
        __doc__,
        "python tools/visualize.py distances runs/demo/seed0 --out distances.png\n"
        "         python tools/visualize.py distances a.npz b.npz --out pair.pdf --titles before "
        "after",
    )
    line.prog += " distances"
    line.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="run folders or features.npz, one panel each; KEY VALUE behind them, for runs",
    )
    add_figure(line)
    line.add_argument("--metric", choices=METRICS, default="cosine", help="(cosine)")
    line.add_argument("--titles", nargs="+", default=[], metavar="TEXT", help="one for each panel")
    line.add_argument("--split", choices=SPLITS, default="test", help="of runs: images (test)")
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    return line


@tool
def draw_ranked_lists(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py ranks --help``."""
    args = _ranks_parser().parse_intermixed_args(arguments)
    # --queries takes every word that follows, so options after it end up among its names.
    names = list(takewhile(lambda word: not is_key(word), args.queries))
    overrides = args.overrides + args.queries[len(names) :] + device_override(args.device)
    require_figure(args.out, inputs=[args.run or args.features])
    found, root = _of_run(args, overrides) if args.run else _of_features(args, overrides)
    choice = {"worst": args.worst, "names": names, "count": args.count, "seed": args.seed}
    lists = [found.ranked_list(position) for position in choose_queries(found, **choice)]
    protocol = found.protocol
    draw = "" if protocol.draw == "all" else f", {protocol.draw} gallery draw {args.trial}"
    title = f"{protocol.name}{draw}, {found.metric}"
    draw_lists(lists, found, root, args.out, top=args.top, title=title)
    print(title, *(f"  {describe(one, found)}" for one in lists), f"wrote {args.out}", sep="\n")


def _of_run(args: argparse.Namespace, overrides: list[str]) -> tuple[GalleryRanking, Path]:
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
    from vireid.runs.saved_features import run_features
    from vireid.runs.score import chosen_protocols

    protocol = chosen_protocols(cfg)[0]
    split = "val" if protocol.held_out else "test"
    held = run_features(cfg, run=args.run, split=split, protocols=[protocol])
    permutations = held.splits.gallery_permutations
    if protocol.draw != "official" or permutations is None:
        known = None
    else:
        known = read_permutations(permutations)
    return _search(args, protocol, held.features, known, cfg.TEST.METRIC), held.splits.root


def _of_features(args: argparse.Namespace, overrides: list[str]) -> tuple[GalleryRanking, Path]:
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
) -> GalleryRanking:
    require_complete(protocol, features, known)
    return rank_gallery(protocol, features, trial=args.trial, permutations=known, metric=metric)


def _ranks_parser() -> argparse.ArgumentParser:
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


KINDS = {
    "ranks": (draw_ranked_lists, "queries and the gallery images that they find"),
    "activations": (draw_activation_maps, "where a model looks, by stream, exit and part stripe"),
    "distances": (
        draw_distance_histograms,
        "distances within and between identities across modalities",
    ),
    "curves": (draw_curves, "learning curves by loss term, or CMC curves, of one run or several"),
}
USAGE = f"usage: visualize {{{','.join(KINDS)}}} ... --out FILE"


def main(arguments: Sequence[str] | None = None) -> int:
    """See ``python tools/visualize.py --help``; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kind = words[0] if words else ""
    if kind in ("-h", "--help"):
        kinds = "\n".join(f"  {name:12} {about}" for name, (_, about) in KINDS.items())
        print(
            f"{USAGE}\n\n{__doc__}\n\n{kinds}\n\nexample: python tools/visualize.py distances "
            "runs/demo/seed0 --out distances.png\n(visualize ranks --help tells more of ranks)"
        )
        return 0
    if kind not in KINDS:
        choices = ", ".join(KINDS)
        print(f"{USAGE}\nerror: choose what to draw of {choices}; got {kind!r}", file=sys.stderr)
        return 2
    return KINDS[kind][0](words[1:])
