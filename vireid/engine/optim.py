"""The optimiser, and its learning rate over time as a pure function: resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer
from yacs.config import CfgNode

from vireid.losses.criterion import Criterion
from vireid.models.reid_model import ReidModel, parameter_groups


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear warm-up, then a step or cosine decay.

    Args:
        kind: ``step`` or ``cosine``.
        epochs: length of the training.
        warmup_epochs: length of the warm-up.
        warmup_factor: where the warm-up starts, as a share of the base rate.
        steps: ``step``: epochs after which the rate is multiplied by ``gamma``.
        min_factor: ``cosine``: where it ends, as a share of the base rate.
    """

    kind: str
    epochs: int
    warmup_epochs: int = 0
    warmup_factor: float = 0.1
    steps: tuple[int, ...] = ()
    gamma: float = 0.1
    min_factor: float = 0.0

    def factor(self, progress: float) -> float:
        """What the base learning rate is multiplied by.

        Args:
            progress: epochs done, with the fraction of the current one, from 0.
        """
        return self._warmup(progress) * self._decay(progress)

    def _warmup(self, progress: float) -> float:
        if progress >= self.warmup_epochs:
            return 1.0
        return self.warmup_factor + (1 - self.warmup_factor) * progress / self.warmup_epochs

    def _decay(self, progress: float) -> float:
        if self.kind == "step":
            return self.gamma ** sum(progress >= step for step in self.steps)
        left = max(self.epochs - self.warmup_epochs, 1)
        done = min(max(progress - self.warmup_epochs, 0) / left, 1)
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * done)) / 2


def build_schedule(options: CfgNode) -> Schedule:
    """The learning rate that ``SOLVER`` describes."""
    return Schedule(
        kind=options.SCHEDULE,
        epochs=options.EPOCHS,
        warmup_epochs=options.WARMUP_EPOCHS,
        warmup_factor=options.WARMUP_FACTOR,
        steps=tuple(options.STEPS),
        gamma=options.GAMMA,
        min_factor=options.MIN_LR_FACTOR,
    )


def build_optimizer(options: CfgNode, model: ReidModel, criterion: Criterion) -> Optimizer:
    """The optimiser of ``SOLVER`` over the model's and the criterion's parameters.

    Each parameter group keeps its own ``base_lr``, which the schedule multiplies.
    """
    factors = {
        "specific": options.BACKBONE_LR_FACTOR * options.SPECIFIC_LR_FACTOR,
        "backbone": options.BACKBONE_LR_FACTOR,
    }
    groups: list[dict[str, Any]] = []
    parameters = parameter_groups(model) | {"criterion": list(criterion.parameters())}
    for name, members in parameters.items():
        if members:
            rate = options.BASE_LR * factors.get(name, 1.0)
            groups.append({"params": members, "lr": rate, "base_lr": rate, "name": name})
    decay = options.WEIGHT_DECAY
    if options.OPTIMIZER == "sgd":
        momentum = options.MOMENTUM
        nesterov = momentum > 0
        return SGD(groups, momentum=momentum, weight_decay=decay, nesterov=nesterov, fused=True)
    rule = {"adam": Adam, "adamw": AdamW}[options.OPTIMIZER]
    return rule(groups, weight_decay=decay, fused=True)
