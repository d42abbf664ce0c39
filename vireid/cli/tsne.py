"""Draws features in two dimensions: colour and number show the identity, markers the modality.

t-SNE keeps neighbours together; sizes of groups and distances between them mean nothing. PCA is
fast, and keeps distances as far as two directions can show them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import (
    LIST,
    ToolParser,
    add_figure,
    add_options,
    add_titles,
    parser,
    seed_number,
    tool,
)
from vireid.cli.sources import add_query_modality, identity_names, read_sets, titles_of
from vireid.errors import UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.query_gallery import left_out
from vireid.figures.style import require_figure
from vireid.figures.tsne import (
    METHODS,
    MOST_NUMBERED,
    Projection,
    choose_identities,
    choose_rows,
    draw_projections,
    project,
    require_points,
    write_points,
)
from vireid.runs.options import require_run
from vireid.structures import SPLITS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/tsne.py --help``."""
    args = _parser().parse(arguments)
    if args.run:
        require_run(args.run)
    paths = [args.run or args.features, *map(Path, args.compare)]
    titles = titles_of(paths, args.titles)
    points = args.out.with_suffix(".csv")
    require_figure(args.out, inputs=paths)
    require_points(points)
    if args.images < 0:
        raise UsageError(f"--images {args.images}: 1 or more of each, or 0 for all of them")
    projections = _projections(args, paths, titles)
    write_points(points, projections)
    draw_projections(projections, args.out, names=identity_names(paths))
    images = projections[0].images
    shown = len(set(images.pids.tolist()))
    print(f"wrote {args.out} and {points}: {shown} identities, {len(images)} {images.unit}s")
    if shown > MOST_NUMBERED:
        print(f"more than {MOST_NUMBERED} identities: the colours show only the modalities")


def _projections(
    args: argparse.Namespace, paths: Sequence[Path], titles: Sequence[str]
) -> list[Projection]:
    options = {"split": args.split, "query_modality": args.query_modality}
    sets = read_sets(paths, args.overrides, same_identities=True, **options)
    pids = choose_identities(sets, count=args.ids, seed=args.seed)
    for title, features in zip(titles, sets, strict=True):
        if without := left_out(features):
            print(f"{title}: without {without}")
    chosen = [
        features.subset(choose_rows(features, pids, images=args.images, seed=args.seed))
        for features in sets
    ]
    options = {"method": args.method, "metric": args.metric, "seed": args.seed}
    return [
        project(title, features, perplexity=args.perplexity, **options)
        for title, features in zip(titles, chosen, strict=True)
    ]


def _parser() -> ToolParser:
    line = parser(
        __doc__,
        "python tools/tsne.py --run runs/demo/seed0 --out tsne.png\n"
        "         python tools/tsne.py --features a.npz --compare b.npz --out pair.pdf --titles "
        "before after",
    )
    first = line.add_mutually_exclusive_group(required=True)
    first.add_argument("--run", type=Path, metavar="DIR", help="run folder")
    first.add_argument(
        "--features", type=Path, metavar="FILE", help="file of features; no model is loaded"
    )
    add_figure(line)
    about = "more run folders or files of features, one panel each, with the same images"
    line.add_argument("--compare", metavar="PATH", help=about, **LIST)
    add_titles(line, "panel")
    line.add_argument("--ids", type=int, help="number of identities (20, or all of fewer)")
    line.add_argument(
        "--images", type=int, default=8, help="images per identity and modality; 0: all (8)"
    )
    line.add_argument(
        "--seed", type=seed_number, default=0, help="seed of the choice and of t-SNE (0)"
    )
    line.add_argument("--method", choices=METHODS, default="tsne", help="projection (tsne)")
    line.add_argument("--metric", choices=METRICS, default="cosine", help="distance (cosine)")
    line.add_argument(
        "--perplexity", type=float, help="perplexity of t-SNE (30, or a third of the images)"
    )
    line.add_argument(
        "--split", choices=SPLITS, default="test", help="with runs: which images (test)"
    )
    add_query_modality(line)
    add_options(line)
    return line
