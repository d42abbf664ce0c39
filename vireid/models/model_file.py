"""A model's tensors and some facts about it in one safetensors file: no code, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vireid.errors import CheckpointError
from vireid.utils.io import replace_file

ENTRY = "vireid"  # of the header: one, as the order of several would differ from file to file
CHECKSUM = "sha256"
REMEDY = "copy it again, or export the run again"


def is_classifier(name: str) -> bool:
    """Whether a tensor of a ``ReidModel`` belongs to a classifier of training identities."""
    return not {"classifier", "classifiers"}.isdisjoint(name.split("."))


def write_safetensors(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replaces a file as a whole; equal content makes equal files.

    Args:
        facts: JSON values for the file's header, beside the checksum of tensors and facts.
    Raises:
        UsageError: the disk is full, or the file cannot be written.
    """
    # clones: safetensors refuses tensors that share memory
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    known = {**facts, CHECKSUM: _checksum(tensors, facts)}
    content = save(tensors, {ENTRY: json.dumps(known, sort_keys=True)})
    replace_file(path, lambda file: file.write(content), durable=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU, and the facts in the header; files of other projects have none.

    Raises:
        CheckpointError: missing, damaged, or not what its checksum describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = _facts(file.metadata(), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    if facts and facts.pop(CHECKSUM, "") != _checksum(tensors, facts):
        raise CheckpointError(
            f"{path} is not the file that its checksum describes: it was changed or damaged; "
            f"{REMEDY}"
        )
    return tensors, facts


def read_facts(path: Path) -> dict[str, Any]:
    """The facts in the header alone, without a check of the tensors.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return _facts(file.metadata(), path)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error


def _facts(header: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    text = (header or {}).get(ENTRY)
    try:
        return {} if text is None else dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its header is not JSON: {REMEDY}") from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, FileNotFoundError) or not path.exists():
        return CheckpointError(f"{path} does not exist: name a model folder that is complete")
    reason = " ".join(str(error).split())[:120]
    return CheckpointError(f"{path} is damaged or no safetensors file ({reason}): {REMEDY}")


def _checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values of all tensors, and of the facts."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
