"""A run's network, as it is deployed."""

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
from vireid.config.load import flatten
from vireid.config.schema import Effect, default_config, options_of
from vireid.data.datasets import DATASETS
from vireid.deploy.backends import Run
from vireid.deploy.metadata import FIXED, ExportMetadata
from vireid.engine.precision import resolve_device, use_threads
from vireid.models.inference_model import InferenceModel, TestTimeFlip, build_inference_model
from vireid.runs.exits import embedding_name, require_one_exit
from vireid.runs.options import run_config
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import Modality


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """What a run has learnt, for use.

    Args:
        network: in evaluation mode, on the processor.
        cfg: the run's configuration, with what the user changed.
    """

    network: InferenceModel
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
    """The network of a run folder.

    Args:
        options: ``KEY``, ``VALUE``, …, such as another ``TEST.EXIT``.
    Raises:
        CheckpointError: no run, or its checkpoint is missing, damaged or of another network.
        UsageError: an option is wrong, or asks for two exits.
    """
    cfg = run_config(run, options)
    require_one_exit(cfg)
    path, checkpoint = read_trained(cfg, run)
    model = trained_model(cfg, checkpoint, path)
    network = build_inference_model(model, exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED).eval()
    return DeployedModel(network, _card(cfg, network), cfg)


def _card(cfg: CfgNode, network: InferenceModel) -> ExportMetadata:
    with torch.inference_mode():
        example = torch.zeros(1, 3, *cfg.INPUT.SIZE), torch.zeros(1, dtype=torch.bool)
        dim = network(*example).shape[1]
    preprocessing = {
        "size": tuple(cfg.INPUT.SIZE),
        "mean": tuple(map(float, cfg.INPUT.MEAN)),
        "std": tuple(map(float, cfg.INPUT.STD)),
        "flip": cfg.TEST.FLIP,
    }
    features = {"exit": cfg.TEST.EXIT, "embedding": embedding_name(cfg)}
    facts = {**preprocessing, **features, **FIXED, "options": _deployed_options(cfg)}
    return ExportMetadata(
        fingerprint=fingerprint(network, facts),
        modalities=tuple(m.name.lower() for m in DATASETS[cfg.DATA.DATASET].modalities),
        dim=dim,
        backbone=cfg.MODEL.BACKBONE,
        precision="fp32",
        version=vireid.__version__,
        **preprocessing,
        **features,
    )


def _deployed_options(cfg: CfgNode) -> dict[str, Any]:
    """What a network does with its weights, where it is not the usual: options that later versions
    add must not change what is known of older networks."""
    now, usual = flatten(cfg), flatten(default_config())
    keys = options_of(Effect.LAYERS, Effect.POOLING)
    return {key: now[key] for key in keys if now[key] != usual[key]}


def fingerprint(network: nn.Module, facts: dict[str, Any]) -> str:
    """SHA-256 of all weights and statistics, and of what else decides the features.

    Args:
        facts: what JSON can hold.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
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
) -> Mapping[str, Run]:
    """What computes each modality's features.

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
    network = (
        DeployedFeatures(trained.network, flip=trained.metadata.flip, unit_length=unit_length)
        .to(place)
        .eval()
    )
    if precision == "bf16":
        network = network.to(memory_format=torch.channels_last)
    run = partial(_run_torch, network, place, precision == "bf16")
    return {name: partial(run, name) for name in trained.metadata.modalities}


@torch.inference_mode()
def _run_torch(
    network: nn.Module, device: torch.device, half: bool, modality: str, images: np.ndarray
) -> np.ndarray:
    inputs = torch.from_numpy(images).to(device)
    if half:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    infrared = modality == Modality.INFRARED.name.lower()
    flags = torch.full((len(inputs),), infrared, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        return network(inputs, flags).float().cpu().numpy()
