"""Student heads: a head like the deepest one on the map of an earlier stage.

``MODEL.SDM.HEAD`` chooses how the map becomes a vector of the deepest head's length. These
functions take the map's channels, the length of the vector, how often the map must be halved to
have the deepest map's size, and a pooling module, and return a module (B, C, H, W) → (B, dim).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from vireid.models.heads import BNNeckHead
from vireid.structures import HeadOutput


class StudentHead(nn.Module):
    """A head on the map of an earlier stage.

    Args:
        tap: position of the stage, 0 for the first.
        aggregate: (B, C, H, W) → (B, dim).
        dim, num_classes: as for ``BNNeckHead``.
    """

    def __init__(self, tap: int, aggregate: nn.Module, *, dim: int, num_classes: int) -> None:
        super().__init__()
        self.tap = tap
        self.aggregate = aggregate
        self.head = BNNeckHead(dim, num_classes)

    def forward(self, maps: Tensor) -> HeadOutput:
        return self.head(self.aggregate(maps))


def light(channels: int, dim: int, halvings: int, pool: nn.Module) -> nn.Module:
    """OSNet's light 3 × 3 convolutions: one per halving, and one to ``dim`` channels."""
    blocks = [_light_conv(channels, channels, stride=2) for _ in range(halvings)]
    return nn.Sequential(*blocks, _light_conv(channels, dim, stride=1), pool)


def pool_proj(channels: int, dim: int, halvings: int, pool: nn.Module) -> nn.Module:
    """Pooling and one linear map: next to nothing to compute, for early exits."""
    return nn.Sequential(pool, nn.Linear(channels, dim, bias=False))


def byot(channels: int, dim: int, halvings: int, pool: nn.Module) -> nn.Module:
    """1 × 1, k × k with stride k, and 1 × 1 convolution, k = 2 ** halvings.

    Source: in the style of Zhang et al., Be Your Own Teacher, ICCV 2019.
    """
    inner, side = dim // 4, 2**halvings
    return nn.Sequential(
        *_conv_norm_relu(channels, inner, 1),
        *_conv_norm_relu(inner, inner, side),
        *_conv_norm_relu(inner, dim, 1),
        pool,
    )


def sepconv(channels: int, dim: int, halvings: int, pool: nn.Module) -> nn.Module:
    """Pairs of depthwise separable convolutions, one pair per halving and at least one.

    Source: in the style of Zhang et al., Self-Distillation: Towards Efficient and Compact Neural
        Networks, TPAMI 2022; the widths are ours.
    """
    pairs = max(1, halvings)
    # The inner widths double up to what lies one step before ``dim`` on OSNet's own ladder.
    widths = [channels, *([3 * dim // 4] if pairs > 1 else []), dim]
    blocks: list[nn.Module] = []
    for width, after in pairwise(widths):
        blocks += _separable(width, width, stride=2 if halvings else 1)
        blocks += _separable(width, after, stride=1)
    return nn.Sequential(*blocks, pool)


def _light_conv(channels: int, dim: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, dim, 1, bias=False),
        nn.Conv2d(dim, dim, 3, stride=stride, padding=1, bias=False, groups=dim),
        nn.BatchNorm2d(dim),
        nn.ReLU(inplace=True),
    )


def _conv_norm_relu(channels: int, dim: int, side: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, dim, side, stride=side)
    return [conv, nn.BatchNorm2d(dim), nn.ReLU(inplace=True)]


def _separable(channels: int, dim: int, *, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, dim, 1, bias=False),
        nn.BatchNorm2d(dim),
        nn.ReLU(inplace=True),
    ]


# MODEL.SDM.HEAD → what builds it
STUDENT_HEADS: dict[str, Callable[[int, int, int, nn.Module], nn.Module]] = {
    "light": light,
    "pool_proj": pool_proj,
    "byot": byot,
    "sepconv": sepconv,
}
