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
    source.add_argument("--run", type=Path, metavar="DIR", help="run folder or model folder")
    source.add_argument("--maps", type=Path, metavar="FILE", help="maps kept beside a picture")
    about = "paths within the data set, or identities (their first image of each modality)"
    line.add_argument("--images", metavar="NAME", help=about, **LIST)
    line.add_argument("--files", metavar="FILE", help="instead: any image files", **LIST)
    about = "of --files: visible, infrared, …"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    line.add_argument("--ids", type=int, default=2, help="identities drawn without --images (2)")
    line.add_argument("--seed", type=seed_number, default=0, help="of that choice (0)")
    line.add_argument("--split", choices=SPLITS, default="test", help="images (test)")
    add_cells(line)
    add_options(line)
    return line
