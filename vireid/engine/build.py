"""From options to what the training loop needs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer
from yacs.config import CfgNode

from vireid.data.build import build_train_loader
from vireid.data.datasets import DATASETS
from vireid.engine.distributed import World
from vireid.engine.precision import compile_stages, resolve_precision
from vireid.engine.schedule import Schedule
from vireid.engine.trainer import TeacherLogits, Trainer
from vireid.errors import UsageError
from vireid.losses.build import build_criterion
from vireid.losses.criterion import Criterion
from vireid.models.reid_model import ReidModel, parameter_groups
from vireid.structures import Splits


def build_optimizer(cfg: CfgNode, model: ReidModel, criterion: Criterion) -> Optimizer:
    """The optimiser over the network's and the criterion's parameters; ``base_lr`` per group."""
    options, groups = cfg.SOLVER, []
    factors = {
        "specific": options.BACKBONE_LR_FACTOR * options.SPECIFIC_LR_FACTOR,
        "backbone": options.BACKBONE_LR_FACTOR,
    }
    parameters = parameter_groups(model) | {"criterion": list(criterion.parameters())}
    for name, members in parameters.items():
        if members:
            rate = options.BASE_LR * factors.get(name, 1.0)
            groups.append({"params": members, "lr": rate, "base_lr": rate, "name": name})
    if options.OPTIMIZER == "sgd":
        nesterov = options.MOMENTUM > 0
        return SGD(
            groups,
            momentum=options.MOMENTUM,
            weight_decay=options.WEIGHT_DECAY,
            nesterov=nesterov,
            fused=True,
        )
    rule = {"adam": Adam, "adamw": AdamW}[options.OPTIMIZER]
    return rule(groups, weight_decay=options.WEIGHT_DECAY, fused=True)


def build_schedule(cfg: CfgNode) -> Schedule:
    """The learning rate that ``SOLVER`` describes."""
    options = cfg.SOLVER
    return Schedule(
        kind=options.SCHEDULE,
        epochs=options.EPOCHS,
        warmup_epochs=options.WARMUP_EPOCHS,
        warmup_factor=options.WARMUP_FACTOR,
        steps=tuple(options.STEPS),
        gamma=options.GAMMA,
        min_factor=options.MIN_LR_FACTOR,
    )


def build_trainer(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    *,
    device: torch.device,
    world: World,
    teacher: TeacherLogits | None = None,
) -> Trainer:
    """Everything that one training step touches, on ``device``.

    Args:
        teacher: on ``device`` already.
    Raises:
        DataError: fewer identities than a batch needs.
        UsageError: options that this machine or this number of processes cannot serve.
    """
    _require_modalities(cfg)
    loader, sampler = build_train_loader(
        cfg, splits, device=device, rank=world.rank, world_size=world.size
    )
    model.to(device)
    criterion = build_criterion(cfg).to(device)
    optimizer = build_optimizer(cfg, model, criterion)
    if cfg.COMPILE:
        compile_stages(model.backbone.stages, device)
    return Trainer(
        model=model,
        network=_wrap(cfg, model, splits, device, world),
        teacher=teacher,
        criterion=criterion,
        optimizer=optimizer,
        schedule=build_schedule(cfg),
        loader=loader,
        sampler=sampler,
        device=device,
        precision=resolve_precision(cfg.PRECISION, device),
        world=world,
        mean=list(cfg.INPUT.MEAN),
        std=list(cfg.INPUT.STD),
        clip_norm=cfg.SOLVER.CLIP_NORM,
        gradient_norms=cfg.SOLVER.GRADIENT_NORMS,
    )


def _require_modalities(cfg: CfgNode) -> None:
    """What is meant for two modalities cannot be trained on one."""
    name = cfg.DATA.DATASET
    if len(DATASETS[name].modalities) > 1:
        return
    if cfg.MODEL.SHARED_DEPTH < 5:
        raise UsageError(
            f"MODEL.SHARED_DEPTH {cfg.MODEL.SHARED_DEPTH} keeps a stream for infrared images, of "
            f"which {name} has none: set MODEL.SHARED_DEPTH 5"
        )
    if cfg.LOSS.HETERO_CENTER.WEIGHT:
        raise UsageError(
            f"LOSS.HETERO_CENTER compares modalities, of which {name} has one: set "
            "LOSS.HETERO_CENTER.WEIGHT 0"
        )


def _wrap(
    cfg: CfgNode, model: ReidModel, splits: Splits, device: torch.device, world: World
) -> nn.Module:
    if world.size == 1:
        return model
    if cfg.MODEL.SYNC_BN and device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    shown = {(record.pid, record.modality) for record in splits.train}
    whole = len(splits.train_pids) * len({modality for _, modality in shown})
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        # A share of a batch may lack a modality only where an identity does. Heads without a loss
        # are the trainer's business: to this wrapper all that the network returns is in use.
        find_unused_parameters=len(shown) < whole,
    )
