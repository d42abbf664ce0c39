"""Scores a trained run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from vireid.cli.common import OVERRIDES_HELP, device_override, is_key, parser, read_config, tool
from vireid.engine.score import score_run
from vireid.errors import CheckpointError


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/evaluate.py --help``."""
    line = parser(__doc__, "python tools/evaluate.py --run runs/demo/seed0 --protocols sysu")
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help="run folder")
    line.add_argument(
        "--protocols",
        nargs="+",
        metavar="NAME",
        default=[],
        help="protocols or groups (default: the data set's)",
    )
    line.add_argument("--dataset", help="score on another data set; short for DATA.DATASET")
    line.add_argument("--root", help="that data set's folder; short for DATA.ROOT")
    line.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: results.json in the run folder; for other data or options than the run's "
        "a file beside it, named by the difference",
    )
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_HELP)
    args = line.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    config = args.run / "config.yaml"
    if not config.is_file():
        raise CheckpointError(f"{args.run} is not a run folder: it has no config.yaml")
    # --protocols takes every word that follows, so options after it end up among its names.
    names = list(takewhile(lambda word: not is_key(word), args.protocols))
    overrides = args.overrides + args.protocols[len(names) :] + device_override(args.device)
    overrides += ["DATA.DATASET", args.dataset] if args.dataset else []
    overrides += ["DATA.ROOT", args.root] if args.root else []
    overrides += ["TEST.PROTOCOLS", f"[{', '.join(names)}]"] if names else []
    cfg = read_config(config, overrides)
    score_run(cfg, run=args.run, out=args.out)
