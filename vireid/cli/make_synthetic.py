"""Writes a synthetic data set in a real data set's layout on disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.common import parser, tool
from vireid.data.synthetic.layouts import LAYOUTS
from vireid.errors import UsageError


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/make_synthetic.py --help``."""
    line = parser(__doc__, "python tools/make_synthetic.py --layout sysu --out datasets/synthetic")
    line.add_argument("--layout", choices=sorted(LAYOUTS), required=True)
    line.add_argument("--out", type=Path, required=True, metavar="DIR", help="must not exist yet")
    line.add_argument(
        "--train-ids",
        type=int,
        default=60,
        metavar="N",
        help="training and validation identities together (60)",
    )
    line.add_argument("--test-ids", type=int, default=20, metavar="N", help="(20)")
    line.add_argument(
        "--images-per-camera",
        type=int,
        default=6,
        metavar="N",
        help="images per identity and camera (6)",
    )
    line.add_argument(
        "--size", type=int, nargs=2, default=(288, 144), metavar=("H", "W"), help="pixels (288 144)"
    )
    line.add_argument("--seed", type=int, default=0, metavar="N")
    args = line.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        LAYOUTS[args.layout](
            args.out,
            train_ids=args.train_ids,
            test_ids=args.test_ids,
            images_per_camera=args.images_per_camera,
            size=tuple(args.size),
            seed=args.seed,
            progress=True,
        )
    except (ValueError, OSError) as error:  # bad numbers; a folder in use or not writable
        raise UsageError(str(error)) from error
    print(f"wrote {args.out}")
