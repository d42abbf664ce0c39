"""Trains a model, scores it, and writes a run folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from vireid.cli.arguments import SHIPPED_HELP, add_options, is_key, parser, tool
from vireid.config import apply_overrides
from vireid.data.build import build_splits
from vireid.engine.checkpoint import LAST
from vireid.errors import UsageError
from vireid.figures.curves import draw_run
from vireid.reports.tables import FORMATS, score_table
from vireid.runs.options import read_config, run_config
from vireid.runs.pipeline import train_and_score
from vireid.runs.rendered_data import prepare_data
from vireid.runs.resume import changed_options
from vireid.runs.run_dir import run_folder
from vireid.utils.paths import expand

AUTO = "auto"
TRIALS = 10


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/train.py --help``."""
    line = parser(__doc__, "python tools/train.py --cfg configs/demo.yaml SOLVER.EPOCHS 5 SEED 1")
    line.add_argument(
        "--cfg", type=Path, required=True, metavar="FILE", help=f"YAML config file; {SHIPPED_HELP}"
    )
    about = "continue the run in OUTPUT_DIR, or the one in PATH (a run folder or checkpoint)"
    line.add_argument("--resume", nargs="?", const=AUTO, metavar="PATH", help=about)
    line.add_argument("--overwrite", action="store_true", help="replace the run in OUTPUT_DIR")
    about = (
        f"train and score the splits DATA.TRIAL 1 … {TRIALS} one after another, skip finished "
        "ones, and print the mean"
    )
    line.add_argument("--all-trials", action="store_true", help=about)
    about = (
        "write the gradient norm of each loss term in the backbone into metrics.csv (same as "
        "SOLVER.GRADIENT_NORMS true)"
    )
    line.add_argument("--gradient-norms", action="store_true", help=about)
    about = "print every loss term after every epoch"
    line.add_argument("--verbose", action="store_true", help=about)
    add_options(line)
    args = line.parse(_explicit_resume(sys.argv[1:] if arguments is None else arguments))
    resume = args.resume is not None
    if resume and args.overwrite:
        line.error("--resume continues a run and --overwrite replaces it: choose one")
    if args.resume == "":
        raise UsageError("--resume: the path is empty; name a checkpoint or a run folder, or none")
    overrides = args.overrides + ["SOLVER.GRADIENT_NORMS", "true"] * args.gradient_norms
    if args.all_trials:
        _train_all(args, overrides)
    else:
        _train(args, read_config(args.cfg, overrides), resume=resume)


def _train(args: argparse.Namespace, cfg: CfgNode, *, resume: bool) -> Path | None:
    """One run; returns its folder on the process that wrote it."""
    return train_and_score(
        cfg,
        config_path=args.cfg,
        resume=resume,
        resume_from=expand(args.resume) if resume and args.resume != AUTO else None,
        overwrite=args.overwrite,
        verbose=args.verbose,
        draw=draw_run,
    )


def _train_all(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Trains a model on every train/test split of a data set that has several."""
    if args.resume not in (None, AUTO):
        raise UsageError("--all-trials continues each split's own run: give --resume no path")
    folders: list[Path | None] = []
    for trial in range(1, TRIALS + 1):
        cfg = read_config(args.cfg, [*overrides, "DATA.TRIAL", str(trial)])
        if trial == 1:
            _require_trials(cfg)
        if cfg.OUTPUT_DIR:
            parent = Path(cfg.OUTPUT_DIR) / f"split{trial}" / f"seed{cfg.SEED}"
            cfg = apply_overrides(cfg, ["OUTPUT_DIR", str(parent)])
        if cfg.PRECISION == "auto" and folders and folders[0]:  # one format for all splits
            cfg = apply_overrides(cfg, ["PRECISION", run_config(folders[0]).PRECISION])
        folder = run_folder(cfg, args.cfg, trial)
        if (folder / "results.json").is_file() and not args.overwrite:
            if changed := changed_options(folder, cfg):
                raise UsageError(
                    f"{folder} was trained with another {', '.join(changed)}: replace it with "
                    "--overwrite, or name another OUTPUT_DIR"
                )
            print(f"{folder} is finished")
            folders.append(folder)
            continue
        resume = args.resume is not None and (folder / LAST).is_file()
        folders.append(_train(args, cfg, resume=resume))
    if None not in folders:  # only one of several processes prints
        print(FORMATS["md"](score_table([folder for folder in folders if folder])))


def _require_trials(cfg: CfgNode) -> None:
    prepare_data(cfg)
    if build_splits(cfg).split_trial is None:
        raise UsageError(
            f"--all-trials: {cfg.DATA.DATASET} has one split only; vary SEED for several runs"
        )


def _explicit_resume(arguments: Sequence[str]) -> list[str]:
    """Keeps a bare ``--resume`` from taking the key of ``KEY VALUE`` as its path."""
    following = [*arguments, "--"][1:]
    return [
        f"--resume={AUTO}"
        if one == "--resume" and is_key(after) and not Path(after).exists()
        else one
        for one, after in zip(arguments, following, strict=True)
    ]
