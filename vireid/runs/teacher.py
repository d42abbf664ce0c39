"""The teacher of a run: loads the trained model that ``TEACHER`` names, and checks that it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from vireid.config.load import load_config, parse_config
from vireid.config.validate import is_taught
from vireid.data.transforms import normalize
from vireid.engine.checkpoint import load_model, load_trained, require_same_data, unfinished
from vireid.engine.precision import compile_stages
from vireid.errors import CheckpointError, UsageError
from vireid.models.build import build_model
from vireid.models.reid_model import ReidModel
from vireid.models.teacher import FrozenTeacher
from vireid.runs.options import choices
from vireid.runs.weights import selected_checkpoint
from vireid.structures import Splits, TeacherOutput
from vireid.utils.paths import expand, is_model_folder


@dataclass(frozen=True, slots=True)
class Teacher:
    """A frozen model, and the preprocessing of images that it was trained with.

    Args:
        module: gives what losses need of normalised images.
        path: of its checkpoint.
        size: [height, width] that it was trained with; batches of another size are resized for it.
        mean, std: normalisation that it was trained with.
        digest: of its weights.
        origin: one line that says what it is.
    """

    module: FrozenTeacher
    path: Path
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    origin: str

    @property
    def feature_dim(self) -> int:
        """Length of its deepest head's feature."""
        return self.module.model.head.dim

    def __call__(self, images: Tensor, is_infrared: Tensor) -> TeacherOutput:
        """What it gives of a batch, as it was augmented for the student.

        Args:
            images: (B, 3, H, W) uint8.
            is_infrared: (B,) bool.
        """
        inputs = normalize(images, self.mean, self.std)
        if tuple(inputs.shape[2:]) != self.size:
            inputs = F.interpolate(inputs, self.size, mode="bilinear", antialias=True)
        return self.module(inputs, is_infrared)


def load_teacher(
    cfg: CfgNode, splits: Splits, data: str, *, device: torch.device
) -> Teacher | None:
    """The teacher of a run, on ``device``; None without one, or where no loss uses it.

    Args:
        splits: what the student trains on.
        data: fingerprint of that data set.
    Raises:
        CheckpointError: its checkpoint is missing, damaged, of another model than
            ``TEACHER.CONFIG`` describes, or its classes are not the student's, which only
            ``DISTILL.WEIGHT`` needs.
        UsageError: ``TEACHER.CONFIG`` cannot be used, or the teacher lacks the posterior.
    """
    if not is_taught(cfg):
        return None
    try:
        path, checkpoint, own, model = _read(cfg, splits, data)
    except CheckpointError as error:
        keys = "TEACHER.WEIGHTS" + (" with TEACHER.CONFIG" if cfg.TEACHER.CONFIG else "")
        raise CheckpointError(f"{keys}: {error}") from error
    _require_posterior(cfg.TEACHER.POSTERIOR, own, path)
    digest = weights_digest(checkpoint["model"])
    model.to(device)
    if cfg.COMPILE:
        compile_stages(model.backbone.stages, device)
    age = unfinished(checkpoint, path) or f"epoch {checkpoint['progress']['epoch']}"
    size = (own.INPUT.SIZE[0], own.INPUT.SIZE[1])
    resized = "" if list(size) == list(cfg.INPUT.SIZE) else f", images resized to {size} for it"
    return Teacher(
        FrozenTeacher(
            model,
            posterior=cfg.TEACHER.POSTERIOR,
            logits=bool(cfg.DISTILL.WEIGHT),
            feature=bool(cfg.DISTILL.FEATURE_WEIGHT or cfg.DISTILL.RELATION_WEIGHT),
        ),
        path=path,
        size=size,
        mean=tuple(own.INPUT.MEAN),
        std=tuple(own.INPUT.STD),
        digest=digest,
        origin=f"taught by {path} ({own.MODEL.BACKBONE}, {age}, weights {digest[:12]}{resized})",
    )


def _read(
    cfg: CfgNode, splits: Splits, data: str
) -> tuple[Path, dict[str, Any], CfgNode, ReidModel]:
    """The teacher's checkpoint, where it lies, its configuration, and its model on the CPU."""
    path = _checkpoint_path(cfg)
    checkpoint = load_trained(path)
    if cfg.DISTILL.WEIGHT:
        remedy = (
            "the probabilities of DISTILL.WEIGHT need the student's identities; train the teacher "
            "with the same DATA.*, or use its features alone (DISTILL.WEIGHT 0, FEATURE_WEIGHT)"
        )
        dataset = cfg.DATA.DATASET
        require_same_data(checkpoint, path, splits, dataset=dataset, data=data, remedy=remedy)
    if cfg.TEACHER.CONFIG:
        own = load_config(expand(cfg.TEACHER.CONFIG), choices=choices(), environment={})
    else:
        own = parse_config(checkpoint["config"], source=f"in {path}", choices=choices())
    model, _ = build_model(own, len(checkpoint["pids"]), load_weights=False, check_parts=False)
    load_model(model, checkpoint["model"], path)
    return path, checkpoint, own, model


def require_elsewhere(teacher: Teacher | None, folder: Path) -> None:
    """Raises ``UsageError`` if a run would overwrite the teacher that it needs to continue."""
    if teacher and teacher.path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"TEACHER.WEIGHTS: {teacher.path} is in this run's folder, and the student would "
            "replace it: name another OUTPUT_DIR"
        )


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Digest of a model's tensors, their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checkpoint_path(cfg: CfgNode) -> Path:
    """The checkpoint, or the one that is a run folder's result."""
    text = cfg.TEACHER.WEIGHTS.replace("{SEED}", str(cfg.SEED))
    path = expand(text.replace("{TRIAL}", str(cfg.DATA.TRIAL)))
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist: train the teacher first, or name another checkpoint or run "
            "folder"
        )
    if not path.is_dir():
        return path
    if is_model_folder(path):
        raise CheckpointError(
            f"{path} is an exported model, without the classifiers that a teacher needs: name its "
            "run folder or checkpoint"
        )
    return selected_checkpoint(path)


def _require_posterior(posterior: str, own: CfgNode, path: Path) -> None:
    """Checks that the teacher has trained branches where its posterior needs them."""
    trained = own.MODEL.DIRECTIONAL.ENABLED and own.LOSS.BRANCH_IDENTITY.WEIGHT
    if posterior != "joint_fc" and not trained:
        lacks = "untrained branches" if own.MODEL.DIRECTIONAL.ENABLED else "no branches"
        raise UsageError(
            f"TEACHER.POSTERIOR={posterior!r}: the teacher in {path} has {lacks} "
            "(MODEL.DIRECTIONAL.ENABLED, LOSS.BRANCH_IDENTITY.WEIGHT); choose joint_fc"
        )
