"""Configurations, checked, from a file or from a run's folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from yacs.config import CfgNode

from vireid.config import load_config
from vireid.errors import CheckpointError
from vireid.evaluation.protocols import GROUPS, PROTOCOLS


def choices() -> dict[str, Collection[str]]:
    """Names whose tables live outside the config package, by option."""
    from vireid.data.build import DATASETS  # these two import torch, which not every tool needs
    from vireid.models.build import BACKBONES

    return {
        "DATA.DATASET": tuple(DATASETS),
        "MODEL.BACKBONE": tuple(BACKBONES),
        "TEST.PROTOCOLS": (*PROTOCOLS, *GROUPS),
    }


def read_config(path: Path, overrides: Sequence[str]) -> CfgNode:
    """A checked configuration; a synthetic set without a folder of its own gets one.

    Raises:
        UsageError: one message with all the problems.
    """
    from vireid.runs.rendered_data import synthetic_root

    cfg = load_config(path, overrides, choices=choices())
    if cfg.DATA.SYNTHETIC.ENABLED and not cfg.DATA.ROOT:
        cfg.defrost()
        cfg.DATA.ROOT = str(synthetic_root(cfg))
        cfg.freeze()
    return cfg


def recipe_of(run: Path) -> Path:
    """``runs/regdb/split3/seed0`` → ``runs/regdb``, which runs of other seeds and splits share."""
    while re.fullmatch(r"(seed|split)\d+", run.name):
        run = run.parent
    return run


def require_run(run: Path) -> None:
    """Raises :class:`CheckpointError` unless the folder holds a run."""
    if not run.is_dir():
        raise CheckpointError(f"there is no run folder {run}: train one, or name another")
    if not (run / "config.yaml").is_file():
        raise CheckpointError(f"{run} is not a run folder: it has no config.yaml")


def run_config(run: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """A run's configuration, with what the user changed.

    Raises:
        CheckpointError: the folder holds no run.
    """
    require_run(run)
    return read_config(run / "config.yaml", overrides)
