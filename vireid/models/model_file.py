"""A model's tensors and a few texts about it in one safetensors file: no code, no pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vireid.errors import CheckpointError
from vireid.utils.io import replace_file

PREFIX = "vireid."  # of the names of this project's texts in a header
CHECKSUM = f"{PREFIX}sha256"
REMEDY = "copy it again, or export the run again"


def is_classifier(name: str) -> bool:
    """Whether a tensor of a :class:`ReidModel` belongs to a classifier of training identities."""
    return not {"classifier", "classifiers"}.isdisjoint(name.split("."))


def write_safetensors(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Replaces a file as a whole.

    Args:
        facts: texts for the file's header, beside the checksum of tensors and texts.
    Raises:
        UsageError: the disk is full, or the file cannot be written.
    """
    # clones: safetensors refuses tensors that share memory
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    content = save(tensors, {**facts, CHECKSUM: _checksum(tensors, facts)})
    replace_file(path, lambda file: file.write(content), durable=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU, and the texts of the header; files of other projects have no checksum.

    Raises:
        CheckpointError: missing, damaged, or not what its checksum describes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    own = any(name.startswith(PREFIX) for name in facts)
    if facts.pop(CHECKSUM, "") != _checksum(tensors, facts) and own:
        raise CheckpointError(
            f"{path} is not the file that its checksum describes: it was changed or damaged; "
            f"{REMEDY}"
        )
    return tensors, facts


def read_facts(path: Path) -> dict[str, str]:
    """The texts of the header alone, without a check of the tensors.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, FileNotFoundError) or not path.exists():
        return CheckpointError(f"{path} does not exist: name a model folder that is complete")
    reason = " ".join(str(error).split())[:120]
    return CheckpointError(f"{path} is damaged or no safetensors file ({reason}): {REMEDY}")


def _checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and values of all tensors, and of the texts."""
    digest = hashlib.sha256()
    for name, text in sorted(facts.items()):
        digest.update(f"{name}={len(text)}:{text}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
