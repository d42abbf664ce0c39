"""Feature map → vector by pooling over all positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gem(maps: Tensor, exponent: Tensor | float, eps: float = 1e-6) -> Tensor:
    """Generalised mean over positions: ``mean(max(x, eps) ** p) ** (1 / p)``.

    Computed in float32 at least: cubes of half-precision numbers overflow.

    Args:
        maps: (B, C, H, W).
        exponent: p > 0; 1 gives the mean of the clamped map, a large p nearly the maximum.
    Returns:
        (B, C) float32, or float64 for a float64 map.
    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019.
    """
    with torch.autocast(maps.device.type, enabled=False):
        if maps.dtype != torch.float64:
            maps = maps.float()
        clamped = maps.clamp(min=eps)
        # Powers of a share of the peak: those of an unused channel (1e-6 ** 8) would vanish, and
        # the root has no gradient at zero. The value does not depend on the peak, so no gradient.
        peak = clamped.detach().amax(dim=(2, 3), keepdim=True)
        powers = (clamped / peak).pow(exponent).mean(dim=(2, 3))
        return powers.pow(1 / exponent) * peak.flatten(1)


class GeMPool(nn.Module):
    """``gem`` with a learnt exponent.

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


class MaxPool(nn.Module):
    """Global maximum pooling."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C)."""
        return maps.amax(dim=(2, 3))
