"""Training state on disk: written whole or not at all, checked when it is read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.config.values import parse_yaml
from vireid.errors import CheckpointError, UsageError
from vireid.models.weight_files import read_tensors
from vireid.structures import Splits
from vireid.utils.io import replace_file

# Where a run folder keeps its checkpoints.
LAST = "checkpoints/last.pth"
BEST = "checkpoints/best.pth"
FORMAT = 1
RAW = "raw_model"  # entry of the weights that train, where "model" is their average (SOLVER.EMA)
REMEDY = "restore it from a copy, or train the run again with --overwrite or without its folder"
# What a checkpoint must hold, and of which type.
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "model": dict,
    "criterion": dict,
    "optimizer": dict,
    "scaler": dict,
    "progress": dict,
    "rng": dict,
    "config": str,
    "pids": list,
    "dataset": str,
    "split_trial": (int, type(None)),
    "data": str,
}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Replaces a checkpoint as a whole; returns when it is on the disk.

    Args:
        content: tensors and plain Python values only, so that ``weights_only`` can read it.
    Raises:
        UsageError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        replace_file(
            path, lambda file: torch.save({"format": FORMAT, **content}, file), durable=True
        )
    except (UsageError, RuntimeError) as error:  # torch's writer may hide an OSError in the latter
        reason = str(error)
        if not isinstance(error, UsageError):
            reason = f"cannot write {path}: {' '.join(reason.split())[:200]}"
        raise UsageError(
            f"{reason}; what it held before is whole: make room, or let the folder be written, and "
            "continue with --resume"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of this project.

    Raises:
        CheckpointError: missing, damaged, or written by something else.
    """
    content = read_tensors(path, what="checkpoint", remedy=REMEDY)
    absent = [key for key in REQUIRED if not isinstance(content, dict) or key not in content]
    if absent:
        raise CheckpointError(f"{path} is not a checkpoint of vireid: it lacks {', '.join(absent)}")
    wrong = next((key for key, kind in REQUIRED.items() if not isinstance(content[key], kind)), "")
    wrong = wrong or _malformed(content)
    if wrong:
        raise CheckpointError(
            f"{path} is damaged: its entry {wrong} is not as it was saved: {REMEDY}"
        )
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {content['format']}; this version reads format {FORMAT}"
        )
    return content


def _malformed(content: Mapping[str, Any]) -> str:
    """Name of the first entry with unusable contents; empty if there is none."""
    progress, pids = content["progress"], content["pids"]
    counts = [progress.get(name) for name in ("epoch", "step")]
    if not all(type(count) is int and count >= 0 for count in counts):
        return "progress"
    tables = [progress.get(name, {}) for name in ("sums", "gradients", "best")]
    rows = progress.get("history", [])
    if not isinstance(rows, list) or not all(map(_holds_numbers, [*tables, *rows])):
        return "progress"
    if not pids or not all(type(pid) is int for pid in pids):
        return "pids"
    for name in ("model", RAW):
        state = content.get(name, {})
        if not isinstance(state, dict) or not all(map(_is_dense, state.values())):
            return name
    try:
        readable = isinstance(parse_yaml(content["config"]), dict)
    except ValueError:
        readable = False
    if not readable:
        return "config"
    loaded = content.get("loaded", [])
    if not isinstance(loaded, list) or not all(isinstance(name, str) for name in loaded):
        return "loaded"
    return "" if isinstance(content.get("teacher", ""), str) else "teacher"


def _is_dense(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout is torch.strided


def _holds_numbers(table: object) -> bool:
    return isinstance(table, dict) and all(
        isinstance(name, str) and isinstance(value, (int, float)) for name, value in table.items()
    )


def load_trained(path: Path) -> dict[str, Any]:
    """A checkpoint of a model that has been trained for at least one epoch.

    Raises:
        CheckpointError: missing, damaged, or saved before the first epoch ended.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint["progress"]["epoch"] == 0:
        raise CheckpointError(f"{path} was saved before the first epoch ended: train it first")
    return checkpoint


def saved_options(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's options by dotted name; those that it is too old to hold have defaults."""
    return flatten(default_config()) | flatten(parse_yaml(checkpoint["config"]))


def unfinished(checkpoint: Mapping[str, Any], path: Path) -> str:
    """Why a run's training is not finished; empty where it is, or an earlier epoch was chosen."""
    epoch, step = checkpoint["progress"]["epoch"], checkpoint["progress"]["step"]
    epochs = saved_options(checkpoint)["SOLVER.EPOCHS"]
    if step:
        return f"saved within epoch {epoch + 1}: its training is not finished"
    if path.name == Path(LAST).name and isinstance(epochs, int) and epoch < epochs:
        return f"saved after epoch {epoch} of {epochs}: its training is not finished"
    return ""


def require_same_data(
    checkpoint: Mapping[str, Any],
    path: Path,
    splits: Splits,
    *,
    dataset: str,
    data: str,
    remedy: str,
) -> None:
    """Checks that a checkpoint was trained on these images, so that class k is the same identity.

    Args:
        dataset: name of the data set.
        data: its fingerprint.
    Raises:
        CheckpointError: it was trained on other identities or images.
    """
    theirs, ours = tuple(checkpoint["pids"]), splits.train_pids
    if checkpoint["dataset"] != dataset or theirs != ours:
        apart = sorted(set(theirs) ^ set(ours))
        difference = f", the first that only one of them has is {apart[0]}" if apart else ""
        raise CheckpointError(
            f"{path} was trained on {len(theirs)} identities of {checkpoint['dataset']}, this run "
            f"trains on {len(ours)} of {dataset}{difference}: {remedy}"
        )
    if checkpoint["data"] != data:
        raise CheckpointError(
            f"{path} was trained on other images than those in {splits.root} (fingerprint "
            f"{checkpoint['data'][:12]}, here {data[:12]}), so equal numbers may mean other "
            f"identities: {remedy}"
        )


def load_model(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Copies every tensor of a checkpoint's model into ``model``.

    Raises:
        CheckpointError: the checkpoint is of another model; names the first differences.
    """
    own = model.state_dict()
    problems = [f"lacks {key}" for key in own if key not in state]
    problems += [f"has {key}, which this model does not have" for key in state if key not in own]
    problems += [
        f"has {key} of {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if problems:
        raise CheckpointError(
            f"{path} belongs to another model (check MODEL.*, the training identities and, for "
            "directional branches, INPUT.SIZE): it "
            f"{'; it '.join(problems[:3])}" + (f" … ({len(problems)})" if len(problems) > 3 else "")
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # tensors of a kind that cannot be copied
        raise CheckpointError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error


def rng_state() -> dict[str, Any]:
    """Every random generator's state as tensors and plain values."""
    state: Any = np.random.get_state()
    version, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": [str(version), keys.tolist(), int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng(state: dict[str, Any]) -> None:
    """The inverse of ``rng_state``."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
