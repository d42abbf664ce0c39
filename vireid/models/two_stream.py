"""Two streams, one per modality, that share the stages from a chosen one on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class TwoStream(nn.Module):
    """Runs the first stages per modality and the rest on both.

    Args:
        visible, infrared: the specific stages of each stream, shallowest first; equally many.
        shared: the stages after those.
    """

    def __init__(
        self,
        visible: Iterable[nn.Module],
        infrared: Iterable[nn.Module],
        shared: Iterable[nn.Module],
    ) -> None:
        super().__init__()
        self.visible = nn.ModuleList(visible)
        self.infrared = nn.ModuleList(infrared)
        self.shared = nn.ModuleList(shared)

    @property
    def stages(self) -> list[nn.Module]:
        """Every stage once: the visible stream's, the infrared stream's, the shared ones."""
        return [*self.visible, *self.infrared, *self.shared]

    def forward(self, images: Tensor, is_infrared: Tensor) -> list[Tensor]:
        """The map after every stage, shallowest first; rows stay in the order of ``images``.

        Args:
            images: (B, 3, H, W).
            is_infrared: (B,) bool; best on the CPU even for images on a GPU: reading it from there
                would wait for the GPU.
        Returns:
            per stage (B, C_i, H_i, W_i).
        """
        maps = self._specific_maps(images, is_infrared) if len(self.visible) else []
        current = maps[-1] if maps else images
        for stage in self.shared:
            current = stage(current)
            maps.append(current)
        return maps

    def truncated(self, count: int) -> TwoStream:
        """The first ``count`` stages, not copied."""
        rest = max(0, count - len(self.visible))
        return TwoStream(self.visible[:count], self.infrared[:count], self.shared[:rest])

    def _specific_maps(self, images: Tensor, is_infrared: Tensor) -> list[Tensor]:
        rows = (~is_infrared).nonzero().flatten(), is_infrared.nonzero().flatten()
        back = torch.cat(rows).argsort().to(images.device, non_blocking=True)
        streams = [
            _run(stages, images[index.to(images.device, non_blocking=True)])
            for stages, index in zip((self.visible, self.infrared), rows, strict=True)
            if len(index)  # BatchNorm cannot train on no rows
        ]
        if len(streams) == 1:
            return streams[0]
        return [torch.cat(maps)[back] for maps in zip(*streams, strict=True)]


def share_stages(stages: Sequence[nn.Module], shared_depth: int) -> TwoStream:
    """Makes two streams of one backbone.

    Args:
        stages: of the backbone, shallowest first; the specific ones are copied, so that both
            streams start from the same weights.
        shared_depth: number of shared stages, counted from the deepest: ``len(stages)`` is one
            stream, 0 two full backbones.
    Raises:
        ValueError: ``shared_depth`` is not between 0 and the number of stages.
    """
    if not 0 <= shared_depth <= len(stages):
        raise ValueError(f"shared_depth must be 0 to {len(stages)}, got {shared_depth}")
    specific, shared = stages[: len(stages) - shared_depth], stages[len(stages) - shared_depth :]
    return TwoStream(specific, [copy.deepcopy(stage) for stage in specific], shared)


def _run(stages: nn.ModuleList, images: Tensor) -> list[Tensor]:
    maps = []
    for stage in stages:
        images = stage(images)
        maps.append(images)
    return maps
