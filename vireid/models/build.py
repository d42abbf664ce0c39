"""From options to a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import log2
from pathlib import Path

import torch
from torch import nn
from yacs.config import CfgNode

from vireid.errors import UsageError
from vireid.models.backbones import mobilenet, osnet, resnet, sdc_cnn, timm_networks
from vireid.models.backbones.base import Backbone, ParallelBackbone
from vireid.models.directional_pooling import DirectionalPool
from vireid.models.heads import BranchHeads, PartFeatures, PartsHead
from vireid.models.modality_norm import ModalityRows, use_modality_norms
from vireid.models.parts import MultiGranularityParts
from vireid.models.pooling import AvgPool, GeMPool, MaxPool
from vireid.models.pretrained import InitialWeights, imagenet_file, load_weights
from vireid.models.reid_model import ReidModel
from vireid.models.student_heads import STUDENT_HEADS, StudentHead
from vireid.models.two_stream import share_stages
from vireid.utils.paths import expand

# MODEL.BACKBONE → a backbone with random weights; besides these, timm:<name>
BACKBONES: dict[str, Callable[[], Backbone]] = {
    **{name: partial(osnet.OSNetBackbone, name) for name in osnet.VARIANTS},
    **{name: partial(resnet.ResNetBackbone, name) for name in resnet.VARIANTS},
    **{name: partial(mobilenet.MobileNetBackbone, name) for name in mobilenet.VARIANTS},
    **{name: partial(sdc_cnn.SDCBackbone, name) for name in sdc_cnn.VARIANTS},
}
TIMM = timm_networks.PREFIX  # names of timm's networks begin with it
# MODEL.POOL → (exponent of GeM) → a module (B, C, H, W) → (B, C)
POOLS: dict[str, Callable[[float], nn.Module]] = {
    "gem": GeMPool,
    "avg": lambda exponent: AvgPool(),
    "max": lambda exponent: MaxPool(),
}
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")


def build_model(
    cfg: CfgNode,
    num_classes: int,
    *,
    load_weights: bool = True,
    weights: Path | None = None,
    check_parts: bool = True,
) -> tuple[ReidModel, InitialWeights]:
    """The model that ``MODEL`` describes, and where its weights come from.

    Args:
        num_classes: training identities.
        load_weights: read ``MODEL.PRETRAINED``; not needed when a checkpoint follows.
        weights: read this file instead, such as the checkpoint of a run that the option names.
        check_parts: whether the stripes fit the map; not needed where parts are not used.
    Raises:
        CheckpointError: ``MODEL.PRETRAINED`` names weights that are missing or do not fit.
        UsageError: a granularity does not divide the map, or has more stripes than it has rows;
            ``MODEL.DIRECTIONAL`` and an ``INPUT.SIZE`` that is not square or too small.
    """
    options = cfg.MODEL
    backbone = _backbone(options)
    if options.MGIM.ENABLED and check_parts:
        _check_granularities(options.MGIM, backbone, cfg.INPUT.SIZE)
    rows = None if options.NORM_STATISTICS == "joint" else ModalityRows()
    pool = POOLS[options.POOL](options.GEM_P)
    dims: tuple[int, ...] = (backbone.stage_channels[-1],)
    branches = None
    if options.DIRECTIONAL.ENABLED:
        pool = _directional(options.DIRECTIONAL, backbone, cfg.INPUT.SIZE)
        dims, branches = pool.dims, BranchHeads(pool.dims, num_classes)
    model = ReidModel(
        share_stages(list(backbone.stages), options.SHARED_DEPTH),
        pool,
        dim=sum(dims),
        num_classes=num_classes,
        shallow=_student_heads(options, backbone, num_classes),
        parts=_parts(options.MGIM, backbone, num_classes),
        branches=branches,
        rows=rows,
        freeze_bn=options.BN_EVAL_SCOPE if options.BN_EVAL else "none",
    )
    if rows is not None:
        separate = options.NORM_STATISTICS == "separate"
        for shared in (model.backbone.shared, model.head, model.shallow, model.parts):
            if shared is not None:
                use_modality_norms(shared, rows, separate=separate)
    path = (weights or _weights_file(options)) if load_weights else None
    return model, _initial_weights(options, model, path)


def make_backbone(name: str) -> Backbone:
    """A backbone with random weights.

    Args:
        name: a key of ``BACKBONES``, or ``timm:`` and the name of a network of timm.
    Raises:
        UsageError: see ``TimmBackbone``.
    """
    if name.startswith(TIMM):
        return timm_networks.TimmBackbone(name)
    return BACKBONES[name]()


def _backbone(options: CfgNode) -> Backbone:
    """One backbone, or one per direction side by side."""
    count = _backbone_count(options)
    backbones = [make_backbone(options.BACKBONE) for _ in range(count)]
    return backbones[0] if count == 1 else ParallelBackbone(backbones)


def _backbone_count(options: CfgNode) -> int:
    separate = options.DIRECTIONAL.ENABLED and options.DIRECTIONAL.BACKBONES == "separate"
    return len(options.DIRECTIONAL.DIRECTIONS) if separate else 1


def _weights_file(options: CfgNode) -> Path | None:
    """What ``MODEL.PRETRAINED`` names; None for random weights."""
    if options.PRETRAINED == "none":
        return None
    imagenet = options.PRETRAINED == "imagenet"
    return imagenet_file(options.BACKBONE) if imagenet else expand(options.PRETRAINED)


def _initial_weights(options: CfgNode, model: ReidModel, path: Path | None) -> InitialWeights:
    """Loads a file, if there is one, into a new model."""
    start = InitialWeights(f"{options.BACKBONE} starts from random weights")
    if path is not None:
        start = load_weights(model, path)
    count = _backbone_count(options)
    beside = f"{count} backbones side by side: " if count > 1 else ""
    return replace(start, origin=beside + start.origin)


def _directional(options: CfgNode, backbone: Backbone, size: list[int]) -> DirectionalPool:
    """Directional pooling of the deepest map.

    Args:
        backbone: of all branches.
        size: [height, width] of the images.
    """
    if size[0] != size[1]:
        raise UsageError(
            f"INPUT.SIZE={size}: MODEL.DIRECTIONAL averages along diagonals, which need a square "
            f"map: set INPUT.SIZE to a square such as [{max(size)}, {max(size)}], or "
            "MODEL.DIRECTIONAL.ENABLED false"
        )
    side, separate = _map_rows(backbone, size[0]), options.BACKBONES == "separate"
    if side == 1:
        raise UsageError(
            f"INPUT.SIZE={size}: the map has one position, so that every direction of "
            "MODEL.DIRECTIONAL is the same mean: raise INPUT.SIZE"
        )
    return DirectionalPool(
        options.DIRECTIONS,
        side=side,
        channels=backbone.stage_channels[-1] // (len(options.DIRECTIONS) if separate else 1),
        separate=separate,
        mode=options.MODE,
        spatial_norm=options.SPATIAL_NORM,
    )


def _student_heads(
    options: CfgNode, backbone: Backbone, num_classes: int
) -> dict[str, StudentHead]:
    dim, heads = backbone.stage_channels[-1], {}
    for number, name in enumerate(options.SDM.TAPS if options.SDM.ENABLED else [], start=1):
        tap = STAGES.index(name)
        halvings = int(log2(backbone.stage_strides[-1] / backbone.stage_strides[tap]))
        make, pool = STUDENT_HEADS[options.SDM.HEAD], POOLS[options.POOL](options.GEM_P)
        aggregate = make(backbone.stage_channels[tap], dim, halvings, pool)
        heads[f"shallow{number}"] = StudentHead(tap, aggregate, dim=dim, num_classes=num_classes)
    return heads


def _parts(options: CfgNode, backbone: Backbone, num_classes: int) -> PartsHead | None:
    if not options.ENABLED:
        return None
    aggregate = MultiGranularityParts(
        POOLS[options.POOL](options.GEM_P),
        channels=backbone.stage_channels[-1],
        granularities=options.GRANULARITIES,
        dim=options.DIM,
        relation=options.RELATION,
        scope=options.SCOPE,
        reduce_sharing=options.REDUCE_SHARING,
        relation_sharing=options.RELATION_SHARING,
    )
    features = PartFeatures(aggregate, bnneck=options.BNNECK)
    return PartsHead(features, classifier=options.CLASSIFIER, num_classes=num_classes)


@torch.no_grad()
def _map_rows(backbone: Backbone, height: int) -> int:
    """Rows of the deepest map of images of ``height`` pixels."""
    training, maps = backbone.training, torch.zeros(1, 3, height, 32)
    for stage in backbone.eval().stages:
        maps = stage(maps)
    backbone.train(training)
    return maps.shape[2]


def _check_granularities(options: CfgNode, backbone: Backbone, size: list[int]) -> None:
    """Checks that stripes have one height, unless they may overlap, and are no more than rows."""
    rows, counts = _map_rows(backbone, size[0]), options.GRANULARITIES
    found = f"MODEL.MGIM.GRANULARITIES={counts}: the map of {size[0]} input rows has {rows} rows"
    odd = [granularity for granularity in counts if rows % granularity]
    if options.ALLOW_OVERLAP and max(counts) > rows:
        raise UsageError(f"{found}, fewer than {max(counts)} stripes; change it or INPUT.SIZE")
    if odd and not options.ALLOW_OVERLAP:
        fitting = [g for g in range(1, rows + 1) if rows % g == 0]
        raise UsageError(
            f"{found}, which {odd[0]} does not divide; choose one of {fitting}, change INPUT.SIZE, "
            "or let stripes overlap with MODEL.MGIM.ALLOW_OVERLAP true"
        )
