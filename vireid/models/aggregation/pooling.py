"""Feature map → vector by pooling over all positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gem(maps: Tensor, exponent: Tensor | float, eps: float = 1e-6) -> Tensor:
    """Generalised mean over positions: ``mean(max(x, eps) ** p) ** (1 / p)``.

    Computed in float32 whatever the input's type: cubes of half-precision numbers overflow.

    Args:
        maps: (B, C, H, W).
        exponent: p > 0; 1 is the mean of the clamped map, a large p tends to the maximum.
    Returns:
        (B, C) float32.
    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019.
    """
    with torch.autocast(maps.device.type, enabled=False):
        powers = maps.float().clamp(min=eps).pow(exponent)
        return powers.mean(dim=(2, 3)).pow(1 / exponent)


class GeMPool(nn.Module):
    """:func:`gem` with a learnt exponent.

    Args:
        exponent: initial p.
    """

    def __init__(self, exponent: float = 3.0) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor([float(exponent)]))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C)."""
        return gem(maps, self.exponent)


class AvgPool(nn.Module):
    """Global average pooling."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C)."""
        return maps.mean(dim=(2, 3))
