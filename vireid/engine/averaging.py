"""The exponential moving average of a model's weights, which is scored and may teach."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from vireid.engine.distributed import World
from vireid.models.reid_model import ReidModel
from vireid.structures import HeadOutput


class WeightAverage:
    """``average ← d · average + (1 − d) · weight`` after every step, with d = ``decay`` in the end.

    The n-th step, from 0, has d = min(decay, (1 + n) / (10 + n)): the average then holds about the
    last ninth of the steps so far, and forgets the random weights of the start also where a
    training is short. BatchNorm statistics are averaged like weights; counters are copied.

    Args:
        model: that trains, on its device and not compiled; its weights begin the average.
        decay: 0 < d < 1.
        teaches: whether the average gives its deepest head's output of every batch.
        world: the processes; all keep the average of the main one.
    Attributes:
        model: the averaged one, always in evaluation mode and without gradients.
    Source: the rule and the rising decay as in TensorFlow's ExponentialMovingAverage; Tarvainen and
        Valpola, Mean teachers are better role models, NeurIPS 2017, for an average that teaches.
    """

    def __init__(
        self, model: ReidModel, decay: float, *, teaches: bool = False, world: World | None = None
    ) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.teaches = teaches
        self._decay, self._world = decay, world or World()
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._statistics = [one for one in self.model.buffers() if one.is_floating_point()]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Takes in the weights after a step.

        Args:
            steps: done before it.
        """
        decay = min(self._decay, (1 + steps) / (10 + steps))
        averages, values = map(list, zip(*self._floats, strict=True))
        torch._foreach_lerp_(averages, values, 1 - decay)
        for average, value in self._counters:
            average.copy_(value)
        self._world.share(self._statistics)  # each process normalises by its own share of a batch

    @torch.no_grad()
    def __call__(self, images: Tensor, is_infrared: Tensor) -> HeadOutput:
        """The averaged model's deepest head for a normalised batch, see ``ReidModel``."""
        return self.model(images, is_infrared).deep


def _tensors(model: ReidModel) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
