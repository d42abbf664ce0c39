"""Reads files of weights, from this project and from others, without executing what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid.errors import CheckpointError
from vireid.models.model_file import read_safetensors
from vireid.utils.tensor_files import load_values, refused_class

REMEDY = "copy it again, or save only its tensors"  # for a damaged published file
LONGEST_HEADER = 100_000_000  # bytes: of a safetensors file, by its specification
# Keys under which files keep a state dict, the preferred one first.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights"),
    *("params", "backbone", "student", "ema", "model_ema", "state_dict_ema", "params_ema"),
)
OTHER_STATE = re.compile(r"optim|sched|scaler|loop|callback", re.IGNORECASE)  # of a training
DEEPEST = 6  # wrappings inside one another
# How files begin that often lie where weights are expected → what they are.
OTHER_FILES = {
    b"version https://git-lfs": "the pointer of a file in Git LFS: get the file with git lfs pull",
    b"<": "a web page: download the file itself",
}


def read_tensors(path: Path, *, what: str = "weights file", remedy: str = REMEDY) -> Any:
    """Reads a file of tensors and plain values; code inside a file is never executed.

    Args:
        path: a file of ``torch.save``, or a ``.safetensors`` file under any name.
        what: the kind of file, for messages.
        remedy: for a damaged file, for messages.
    Returns:
        what the file holds; arrays of numpy as such, scalars of numpy as plain numbers, and
        ``vireid.utils.tensor_files.Placeholder`` for other objects, such as paths.
    Raises:
        CheckpointError: missing, damaged, or holds something that only its code could build.
    """
    try:
        if _is_safetensors(path):
            return read_safetensors(path)[0]
        return load_values(path)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{what} {path} does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"{what} {path} cannot be read ({error.strerror})") from error
    except Exception as error:  # torch raises a dozen types on damaged files, IndexError too
        if other := _other_file(path):
            raise CheckpointError(f"{what} {path} is {other}") from error
        foreign = refused_class(error)
        name = f" ({foreign}, which is not executed)" if foreign else ""
        raise CheckpointError(
            f"{what} {path} is damaged or holds more than tensors{name}: {remedy}"
        ) from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as one: the length of its header, and an opening brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < LONGEST_HEADER


def _other_file(path: Path) -> str:
    """What a file is that holds no weights, and the remedy; empty if that is unknown."""
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    return next((words for mark, words in OTHER_FILES.items() if start.startswith(mark)), "")


def state_dict_of(content: object, path: Path) -> dict[str, Tensor]:
    """The named tensors of what a file holds, whatever they are wrapped in.

    Raises:
        CheckpointError: there are none.
    """
    found = _unwrapped(content, DEEPEST)
    if not found:
        held = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}{f' of {held:.100}' if held else ''}, "
            "not a state dict"
        )
    return found


def _unwrapped(content: object, depth: int) -> dict[str, Tensor]:
    """The state dict under the first known key, else the largest one; empty if there is none."""
    if not isinstance(content, Mapping) or not depth:
        return {}
    for key in WRAPPERS:
        if found := _unwrapped(content.get(key), depth - 1):
            return found
    named = ((str(key), _tensor(value)) for key, value in content.items())
    candidates = [{key: value for key, value in named if value is not None}]
    for key, value in content.items():
        if not OTHER_STATE.search(str(key)):
            candidates.append(_unwrapped(value, depth - 1))
    return max(candidates, key=len)


def _tensor(value: object) -> Tensor | None:
    """A dense tensor of numbers; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized:
        return None
    return None if value.is_complex() else value.detach()
