"""Trains a network, scores it, and writes a run folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.analysis.curves import draw_run
from vireid.cli.common import OVERRIDES_HELP, device_override, parser, read_config, tool
from vireid.config.defaults import default_config
from vireid.config.load import flatten
from vireid.engine.experiment import train_and_score

AUTO = "auto"


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/train.py --help``."""
    line = parser(__doc__, "python tools/train.py --cfg configs/demo.yaml SOLVER.EPOCHS 5 SEED 1")
    line.add_argument("--cfg", type=Path, required=True, metavar="FILE", help="YAML config file")
    line.add_argument(
        "--resume",
        nargs="?",
        const=AUTO,
        default="",
        metavar="PATH",
        help="continue the run in OUTPUT_DIR, or from this checkpoint or run folder",
    )
    line.add_argument("--overwrite", action="store_true", help="replace the run in OUTPUT_DIR")
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)
    args = line.parse_intermixed_args(
        _explicit_resume(sys.argv[1:] if arguments is None else arguments)
    )
    if args.resume and args.overwrite:
        line.error("--resume continues a run and --overwrite replaces it: choose one")
    cfg = read_config(args.cfg, args.overrides + device_override(args.device))
    resume = None if args.resume in ("", AUTO) else Path(args.resume).expanduser()
    folder = train_and_score(
        cfg,
        config_path=args.cfg,
        resume=bool(args.resume),
        resume_from=resume,
        overwrite=args.overwrite,
    )
    if folder is not None:
        draw_run(folder)


def _explicit_resume(arguments: Sequence[str]) -> list[str]:
    """``--resume KEY VALUE``: a bare --resume must not take an option's name for a path."""
    keys = flatten(default_config())
    following = [*arguments[1:], "--"]
    return [
        f"--resume={AUTO}"
        if one == "--resume" and (after in keys or re.fullmatch(r"[A-Z_]+(\.[A-Z0-9_]+)+", after))
        else one
        for one, after in zip(arguments, following, strict=True)
    ]
