"""Draws histograms of distances between visible and infrared images of one and of two identities.

All pairs across the modalities count, whatever their cameras (of a data set with one modality, all
pairs); the means are those of the distances themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.analysis.distances import distances, draw_distances, is_single
from vireid.analysis.style import require_figure
from vireid.cli.common import add_figure, device_override, is_key, parser, tool
from vireid.cli.sources import read_sets, titles_of
from vireid.errors import UsageError
from vireid.evaluation.distance import METRICS
from vireid.structures import SPLITS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py distances --help``."""
    args = _parser().parse_intermixed_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
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
