"""The file that ``MODEL.PRETRAINED`` means where it names a run, and what it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.load import load_config
from vireid.config.schema import WEIGHT_NAMES
from vireid.data.datasets.names import label_of
from vireid.engine.checkpoint import BEST, LAST, load_checkpoint
from vireid.engine.model_folder import read_model_folder
from vireid.errors import CheckpointError, UsageError
from vireid.runs.names import read_training_names
from vireid.runs.options import require_run
from vireid.structures import Splits
from vireid.utils.paths import MODEL_FILE, expand, is_model_folder

log = logging.getLogger(__name__)


def selected_checkpoint(run: Path) -> Path:
    """The checkpoint that is a run folder's result, by ``SOLVER.SELECT`` of the run.

    Raises:
        CheckpointError: the folder holds no run.
    """
    require_run(run)
    best = load_config(run / "config.yaml", environment={}).SOLVER.SELECT == "best"
    return run / (BEST if best else LAST)


def weights_file(source: str) -> Path | None:
    """The file that a new model starts from; None where ``source`` is no path.

    Args:
        source: as ``MODEL.PRETRAINED``: a keyword, a file, a run folder, or the folder of an
            exported model.
    Raises:
        CheckpointError: it is a folder of something else.
    """
    path = expand(source)
    if source in WEIGHT_NAMES:
        return None
    if not path.is_dir() or is_model_folder(path):
        return path
    if not (path / "config.yaml").is_file():
        raise CheckpointError(
            f"MODEL.PRETRAINED: the folder {path} holds neither a run (config.yaml) nor an "
            f"exported model ({MODEL_FILE}): name one of these, or a file of weights"
        )
    return selected_checkpoint(path)


def require_kept(weights: Path | None, folder: Path) -> None:
    """Raises ``UsageError`` if a new run would overwrite the weights that it starts from."""
    if weights is not None and weights.resolve().parent == (folder / LAST).resolve().parent:
        raise UsageError(
            f"OUTPUT_DIR {folder} holds the weights that MODEL.PRETRAINED names ({weights}), which "
            "the new run would replace: name another OUTPUT_DIR"
        )


def warn_of_seen_identities(weights: Path | None, splits: Splits, dataset: str, data: str) -> None:
    """Warns where initial weights come from a training on identities that this run holds out.

    Of one data set, numbers decide; of another, or one that has changed, names that are no
    numbers. Files that are no checkpoint of this project do not say what they were trained on.

    Args:
        dataset: name of this run's data set.
        data: its fingerprint.
    """
    held = {record.pid for record in (*splits.val, *splits.test)}
    if weights is None or not (trained := _trained_with(weights)) or not held:
        return
    if (trained["dataset"], trained["data"]) == (dataset, data):
        seen = sorted(held & set(trained["pids"]))
        shown = [str(label_of(pid, splits.identities)) for pid in seen[:3]]
        sure = "the model knows these people, so the scores will be too high"
    else:
        names = read_training_names(weights.parent.parent)
        named = {pid: splits.identities.get(pid, "") for pid in held}
        seen = sorted(p for p, n in named.items() if n in names and not n.isdecimal())
        shown = [named[pid] for pid in seen[:3]]
        sure = "if they are the same people, the scores will be too high"
    if seen:
        log.warning(
            "%s was trained with %d of the %d identities that this run holds out for validation "
            "and test, the first %s: %s",
            *(weights, len(seen), len(held), ", ".join(shown), sure),
        )


def _trained_with(weights: Path) -> dict[str, Any]:
    """The content of a checkpoint or a model folder; empty for other files."""
    try:
        return read_model_folder(weights) if weights.is_dir() else load_checkpoint(weights)
    except CheckpointError:
        return {}


def loaded_before(checkpoint: Mapping[str, Any], path: Path, freeze_epochs: int) -> frozenset[str]:
    """Entries that were loaded when a run began, from its checkpoint.

    Raises:
        UsageError: they are to be frozen in the coming epoch, but are unknown.
    """
    loaded = frozenset(checkpoint.get("loaded", ()))
    if not loaded and checkpoint["progress"]["epoch"] < freeze_epochs:
        raise UsageError(
            f"SOLVER.FREEZE_EPOCHS {freeze_epochs}: {path} does not name loaded weights to freeze; "
            "resume without it, or start a new run with MODEL.PRETRAINED"
        )
    return loaded


def warn_of_random_weights(cfg: CfgNode) -> None:
    """Warns of options that expect loaded weights, in a training that has none."""
    if cfg.SOLVER.FREEZE_EPOCHS:
        log.warning("SOLVER.FREEZE_EPOCHS freezes nothing: MODEL.PRETRAINED none loads no weights")
    if cfg.MODEL.BN_EVAL:
        log.warning(
            "MODEL.BN_EVAL keeps the BatchNorm statistics of random weights, mean 0 and variance "
            "1: MODEL.PRETRAINED none loads no others; set MODEL.BN_EVAL false"
        )
