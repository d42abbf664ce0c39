"""``visualize distances``: distances within and between identities across modalities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import ToolParser, add_device, add_titles, is_key
from vireid.cli.sources import add_query_modality, read_sets, titles_of
from vireid.cli.visualize.kinds import kind_parser
from vireid.errors import UsageError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.query_gallery import left_out
from vireid.figures.distances import distances, draw_distances, is_single
from vireid.figures.error_rates import describe_trade_off, draw_trade_off
from vireid.figures.style import require_figure
from vireid.structures import SPLITS


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py distances --help``."""
    args = _parser().parse(arguments)
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
        print(f"{title}: {one.describe()}")
        if args.kind == "det":
            print(describe_trade_off(title, one))
    draw = draw_trade_off if args.kind == "det" else draw_distances
    draw(found, args.out)
    print(f"wrote {args.out}")


def _parser() -> ToolParser:
    line = kind_parser(
        "distances",
        "runs/demo/seed0 --out distances.png",
        "a.npz b.npz --out pair.pdf --titles before after",
    )
    about = "run folders or files of features, one panel each; then KEY VALUE options for runs"
    line.add_argument("paths", nargs="+", metavar="PATH", help=about)
    about = "histograms, or det: false rejects over false accepts, one curve each (histograms)"
    line.add_argument("--kind", choices=("histograms", "det"), default="histograms", help=about)
    line.add_argument("--metric", choices=METRICS, default="cosine", help="distance (cosine)")
    add_titles(line, "panel")
    line.add_argument(
        "--split", choices=SPLITS, default="test", help="with runs: which images (test)"
    )
    add_query_modality(line)
    add_device(line)
    return line
