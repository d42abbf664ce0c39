"""Several backbones of one kind as one: what follows sees an ordered list of stages, as ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


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


class ParallelBackbone(nn.Module):
    """Backbones that look at the same image and never at one another.

    Args:
        backbones: alike, with ``stages``, ``stage_channels`` and ``stage_strides``.
    Attributes:
        stages, stage_channels, stage_strides: as of one backbone; channels are those of all.
    """

    def __init__(self, backbones: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ParallelStage(stages, first=number == 0)
            for number, stages in enumerate(zip(*(b.stages for b in backbones), strict=True))
        )
        one = backbones[0]
        self.stage_channels = tuple(len(backbones) * channels for channels in one.stage_channels)
        self.stage_strides = tuple(one.stage_strides)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, branches · C, h, w)."""
        for stage in self.stages:
            images = stage(images)
        return images
