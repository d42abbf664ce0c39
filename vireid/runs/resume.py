"""Where a run starts: its folder, and the checkpoint that it continues from, if any."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.lists import options_of, with_found
from vireid.config.load import absolute_paths, absolute_values, flatten, load_config
from vireid.config.option import Effect
from vireid.data.datasets.files import fingerprint
from vireid.engine.checkpoint import BEST, LAST, REMEDY, load_checkpoint, restore_rng, saved_options
from vireid.engine.trainer import Trainer, TrainingProgress
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.runs.run_dir import run_folder
from vireid.runs.teacher import Teacher
from vireid.structures import Splits

log = logging.getLogger(__name__)

HARMLESS = options_of(Effect.NOTHING)
WITHOUT_EFFECT = options_of(Effect.START)
FIXED_WITHIN_EPOCH = options_of(Effect.EPOCH, Effect.STUDENTS)


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
    """Decides on the run folder and reads the checkpoint to continue from.

    Raises:
        CheckpointError: ``resume``, but there is no usable checkpoint; training never starts over
            silently.
        UsageError: options changed that a continuation cannot change.
    """
    folder = run_folder(cfg, config_path, splits.split_trial)
    if not resume:
        return Start(folder, folder / LAST)
    path = folder / LAST
    if resume_from is None:
        resume_from = _own_run(cfg, config_path, folder)
    if resume_from is not None:
        path = resume_from / LAST if resume_from.is_dir() else resume_from
        own_folder = path.resolve().parent.parent
        if _is_output(cfg, own_folder):
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
        changes=_changes(cfg, checkpoint, path),
    )


def _own_run(cfg: CfgNode, config_path: Path, folder: Path) -> Path | None:
    """The run whose config.yaml was named, if its folder is not where a new one would be.

    The default folder lies in the working folder, which may be another one now.
    """
    home = config_path.absolute().parent
    own = config_path.name == "config.yaml" and (home / LAST).is_file()
    found = own and not cfg.OUTPUT_DIR and not (folder / LAST).is_file()
    return home if found and home.name == folder.name else None


def _is_output(cfg: CfgNode, folder: Path) -> bool:
    """Whether a run is continued in its own folder: no other OUTPUT_DIR was named.

    A run that was moved still has the OUTPUT_DIR of its old place in its config.yaml.
    """
    config = folder / "config.yaml"
    if not config.is_file() or not cfg.OUTPUT_DIR:
        return config.is_file()
    saved = load_config(config, environment={})
    return bool(absolute_paths(saved).OUTPUT_DIR == absolute_paths(cfg).OUTPUT_DIR)


def check_unchanged(splits: Splits, data: str) -> None:
    """Raises ``DataError`` if the images no longer have the fingerprint ``data``."""
    now = fingerprint(splits)
    if now != data:
        raise DataError(
            f"images in {splits.root} changed while this run trained (fingerprint {data[:12]}, now "
            f"{now[:12]}), so the run is not scored: put the images back "
            "and score it with the evaluate tool, or train it again with --overwrite"
        )


def restore(trainer: Trainer, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Restores the training's state, except for the model's weights.

    Raises:
        CheckpointError: it is not what this training would have saved.
        UsageError: only one of them has a loss with parameters.
    """
    if trainer.criterion.state_dict().keys() != checkpoint["criterion"].keys():
        raise UsageError(
            f"DISTILL.FEATURE_WEIGHT: {path} was saved with the other choice between 0 and a "
            "weight, and its projection learns from the first step on: keep that choice, or start "
            "a new run"
        )
    try:
        trainer.restore(checkpoint)
        restore_rng(checkpoint["rng"])
    except Exception as error:  # what torch raises for a state that does not fit has many types
        raise CheckpointError(
            f"{path} is damaged, or its training had other parameters "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): {REMEDY}"
        ) from error


def teacher_changes(
    checkpoint: Mapping[str, Any], teacher: Teacher | None, path: Path
) -> list[str]:
    """A line that says that the teacher's weights changed since the checkpoint, if they did.

    Raises:
        UsageError: they did within an epoch.
    """
    before, now = checkpoint.get("teacher", ""), teacher.digest if teacher else ""
    if before == now:
        return []
    line = f"teacher (weights) {before[:12] or 'none'} → {now[:12] or 'none'}"
    if checkpoint["progress"]["step"]:
        raise UsageError(
            f"{path} was saved in the middle of an epoch, and the teacher may change only between "
            f"epochs ({line}): set TEACHER.WEIGHTS to the checkpoint's teacher until the epoch ends"
        )
    return [f"changed since the checkpoint: {line}"]


def settle_best(progress: TrainingProgress, start: Start) -> None:
    """Makes the folder's best checkpoint that of ``progress.best``, or clears ``progress.best``.

    Another folder's checkpoint is copied. It is cleared where that file is missing, or belongs to
    an epoch after the one that training continues from.
    """
    if not progress.best:
        return
    best, source = start.folder / BEST, start.path.resolve().parent.parent / BEST
    try:
        if load_checkpoint(source)["progress"]["epoch"] != progress.best["epoch"]:
            raise CheckpointError(f"{source} is of another epoch")
        if source != best.resolve():
            shutil.copyfile(source, best)
    except (CheckpointError, OSError) as error:
        progress.best = {}
        log.info("best epoch so far unusable (%s): only later epochs can be the best", error)


def changed_options(folder: Path, cfg: CfgNode) -> list[str]:
    """Options whose value in a folder's run differs, except those that change no result.

    Raises:
        UsageError: its config.yaml cannot be read.
    """
    saved = load_config(folder / "config.yaml", environment={})
    before, now = (absolute_values(flatten(one)) for one in (saved, cfg))
    now = with_found(now, before)
    return [key for key in now if now[key] != before[key] and key not in HARMLESS]


def _changes(cfg: CfgNode, checkpoint: Mapping[str, Any], path: Path) -> list[str]:
    before, now = (absolute_values(one) for one in (saved_options(checkpoint), flatten(cfg)))
    now = with_found(now, before)
    changed = {
        key: f"{key} {before[key]} → {value}"
        for key, value in now.items()
        if before[key] != value and key not in HARMLESS
    }
    if "SOLVER.OPTIMIZER" in changed:
        raise UsageError(
            f"{changed['SOLVER.OPTIMIZER']}: the state in {path} belongs to the other "
            "optimiser; keep that optimiser, or start a new run"
        )
    refused = [line for key, line in changed.items() if key in FIXED_WITHIN_EPOCH]
    if refused and checkpoint["progress"]["step"]:
        raise UsageError(
            f"{path} was saved in the middle of an epoch, and losses and batches may change only "
            f"between epochs: resume without {', '.join(refused)}, and change that later"
        )
    return [
        f"changed since the checkpoint: {line}"
        + (" (no effect: the weights come from the checkpoint)" if key in WITHOUT_EFFECT else "")
        for key, line in changed.items()
    ]
