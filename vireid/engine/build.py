"""From options to what the training loop needs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from yacs.config import CfgNode

from vireid.data.build import build_train_loader
from vireid.data.datasets import DATASETS
from vireid.engine.averaging import WeightAverage
from vireid.engine.distributed import World, synchronise_norms
from vireid.engine.freezing import Freeze
from vireid.engine.optim import build_optimizer, build_schedule
from vireid.engine.precision import compile_stages, resolve_precision
from vireid.engine.trainer import BatchTeacher, Trainer
from vireid.errors import UsageError
from vireid.losses.build import build_criterion
from vireid.losses.distillation import AVERAGE_TEACHER
from vireid.models.reid_model import ReidModel
from vireid.structures import Splits


def build_trainer(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    *,
    device: torch.device,
    world: World,
    teacher: BatchTeacher | None = None,
    loaded: frozenset[str] = frozenset(),
) -> Trainer:
    """Everything that one training step uses, on ``device``.

    Args:
        teacher: on ``device`` already.
        loaded: entries of the model that are frozen for ``SOLVER.FREEZE_EPOCHS``.
    Raises:
        DataError: fewer identities than a batch needs.
        UsageError: options that do not fit the data set, this machine or the number of processes.
    """
    _require_modalities(cfg)
    loader, sampler = build_train_loader(
        cfg, splits, device=device, rank=world.rank, world_size=world.size
    )
    average = _place(cfg, model, device, world)
    dims = None if teacher is None else (model.head.dim, teacher.feature_dim)
    criterion = build_criterion(cfg, dims).to(device)
    return Trainer(
        model=model,
        wrap=_wrapper(splits, device, world),
        teacher=teacher,
        average=average,
        criterion=criterion,
        optimizer=build_optimizer(cfg.SOLVER, model, criterion),
        schedule=build_schedule(cfg.SOLVER),
        loader=loader,
        sampler=sampler,
        device=device,
        precision=resolve_precision(cfg.PRECISION, device),
        world=world,
        mean=list(cfg.INPUT.MEAN),
        std=list(cfg.INPUT.STD),
        channels_last=cfg.CHANNELS_LAST,
        frames=cfg.SAMPLER.FRAMES,
        accumulate=cfg.SOLVER.ACCUMULATE,
        clip_norm=cfg.SOLVER.CLIP_NORM,
        gradient_norms=cfg.SOLVER.GRADIENT_NORMS,
        freeze=Freeze(cfg.SOLVER.FREEZE_EPOCHS, loaded),
    )


def _place(
    cfg: CfgNode, model: ReidModel, device: torch.device, world: World
) -> WeightAverage | None:
    """Moves the model to the device and compiles it there; returns the average of its weights."""
    model.to(device)
    if cfg.MODEL.SYNC_BN and world.size > 1 and device.type == "cuda":
        synchronise_norms(model)
    average = _average(cfg, model, world)
    if cfg.COMPILE:
        compile_stages(model.backbone.stages, device)
        if average is not None and average.teaches:
            compile_stages(average.model.backbone.stages, device)
    return average


def _average(cfg: CfgNode, model: ReidModel, world: World) -> WeightAverage | None:
    """The average of the weights that ``SOLVER.EMA`` asks for."""
    if not cfg.SOLVER.EMA:
        return None
    sdm = cfg.MODEL.SDM
    teaches = sdm.ENABLED and sdm.TEACHER == AVERAGE_TEACHER and cfg.LOSS.SDM.WEIGHT
    return WeightAverage(model, cfg.SOLVER.EMA, teaches=bool(teaches), world=world)


def _require_modalities(cfg: CfgNode) -> None:
    """Refuses options for two modalities on a data set of one."""
    name = cfg.DATA.DATASET
    if len(DATASETS[name].modalities) > 1:
        return
    if cfg.MODEL.SHARED_DEPTH < 5:
        raise UsageError(
            f"MODEL.SHARED_DEPTH {cfg.MODEL.SHARED_DEPTH} keeps a stream for infrared images, of "
            f"which {name} has none: set MODEL.SHARED_DEPTH 5"
        )
    for loss in ("HETERO_CENTER", "CROSS_MODAL_KL", "MMD"):
        if cfg.LOSS[loss].WEIGHT:
            raise UsageError(
                f"LOSS.{loss} compares modalities, of which {name} has one: set "
                f"LOSS.{loss}.WEIGHT 0"
            )


def _wrapper(
    splits: Splits, device: torch.device, world: World
) -> Callable[[ReidModel], nn.Module]:
    """What a trainer calls to share a model's gradients between processes."""
    shown = {(record.pid, record.modality) for record in splits.train}
    whole = len(splits.train_pids) * len({modality for _, modality in shown})

    def wrap(model: ReidModel) -> nn.Module:
        if world.size == 1:
            return model
        return DistributedDataParallel(
            model,
            device_ids=[device.index] if device.type == "cuda" else None,
            # A process's share of a batch lacks a modality only where an identity lacks it. Heads
            # without a loss need no search: the trainer gives every output a gradient (zero_term).
            find_unused_parameters=len(shown) < whole,
        )

    return wrap
