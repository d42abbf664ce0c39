"""Draws where a network looks: the energy of the maps that its exits and parts pool.

One forward pass; the maps are kept beside the picture, from which it can be drawn again (--maps).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from vireid.analysis.activations import read_activations, require_maps, write_activations
from vireid.analysis.activations_plot import draw_activations
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
from vireid.cli.sources import run_config
from vireid.errors import UsageError
from vireid.structures import SPLITS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/visualize.py activations --help``."""
    args = _parser().parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
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
    from vireid.analysis.look import look_at_run

    choice = {"names": names, "count": args.ids, "seed": args.seed}
    found = look_at_run(cfg, run=args.run, split=args.split, **choice)
    write_activations(kept, found)
    draw_activations(found, args.out)
    depth = cfg.MODEL.SHARED_DEPTH
    print(f"wrote {args.out} and {kept}: {len(found.images)} images, exits {', '.join(found.maps)}")
    print(f"stages that both streams share: {depth}" + (" (all: one stream)" if depth == 5 else ""))


def _parser() -> argparse.ArgumentParser:
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
