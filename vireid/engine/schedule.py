"""Learning rate over time as a pure function: resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
