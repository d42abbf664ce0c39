"""Trains a network, scores it, and writes a run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vireid.analysis.curves import draw_run
from vireid.cli.common import OVERRIDES_HELP, device_override, is_key, parser, read_config, tool
from vireid.engine.experiment import train_and_score
from vireid.errors import UsageError

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
        metavar="PATH",
        help="continue the run in OUTPUT_DIR, or from this checkpoint or run folder",
    )
    line.add_argument("--overwrite", action="store_true", help="replace the run in OUTPUT_DIR")
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)
    args = line.parse_intermixed_args(
        _explicit_resume(sys.argv[1:] if arguments is None else arguments)
    )
    resume = args.resume is not None
    if resume and args.overwrite:
        line.error("--resume continues a run and --overwrite replaces it: choose one")
    if args.resume == "":
        raise UsageError("--resume: the path is empty; name a checkpoint or a run folder, or none")
    cfg = read_config(args.cfg, args.overrides + device_override(args.device))
    folder = train_and_score(
        cfg,
        config_path=args.cfg,
        resume=resume,
        resume_from=Path(args.resume).expanduser() if resume and args.resume != AUTO else None,
        overwrite=args.overwrite,
    )
    if folder is not None:
        draw_run(folder)


def _explicit_resume(arguments: Sequence[str]) -> list[str]:
    """``--resume KEY VALUE``: a bare --resume must not take an option's name for a path."""
    following = [*arguments, "--"][1:]
    return [
        f"--resume={AUTO}"
        if one == "--resume" and is_key(after) and not Path(after).exists()
        else one
        for one, after in zip(arguments, following, strict=True)
    ]
