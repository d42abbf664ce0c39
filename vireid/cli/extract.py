"""Saves a trained run's features, for scoring, plotting or searching without the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import add_options, parser, tool
from vireid.deploy.evaluation_backend import backend_of
from vireid.runs.options import run_config
from vireid.runs.saved_features import save_features
from vireid.structures import SPLITS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/extract.py --help``."""
    line = parser(__doc__, "python tools/extract.py --run runs/demo/seed0 --out features.npz")
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help="run folder")
    line.add_argument("--split", choices=SPLITS, default="test", help="images to extract (test)")
    line.add_argument("--out", type=Path, required=True, metavar="FILE", help="features.npz")
    add_options(line)
    args = line.parse(arguments)
    cfg = run_config(args.run, args.overrides)
    backend = backend_of(cfg, args.run, args.overrides)
    save_features(cfg, run=args.run, split=args.split, out=args.out, backend=backend)
