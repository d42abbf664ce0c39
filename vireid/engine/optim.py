"""The optimiser, and its learning rate over time as a pure function: resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer
from yacs.config import CfgNode

from vireid.losses.criterion import Criterion
from vireid.models.reid_model import ReidModel, parameter_groups


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear warm-up, then a step or cosine decay.

    Args:
        kind: a key of ``DECAYS``.
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
        return self._warmup(progress) * DECAYS[self.kind](self, progress)

    def _warmup(self, progress: float) -> float:
        if progress >= self.warmup_epochs:
            return 1.0
        return self.warmup_factor + (1 - self.warmup_factor) * progress / self.warmup_epochs


def _step_decay(schedule: Schedule, progress: float) -> float:
    return schedule.gamma ** sum(progress >= step for step in schedule.steps)


def _cosine_decay(schedule: Schedule, progress: float) -> float:
    left = max(schedule.epochs - schedule.warmup_epochs, 1)
    done = min(max(progress - schedule.warmup_epochs, 0) / left, 1)
    return schedule.min_factor + (1 - schedule.min_factor) * (1 + math.cos(math.pi * done)) / 2


# SOLVER.SCHEDULE → (schedule, progress) → what the learning rate is multiplied by
DECAYS: dict[str, Callable[[Schedule, float], float]] = {
    "step": _step_decay,
    "cosine": _cosine_decay,
}
# SOLVER.OPTIMIZER → (groups of parameters, momentum, other arguments of torch's class) → optimiser
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": lambda groups, momentum, **others: Adam(groups, **others),
    "adamw": lambda groups, momentum, **others: AdamW(groups, **others),
    "sgd": lambda groups, momentum, **others: SGD(
        groups, momentum=momentum, nesterov=momentum > 0, **others
    ),
}


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
    make = OPTIMIZERS[options.OPTIMIZER]
    return make(groups, options.MOMENTUM, weight_decay=options.WEIGHT_DECAY, fused=True)


def complete_momentum(optimizer: Optimizer) -> None:
    """Zero momentum for parameters that did not train before, where others have theirs.

    A first step with zero momentum is a first step without; torch's fused SGD refuses a mixture of
    both.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if any("momentum_buffer" in state for state in optimizer.state.values()):
        for parameter in parameters:
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
