"""Published weights into a backbone, strictly: a file that does not fit is an error."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vireid.errors import CheckpointError

MIN_MATCH = 0.95  # share of the backbone's entries that a file must hold
COUNTER = ".num_batches_tracked"  # how long BatchNorm trained: old files lack it, nothing needs it
IGNORED = ("classifier.", "fc.")  # what torchreid's files hold beyond the backbone


def read_tensors(path: Path) -> dict:
    """A file of tensors and plain Python values; code inside a file is never executed.

    Raises:
        CheckpointError: missing, damaged, or more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"weights file {path} does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"weights file {path} cannot be read ({error.strerror})") from error
    except Exception as error:  # torch raises a dozen types on damaged files, IndexError too
        # Its text runs over many lines and advises to execute the file's code.
        foreign = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"weights file {path} is damaged or holds more than tensors"
            f"{f' ({foreign[1]})' if foreign else ''}: copy it anew, or save its tensors alone"
        ) from error


def imagenet_file(backbone: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where torchreid caches its ImageNet weights.

    Raises:
        CheckpointError: the file is not there; says where to get it and where to put it.
    """
    cache = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(environment.get("TORCH_HOME", f"{cache}/torch")).expanduser()
    path = home / "checkpoints" / f"{backbone}_imagenet.pth"
    if not path.is_file():
        raise CheckpointError(
            f"no ImageNet weights for {backbone}: get {path.name} from torchreid's model zoo "
            "(https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO) and save it as "
            f"{path}, or name its path in MODEL.PRETRAINED, or train from scratch with "
            "MODEL.PRETRAINED none"
        )
    return path


def load_backbone_weights(stages: nn.ModuleList, path: Path) -> str:
    """Copies a torchreid state dict into the backbone's stages.

    Args:
        stages: modules whose parameters keep torchreid's names inside each stage.
        path: a state dict, bare or under ``state_dict``; ``module.`` prefixes are dropped.
    Returns:
        one line that says what was loaded.
    Raises:
        CheckpointError: fewer than 95 % of the backbone's entries match in name and shape.
    """
    found = _state_dict(read_tensors(path), path)
    targets = {
        key: tensor
        for stage in stages
        for key, tensor in stage.state_dict().items()
        if not key.endswith(COUNTER)
    }
    missing = [key for key in targets if key not in found]
    misfit = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in targets.items()
        if key in found and found[key].shape != tensor.shape
    ]
    unused = [
        key
        for key in found
        if key not in targets and not key.startswith(IGNORED) and not key.endswith(COUNTER)
    ]
    matched = len(targets) - len(missing) - len(misfit)
    summary = f"{matched} of {len(targets)} backbone entries from {path}"
    details = "; ".join(
        f"{name}: {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''} ({len(keys)})"
        for name, keys in (("missing", missing), ("other shape", misfit), ("not used", unused))
        if keys
    )
    if matched < MIN_MATCH * len(targets):
        raise CheckpointError(f"only {summary} match: weights of another network? {details}")
    with torch.no_grad():
        for key, tensor in targets.items():
            if key in found and found[key].shape == tensor.shape:
                tensor.copy_(found[key])
    return f"loaded {summary}" + (f" ({details})" if details else "")


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor)
    }
