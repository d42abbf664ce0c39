"""``visualize activations``: activation maps, by stream, exit and part stripe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import LIST, ToolParser, add_options, seed_number
from vireid.cli.visualize.kinds import kind_parser
from vireid.errors import UsageError
from vireid.figures.activations import (
    draw_activations,
    read_activations,
    require_maps,
    run_activations,
    write_activations,
)
from vireid.figures.style import require_figure
from vireid.runs.options import run_config
from vireid.structures import SPLITS


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py activations --help``."""
    args = _parser().parse(arguments)
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


def _parser() -> ToolParser:
    line = kind_parser(
        "activations",
        "--run runs/demo/seed0 --out activations.png",
        "--maps activations.npz --out again.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run or model folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps that an earlier call saved")
    about = "paths below the data set's folder, or identities (first image of each modality)"
    line.add_argument("--images", metavar="NAME", help=about, **LIST)
    line.add_argument("--ids", type=int, default=2, help="random identities, without --images (2)")
    line.add_argument("--seed", type=seed_number, default=0, help="seed of that choice (0)")
    line.add_argument("--split", choices=SPLITS, default="test", help="which images (test)")
    add_options(line)
    return line
