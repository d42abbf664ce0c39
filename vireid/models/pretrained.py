"""Loads published weights into a backbone; a file that does not fit is an error."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from vireid.errors import CheckpointError
from vireid.utils.paths import expand

REMEDY = "copy it again, or save only its tensors"  # for a damaged published file
MIN_MATCH = 0.95  # share of the backbone's entries that a file must contain
BATCH_COUNTER = ".num_batches_tracked"  # of BatchNorm: old files lack it, nothing needs it
IGNORED = ("classifier.", "fc.")  # entries of published files that no backbone has
ADDED = ".nonlocal"  # in the names of blocks that no published file has: random weights
# torchvision's files by the first part of a backbone's name, the preferred one first:
# IMAGENET1K_V1, which AGW started from, then V2.
TORCHVISION = {
    "resnet18": ("resnet18-f37072fd.pth",),
    "resnet50": ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"),
    "mobilenet_v2": ("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"),
}
TORCHREID = "osnet"  # first part of the names of backbones whose weights torchreid publishes


def read_tensors(path: Path, *, what: str = "weights file", remedy: str = REMEDY) -> dict:
    """Reads a file of tensors and plain Python values; code inside a file is never executed.

    Args:
        what: the kind of file, for messages.
        remedy: for a damaged file, for messages.
    Raises:
        CheckpointError: missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{what} {path} does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"{what} {path} cannot be read ({error.strerror})") from error
    except Exception as error:  # torch raises a dozen types on damaged files, IndexError too
        # Its message has many lines and suggests executing the file's code.
        foreign = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"{what} {path} is damaged or holds more than tensors"
            f"{f' ({foreign[1]})' if foreign else ''}: {remedy}"
        ) from error


def imagenet_file(backbone: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The cached ImageNet weights: torchreid's for an OSNet, else torch.hub's of torchvision.

    Raises:
        CheckpointError: the file is missing; says where to get it and where to put it. Or nothing
            is published for this backbone.
    """
    cache = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = expand(environment.get("TORCH_HOME", f"{cache}/torch"))
    published = next((v for name, v in TORCHVISION.items() if backbone.startswith(name)), None)
    if published:
        paths = [home / "hub" / "checkpoints" / name for name in published]
        source = f"https://download.pytorch.org/models/{published[0]}"
    elif not backbone.startswith(TORCHREID):
        raise CheckpointError(
            f"no ImageNet weights for {backbone}: none are published; name your own file in "
            "MODEL.PRETRAINED, or train from scratch with MODEL.PRETRAINED none"
        )
    else:
        paths = [home / "checkpoints" / f"{backbone}_imagenet.pth"]
        source = "torchreid's model zoo (https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO)"
    for path in paths:
        if path.is_file():
            return path
    raise CheckpointError(
        f"no ImageNet weights for {backbone}: get {paths[0].name} from {source} and save it as "
        f"{paths[0]}, or name its path in MODEL.PRETRAINED, or train from scratch with "
        "MODEL.PRETRAINED none"
    )


def load_backbone_weights(stages: nn.ModuleList, path: Path) -> str:
    """Copies a published state dict into the backbone's stages.

    Args:
        stages: modules whose parameters have the published names.
        path: a state dict, possibly under the key ``state_dict``; ``module.`` prefixes are dropped.
    Returns:
        one line that says what was loaded.
    Raises:
        CheckpointError: fewer than 95 % of the backbone's entries match in name and shape; blocks
            added to the published model count only if the file has them.
    """
    found = _state_dict(read_tensors(path), path)
    entries = {
        key: tensor
        for stage in stages
        for key, tensor in stage.state_dict().items()
        if not key.endswith(BATCH_COUNTER)
    }
    new = [key for key in entries if ADDED in key and key not in found]
    targets = {key: tensor for key, tensor in entries.items() if key not in new}
    fitting = [k for k in targets if k in found and found[k].shape == targets[k].shape]
    summary = f"{len(fitting)} of {len(targets)} backbone entries from {path}"
    details = _differences(targets, found, new)
    if len(fitting) < MIN_MATCH * len(targets):
        raise CheckpointError(f"only {summary} match: weights of another network? {details}")
    with torch.no_grad():
        for key in fitting:
            try:
                targets[key].copy_(found[key])
            except (RuntimeError, NotImplementedError) as error:
                raise CheckpointError(
                    f"{key} in {path} cannot be copied: {' '.join(str(error).split())[:200]}"
                ) from error
    return f"loaded {summary}" + (f" ({details})" if details else "")


def _differences(
    targets: Mapping[str, Tensor], found: Mapping[str, Tensor], new: Sequence[str]
) -> str:
    """Entries without a counterpart: the first names and how many; empty if there are none."""
    groups = {
        "missing": [key for key in targets if key not in found],
        "other shape": [
            f"{key} {tuple(found[key].shape)} instead of {tuple(tensor.shape)}"
            for key, tensor in targets.items()
            if key in found and found[key].shape != tensor.shape
        ],
        "not used": [
            key
            for key in found
            if key not in targets and not key.startswith(IGNORED) and BATCH_COUNTER not in key
        ],
        "new": new,
    }
    return "; ".join(
        f"{name}: {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''} ({len(keys)})"
        for name, keys in groups.items()
        if keys
    )


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor) and value.layout is torch.strided
    }
