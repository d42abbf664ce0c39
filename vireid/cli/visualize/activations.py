"""``visualize activations``: activation maps, by stream, exit and part stripe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import LIST, ToolParser, add_options, modality, seed_number
from vireid.cli.visualize.files import read_images, require_modality
from vireid.cli.visualize.kinds import add_cells, kind_parser
from vireid.errors import UsageError
from vireid.figures.activations import (
    Activations,
    draw_activations,
    file_activations,
    read_activations,
    run_activations,
    write_activations,
)
from vireid.figures.map_files import require_maps
from vireid.figures.style import require_figure
from vireid.runs.options import run_config
from vireid.structures import SPLITS


def main(arguments: Sequence[str]) -> None:
    """See ``python tools/visualize.py activations --help``."""
    args = _parser().parse(arguments)
    require_figure(args.out, inputs=[args.run or args.maps, *map(Path, args.files)])
    if args.maps:
        if given := [*args.images, *args.files, *args.overrides]:
            raise UsageError(f"{' '.join(given)} goes with --run, not with --maps")
        draw_activations(read_activations(args.maps), args.out, cells=args.cells)
        print(f"wrote {args.out}")
        return
    maps = args.out.with_suffix(".npz")
    require_maps(maps, read_activations)
    found, depth = _found(args)
    write_activations(maps, found)
    draw_activations(found, args.out, cells=args.cells)
    print(f"wrote {args.out} and {maps}: {len(found.images)} images, exits {', '.join(found.maps)}")
    print(f"stages that both streams share: {depth}" + (" (all: one stream)" if depth == 5 else ""))


def _found(args: argparse.Namespace) -> tuple[Activations, int]:
    """The maps, and how many stages both streams share."""
    if args.files and args.images:
        raise UsageError("--images names images of the data set, --files other ones: choose one")
    if bool(args.files) != (args.modality is not None):
        raise UsageError("--files and --modality (visible or infrared) go together")
    cfg = run_config(args.run, args.overrides)
    if args.files:
        require_modality(cfg, args.modality)
        files = [Path(file) for file in args.files]
        images = read_images(cfg, files, args.modality)
        found = file_activations(
            cfg, run=args.run, images=images, files=files, modality=args.modality
        )
    else:
        choice = {"names": args.images, "count": args.ids, "seed": args.seed}
        found = run_activations(cfg, run=args.run, split=args.split, **choice)
    return found, cfg.MODEL.SHARED_DEPTH


def _parser() -> ToolParser:
    line = kind_parser(
        "activations",
        "--run runs/demo/seed0 --out activations.png",
        "--run runs/demo/seed0 --files a.jpg b.png --modality infrared --out maps.png",
        "--maps activations.npz --out again.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run or model folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps that an earlier call saved")
    about = "paths below the data set's folder, or identities (first image of each modality)"
    line.add_argument("--images", metavar="NAME", help=about, **LIST)
    line.add_argument("--files", metavar="FILE", help="any image files instead", **LIST)
    about = "modality of --files: visible, infrared, …"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    line.add_argument("--ids", type=int, default=2, help="random identities, without --images (2)")
    line.add_argument("--seed", type=seed_number, default=0, help="seed of that choice (0)")
    line.add_argument("--split", choices=SPLITS, default="test", help="which images (test)")
    add_cells(line)
    add_options(line)
    return line
