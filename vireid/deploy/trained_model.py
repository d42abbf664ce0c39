"""A run's network, as it is deployed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

import vireid
from vireid.config.load import flatten
from vireid.config.schema import Effect, default_config, options_of
from vireid.data.datasets import DATASETS
from vireid.deploy.metadata import FIXED, NetworkCard
from vireid.models.inference_model import InferenceModel, TestTimeFlip, build_inference_model
from vireid.runs.exits import embedding_name, require_one_exit
from vireid.runs.options import run_config
from vireid.runs.trained_run import read_trained, trained_model


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """What a run has learnt, for use.

    Args:
        network: in evaluation mode, on the processor.
        cfg: the run's configuration, with what the user changed.
    """

    network: InferenceModel
    card: NetworkCard
    cfg: CfgNode

    def card_for(self, modalities: tuple[str, ...], precision: str = "fp32") -> NetworkCard:
        """The card of a file for some modalities."""
        return replace(self.card, modalities=modalities, precision=precision)


class UnitFeatures(nn.Module):
    """Features of unit length, of images or of images and their mirror images.

    Args:
        network: images (B, 3, H, W) and whatever else → (B, D).
    """

    def __init__(self, network: nn.Module, *, flip: bool) -> None:
        super().__init__()
        self.network = TestTimeFlip(network) if flip else network

    def forward(self, images: Tensor, *flags: Tensor) -> Tensor:
        """What the network takes → (B, D)."""
        return F.normalize(self.network(images, *flags).float(), dim=1)


def trained_network(run: Path, options: Sequence[str] = ()) -> TrainedNetwork:
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
    return TrainedNetwork(network, _card(cfg, network), cfg)


def _card(cfg: CfgNode, network: InferenceModel) -> NetworkCard:
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
    return NetworkCard(
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
