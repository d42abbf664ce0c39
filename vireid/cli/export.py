"""Exports a trained model, and compares its features with the run's before it writes anything."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import MODALITY_HELP, add_options, modality, parser, tool
from vireid.deploy.backends import require_packages
from vireid.deploy.deployed_model import deployed_model
from vireid.deploy.export import (
    CHECKED_WITH,
    FOLDER,
    OLDEST_OPSET,
    SUFFIXES,
    Int8,
    export_folder,
    export_model,
    targets_of,
)
from vireid.deploy.model_folder import require_folder_target
from vireid.errors import UsageError

USUAL = Int8()


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/export.py --help``."""
    args = _parse(arguments)
    int8 = _int8(args)
    _check(args)
    if args.format == FOLDER:
        require_folder_target(args.out, overwrite=args.overwrite)
        trained = deployed_model(args.run, args.overrides)
        export_folder(trained, args.run, args.out, overwrite=args.overwrite)
        return
    require_packages("onnx", "onnxscript", CHECKED_WITH[args.format])
    if int8:
        require_packages("onnxruntime")  # it quantises for both
    trained = deployed_model(args.run, args.overrides)
    stream = None if args.modality is None else args.modality.name.lower()
    targets = targets_of(trained, args.format, args.out, stream)
    export_model(trained, targets, args.format, int8, opset=args.opset)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    line = parser(
        __doc__,
        "python tools/export.py --run runs/demo/seed0 --format onnx --out model.onnx\n"
        "         python tools/export.py --run runs/demo/seed0 --format safetensors --out my-model",
    )
    about = "run folder, checkpoint of a run (.pth), or model folder"
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help=about)
    about = (
        "safetensors writes a model folder (weights, options, model card) to publish or fine-tune"
    )
    line.add_argument("--format", choices=(*SUFFIXES, FOLDER), required=True, help=about)
    about = (
        "a new folder (safetensors), an .onnx file, or an .xml file (with a .bin beside it); a "
        "model whose two streams differ becomes two files, FILE.visible.onnx and FILE.infrared.onnx"
    )
    line.add_argument("--out", type=Path, required=True, metavar="PATH", help=about)
    about = "with --format safetensors: replace the model in --out"
    line.add_argument("--overwrite", action="store_true", help=about)
    about = f"with --format onnx: ONNX opset, {OLDEST_OPSET} or later (default: torch's)"
    line.add_argument("--opset", type=int, metavar="N", help=about)
    about = f"export one modality's stream only: {MODALITY_HELP}"
    line.add_argument("--modality", type=modality, metavar="NAME", help=about)
    line.add_argument(
        "--int8",
        action="store_true",
        help="quantise to INT8, and print the scores before and after",
    )
    about = f"with --int8: number of calibration images per modality ({USUAL.calibration})"
    line.add_argument("--calibration", type=int, metavar="N", help=about)
    about = f"with --int8: largest drop of mean rank-1, in points ({USUAL.max_drop})"
    line.add_argument("--max-drop", type=float, metavar="POINTS", help=about)
    about = "with --int8: write the file even if rank-1 drops by more"
    line.add_argument("--force", action="store_true", help=about)
    add_options(line)
    return line.parse(words)


def _check(args: argparse.Namespace) -> None:
    """What argparse does not see: options that go with one format only."""
    of_files = {"--modality": args.modality is not None, "--int8": args.int8}
    if args.format == FOLDER and any(of_files.values()):
        given = next(name for name, value in of_files.items() if value)
        raise UsageError(f"{given} goes with --format {' or '.join(SUFFIXES)}: a folder holds all")
    if args.overwrite and args.format != FOLDER:
        raise UsageError(f"--overwrite goes with --format {FOLDER}; files are replaced without it")
    if args.opset is None:
        return
    if args.format != "onnx":
        raise UsageError(f"--opset goes with --format onnx, not {args.format}")
    require_packages("onnx")
    from onnx.defs import onnx_opset_version

    newest = onnx_opset_version()
    if not OLDEST_OPSET <= args.opset <= newest:
        raise UsageError(
            f"--opset must be {OLDEST_OPSET} to {newest}, the newest that the installed onnx "
            f"knows, got {args.opset}"
        )


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
