"""A backbone is an ordered list of stages, and so are several of them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """Base of all backbones: five stages in a row, without pooling and classifier.

    Attributes:
        stages: conv1 … conv5; where weights are published, parameters keep their published names
            inside each stage.
        stage_channels: channels of each stage's map.
        stage_strides: pixels of the image per position of each stage's map.
    """

    stages: nn.ModuleList
    stage_channels: tuple[int, ...]
    stage_strides: tuple[int, ...]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → the deepest map (B, C, H/stride, W/stride)."""
        for stage in self.stages:
            images = stage(images)
        return images


class ParallelBackbone(Backbone):
    """Backbones that see the same image and exchange nothing.

    Args:
        backbones: alike; ``stage_channels`` become those of all together.
    """

    def __init__(self, backbones: Sequence[Backbone]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ParallelStage(stages, first=number == 0)
            for number, stages in enumerate(zip(*(b.stages for b in backbones), strict=True))
        )
        one = backbones[0]
        self.stage_channels = tuple(len(backbones) * channels for channels in one.stage_channels)
        self.stage_strides = one.stage_strides


class ParallelStage(nn.Module):
    """One stage of several backbones, each on its own share of the channels.

    Args:
        branches: that stage of each backbone.
        first: its input is the image, which every branch gets.
    """

    def __init__(self, branches: Iterable[nn.Module], *, first: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self._first = first

    def forward(self, maps: Tensor) -> Tensor:
        """(B, branches · C_in, H, W), or (B, 3, H, W) images → (B, branches · C_out, H', W')."""
        count = len(self.branches)
        shares = [maps] * count if self._first else maps.chunk(count, dim=1)
        return torch.cat(
            [branch(share) for branch, share in zip(self.branches, shares, strict=True)], dim=1
        )
