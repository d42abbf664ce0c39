"""Learning rate over time as a pure function: resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear warm-up, then a step or cosine decay.

    Args:
        kind: a key of :data:`DECAYS`.
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
