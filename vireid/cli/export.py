"""Writes a trained run's model as ONNX or OpenVINO files, once they compute what torch does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import MODALITY_HELP, add_options, modality, parser, tool
from vireid.deploy.backends import require_packages
from vireid.deploy.deployed_model import deployed_model
from vireid.deploy.export import CHECKED_WITH, SUFFIXES, Int8, export_model, targets_of
from vireid.errors import UsageError

USUAL = Int8()


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/export.py --help``."""
    args = _parse(arguments)
    int8 = _int8(args)
    require_packages("onnx", "onnxscript", CHECKED_WITH[args.format])
    if int8:
        require_packages("onnxruntime")  # it quantises for both
    trained = deployed_model(args.run, args.overrides)
    stream = None if args.modality is None else args.modality.name.lower()
    targets = targets_of(trained, args.format, args.out, stream)
    export_model(trained, targets, args.format, int8)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    line = parser(
        __doc__, "python tools/export.py --run runs/demo/seed0 --format onnx --out model.onnx"
    )
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help="run folder")
    line.add_argument("--format", choices=tuple(SUFFIXES), required=True)
    about = (
        ".onnx or .xml (with a .bin beside it); a model whose streams differ becomes two "
        "files, FILE.visible.onnx and FILE.infrared.onnx"
    )
    line.add_argument("--out", type=Path, required=True, metavar="FILE", help=about)
    about = f"write this one's stream alone: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    line.add_argument("--int8", action="store_true", help="quantise, and report what that costs")
    about = f"with --int8: training images of each modality ({USUAL.calibration})"
    line.add_argument("--calibration", type=int, metavar="N", help=about)
    about = f"with --int8: of rank-1 that may be lost, mean over the protocols ({USUAL.max_drop})"
    line.add_argument("--max-drop", type=float, metavar="POINTS", help=about)
    line.add_argument(
        "--force", action="store_true", help="with --int8: write it whatever it loses"
    )
    add_options(line)
    return line.parse(words)


def _int8(args: argparse.Namespace) -> Int8 | None:
    given = {"calibration": args.calibration, "max_drop": args.max_drop}
    chosen = {name: value for name, value in given.items() if value is not None}
    if not args.int8:
        if chosen or args.force:
            raise UsageError("--calibration, --max-drop and --force go with --int8")
        return None
    int8 = Int8(**chosen, force=args.force)
    if int8.calibration < 1 or not int8.max_drop >= 0:
        raise UsageError(
            f"--calibration must be at least 1 and --max-drop at least 0, got {int8.calibration} "
            f"and {int8.max_drop:g}"
        )
    return int8
