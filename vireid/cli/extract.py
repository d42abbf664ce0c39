"""Saves the features of a trained run, to score or plot them without the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid.cli.arguments import add_options, as_overrides, parser, tool
from vireid.deploy.evaluation_backend import backend_of
from vireid.runs.options import run_config
from vireid.runs.saved_features import save_features
from vireid.structures import SPLITS


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/extract.py --help``."""
    line = parser(__doc__, "python tools/extract.py --run runs/demo/seed0 --out features.npz")
    line.add_argument("--run", type=Path, required=True, metavar="DIR", help="run or model folder")
    line.add_argument("--split", choices=SPLITS, default="test", help="which images (test)")
    line.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: .npz")
    line.add_argument("--dataset", metavar="NAME", help="another data set (same as DATA.DATASET)")
    line.add_argument("--root", metavar="PATH", help="folder of that data set (same as DATA.ROOT)")
    add_options(line)
    args = line.parse(arguments)
    chosen = {"DATA.DATASET": args.dataset, "DATA.ROOT": args.root}
    if "TEST.CORRUPTION" not in args.overrides:  # the run's own is about its scores
        chosen["TEST.CORRUPTION"] = "none"
    overrides = args.overrides + as_overrides(chosen)
    cfg = run_config(args.run, overrides)
    backend = backend_of(cfg, args.run, overrides)
    save_features(cfg, run=args.run, split=args.split, out=args.out, backend=backend)
