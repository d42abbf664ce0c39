"""From options to a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn
from yacs.config import CfgNode

from vireid.models.aggregation.pooling import AvgPool, GeMPool
from vireid.models.backbones import osnet, resnet
from vireid.models.reid_model import ReidModel
from vireid.models.two_stream import TwoStream
from vireid.models.weights import imagenet_file, load_backbone_weights

# name → a module with ``stages`` (nn.ModuleList), ``stage_channels`` and ``stage_strides``
BACKBONES: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(osnet.OSNetBackbone, name) for name in osnet.VARIANTS},
    **{name: partial(resnet.ResNetBackbone, name) for name in resnet.VARIANTS},
}
POOLS: dict[str, Callable[[float], nn.Module]] = {
    "gem": GeMPool,
    "avg": lambda exponent: AvgPool(),
}


def build_model(
    cfg: CfgNode, num_classes: int, *, load_weights: bool = True
) -> tuple[ReidModel, str]:
    """The network that ``MODEL`` names, and one line that says where its weights come from.

    Args:
        num_classes: training identities.
        load_weights: read ``MODEL.PRETRAINED``; not needed when a checkpoint follows.
    Raises:
        CheckpointError: ``MODEL.PRETRAINED`` names weights that are missing or do not fit.
    """
    options = cfg.MODEL
    backbone = BACKBONES[options.BACKBONE]()
    source = options.PRETRAINED if load_weights else "none"
    origin = _load_weights(backbone.stages, options.BACKBONE, source)
    model = ReidModel(
        TwoStream(backbone.stages, options.SHARED_DEPTH),
        POOLS[options.POOL](options.GEM_P),
        dim=backbone.stage_channels[-1],
        num_classes=num_classes,
        freeze_bn=options.BN_EVAL,
    )
    return model, origin


def _load_weights(stages: nn.ModuleList, backbone: str, source: str) -> str:
    if source == "none":
        return f"{backbone} starts from random weights"
    path = imagenet_file(backbone) if source == "imagenet" else Path(source).expanduser()
    return load_backbone_weights(stages, path)
