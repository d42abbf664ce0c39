"""Renders a synthetic data set in the folder layout of a real one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid.cli.arguments import parser, tool
from vireid.config.schema import default_config
from vireid.data.datasets import DATASETS
from vireid.errors import UsageError
from vireid.figures.contact_sheet import contact_sheet, draw_contact_sheet
from vireid.figures.style import require_figure
from vireid.synthetic.writers import LAYOUTS, write_set

COUNTED = [name for name, layout in LAYOUTS.items() if layout.counted_content]
DEFAULT_IDS = {"train_ids": 60, "test_ids": 20}


def _parser() -> argparse.ArgumentParser:
    line = parser(__doc__, "python tools/make_synthetic.py --layout sysu --out datasets/synthetic")
    about = "data set whose layout is used"
    line.add_argument("--layout", choices=sorted(LAYOUTS), required=True, help=about)
    line.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder to write")
    about = f"training and validation identities together ({DEFAULT_IDS['train_ids']})"
    line.add_argument("--train-ids", type=int, metavar="N", help=about)
    line.add_argument(
        "--test-ids", type=int, metavar="N", help=f"test identities ({DEFAULT_IDS['test_ids']})"
    )
    about = (
        "images per identity and camera (2 to 10, by layout); for vcm and bupt, frames per track "
        "(12; lengths vary between N and 1.5 N)"
    )
    line.add_argument("--images-per-camera", type=int, metavar="N", help=about)
    about = (
        "a rand_perm_cam.mat: render as many identities and images as it lists, instead of the "
        f"three numbers above; for layouts: {', '.join(COUNTED)}"
    )
    line.add_argument("--counts", type=Path, metavar="MAT", help=about)
    sizes = "height and width in pixels (288 144; vehicles: 128 128)"
    line.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help=sizes)
    line.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the rendering (0)")
    about = "number of processes, 0: one per CPU core (0); the files do not depend on it"
    line.add_argument("--workers", type=int, default=0, metavar="N", help=about)
    line.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="also write a contact sheet of test images to this file",
    )
    return line


def _amounts(args: argparse.Namespace) -> dict[str, Any]:
    """How many identities and images, as the writer wants it."""
    names = ("train_ids", "test_ids", "images_per_camera")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.counts is None:
        return DEFAULT_IDS | given
    if args.layout not in COUNTED:
        raise UsageError(f"--counts cannot be used with --layout {args.layout}; choose {COUNTED}")
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"--counts decides how many images there are: leave {options} out")
    return {"counts": args.counts}


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/make_synthetic.py --help``."""
    args = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    amounts = _amounts(args)
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        require_figure(args.sheet, inputs=[args.out])
    try:
        write_set(
            args.layout,
            args.out,
            **amounts,
            size=tuple(args.size) if args.size else None,
            seed=args.seed,
            progress=True,
            workers=args.workers,
        )
    except (ValueError, OSError) as error:  # bad numbers; a folder in use or not writable
        raise UsageError(str(error)) from error
    if args.sheet:
        splits = DATASETS[args.layout].read(args.out, default_config().DATA)
        draw_contact_sheet(contact_sheet(splits, "test", name=args.layout), args.out, args.sheet)
    print(f"wrote {args.out}" + (f" and {args.sheet}" if args.sheet else ""))
