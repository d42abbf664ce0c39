"""A run's model as it is deployed, and how torch runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

import vireid
from vireid.config.lists import options_of
from vireid.config.load import flatten
from vireid.config.option import Effect
from vireid.config.schema import default_config
from vireid.data.build import pixel_rules
from vireid.data.datasets import DATASETS
from vireid.data.pixels import BACKGROUND, PixelRule
from vireid.deploy.backends import Run
from vireid.deploy.metadata import FIXED, ExportMetadata
from vireid.engine.precision import resolve_device, use_threads
from vireid.models.inference_model import InferenceModel, TestTimeFlip, build_inference_model
from vireid.runs.exits import embedding_name, require_one_exit
from vireid.runs.options import checkpoint_config, run_config
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import Modality


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A run's model with its metadata.

    Args:
        model: in evaluation mode, on the processor.
        cfg: the run's configuration, with what the user changed.
    """

    model: InferenceModel
    metadata: ExportMetadata
    cfg: CfgNode

    def metadata_for(self, modalities: tuple[str, ...], precision: str = "fp32") -> ExportMetadata:
        """The metadata of a file for some modalities."""
        return replace(self.metadata, modalities=modalities, precision=precision)


class DeployedFeatures(nn.Module):
    """Features as they are compared: of an image, or the mean over an image and its mirror image.

    Args:
        model: images (B, 3, H, W) and further inputs → (B, D).
        flip: average over the image and its mirror image.
        unit_length: bring the features to unit length.
    """

    def __init__(self, model: nn.Module, *, flip: bool, unit_length: bool = True) -> None:
        super().__init__()
        self.model = TestTimeFlip(model) if flip else model
        self.unit_length = unit_length

    def forward(self, images: Tensor, *flags: Tensor) -> Tensor:
        """The model's inputs → (B, D)."""
        features = self.model(images, *flags).float()
        return F.normalize(features, dim=1) if self.unit_length else features


def deployed_model(run: Path, options: Sequence[str] = ()) -> DeployedModel:
    """The model of a run folder, a model folder or a checkpoint.

    Args:
        options: ``KEY``, ``VALUE``, …, such as another ``TEST.EXIT``.
    Raises:
        CheckpointError: no run, or its checkpoint is missing, damaged or of another model.
        UsageError: an option is wrong, or asks for two exits.
    """
    cfg = (checkpoint_config if run.is_file() else run_config)(run, options)
    require_one_exit(cfg)
    path, checkpoint = read_trained(cfg, run)
    model = build_inference_model(
        trained_model(cfg, checkpoint, path), exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED
    ).eval()
    return DeployedModel(model, _metadata(cfg, model), cfg)


def _metadata(cfg: CfgNode, model: InferenceModel) -> ExportMetadata:
    with torch.inference_mode():
        example = torch.zeros(1, 3, *cfg.INPUT.SIZE), torch.zeros(1, dtype=torch.bool)
        dim = model(*example).shape[1]
    preprocessing = {
        "size": tuple(cfg.INPUT.SIZE),
        "mean": tuple(map(float, cfg.INPUT.MEAN)),
        "std": tuple(map(float, cfg.INPUT.STD)),
        "flip": cfg.TEST.FLIP,
    }
    rules = {m.name.lower(): rule for m, rule in pixel_rules(cfg).items()}
    features = {"exit": cfg.TEST.EXIT, "embedding": embedding_name(cfg)}
    facts = {**preprocessing, **features, **FIXED, "options": _deployed_options(cfg)}
    facts |= _facts_of(rules)
    return ExportMetadata(
        fingerprint=fingerprint(model, facts),
        modalities=tuple(m.name.lower() for m in DATASETS[cfg.DATA.DATASET].modalities),
        dim=dim,
        backbone=cfg.MODEL.BACKBONE,
        precision="fp32",
        version=vireid.__version__,
        ranges={name: rule.range for name, rule in rules.items()},
        background=tuple(cfg.INPUT.BACKGROUND),
        **preprocessing,
        **features,
    )


def _facts_of(rules: Mapping[str, PixelRule]) -> dict[str, Any]:
    """What differs from eight bits without alpha; nothing, so that old fingerprints stay."""
    ranges = {name: rule.range for name, rule in rules.items() if rule.range is not None}
    colours = {name: rule.background for name, rule in rules.items()}
    changed = any(colour != BACKGROUND for colour in colours.values())
    return ({"ranges": ranges} if ranges else {}) | ({"background": colours} if changed else {})


def _deployed_options(cfg: CfgNode) -> dict[str, Any]:
    """Options that change what a model computes from its weights, where they are not the default.

    Defaults are left out, so that options of later versions do not change older fingerprints.
    """
    now, usual = flatten(cfg), flatten(default_config())
    keys = options_of(Effect.LAYERS, Effect.POOLING)
    return {key: now[key] for key in keys if now[key] != usual[key]}


def fingerprint(model: nn.Module, facts: dict[str, Any]) -> str:
    """SHA-256 of all weights and statistics, and of the facts.

    Args:
        facts: whatever else changes the features; JSON values.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if not name.endswith("num_batches_tracked"):  # how long it trained
            values = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def open_torch(
    trained: DeployedModel,
    threads: int = 0,
    precision: str = "fp32",
    device: str = "auto",
    *,
    unit_length: bool = True,
) -> dict[str, Run]:
    """A function from images to features for each modality.

    Args:
        threads: of the whole process's operations; 0 leaves them as they are.
        precision: fp32, or bf16: autocast, with the channels of maps side by side in memory, as
            the processor's bfloat16 kernels like them.
        device: auto, cpu, cuda or cuda:N.
    Raises:
        UsageError: no such device.
    """
    use_threads(threads)
    place = resolve_device(device)
    flip = trained.metadata.flip
    model = DeployedFeatures(trained.model, flip=flip, unit_length=unit_length).to(place).eval()
    if precision == "bf16":
        model = model.to(memory_format=torch.channels_last)
    run = partial(_run_torch, model, place, precision == "bf16")
    return {name: partial(run, name) for name in trained.metadata.modalities}


@torch.inference_mode()
def _run_torch(
    model: nn.Module, device: torch.device, half: bool, modality: str, images: np.ndarray
) -> np.ndarray:
    inputs = torch.from_numpy(images).to(device)
    if half:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    infrared = modality == Modality.INFRARED.name.lower()
    flags = torch.full((len(inputs),), infrared, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        return model(inputs, flags).float().cpu().numpy()
