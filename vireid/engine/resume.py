"""Where a run starts: its folder, and the checkpoint that it continues from, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from vireid.config.load import flatten, to_dict
from vireid.engine.checkpoint import load_checkpoint
from vireid.engine.run import LAST, run_folder
from vireid.errors import CheckpointError
from vireid.structures import Splits

# Options that change neither what is trained nor how.
HARMLESS = ("DATA.ROOT", "DATA.WORKERS", "OUTPUT_DIR", "DEVICE", "SOLVER.CHECKPOINT_EVERY")


@dataclass(frozen=True, slots=True)
class Start:
    """Where and from what a run starts.

    Args:
        folder: of the run.
        path: of the checkpoint; the folder's last one when there is nothing to continue.
        checkpoint: its content, or None for a fresh start.
        in_place: whether the checkpoint is the folder's own.
        changes: options that differ from the checkpoint's, one line each.
    """

    folder: Path
    path: Path
    checkpoint: Mapping[str, Any] | None = None
    in_place: bool = False
    changes: list[str] = field(default_factory=list)


def find_start(
    cfg: CfgNode, config_path: Path, splits: Splits, *, resume: bool, resume_from: Path | None
) -> Start:
    """Settles the run folder and reads the checkpoint to continue from.

    Raises:
        CheckpointError: a continuation was asked for and there is no usable checkpoint; training
            never starts over silently.
    """
    folder = run_folder(cfg, config_path, splits.split_trial)
    if not resume:
        return Start(folder, folder / LAST)
    path = folder / LAST
    if resume_from is not None:
        path = resume_from / LAST if resume_from.is_dir() else resume_from
        own_folder = path.resolve().parent.parent
        if not cfg.OUTPUT_DIR and (own_folder / "config.yaml").is_file():
            folder = own_folder
    if not path.is_file():
        raise CheckpointError(
            f"nothing to resume: {path} does not exist; leave out --resume to start a new run"
        )
    checkpoint = load_checkpoint(path)
    return Start(
        folder,
        path,
        checkpoint,
        in_place=path.resolve().is_relative_to(folder.resolve()),
        changes=_changes(cfg, checkpoint["config"]),
    )


def check_same_classes(checkpoint: Mapping[str, Any], splits: Splits, path: Path) -> None:
    """Raises :class:`CheckpointError` unless both train the same identities."""
    if tuple(checkpoint["pids"]) != splits.train_pids:
        raise CheckpointError(
            f"{path} was trained on {len(checkpoint['pids'])} identities of "
            f"{checkpoint['dataset']}, split {checkpoint['split_trial']}, which are not the "
            f"{len(splits.train_pids)} of this configuration: check DATA.*"
        )


def _changes(cfg: CfgNode, text: str) -> list[str]:
    before, now = flatten(yaml.safe_load(text)), flatten(to_dict(cfg))
    return [
        f"changed since the checkpoint: {key} {before.get(key)} → {value}"
        for key, value in now.items()
        if before.get(key) != value and key not in HARMLESS
    ]
