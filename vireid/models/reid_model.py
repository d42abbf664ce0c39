"""The network: two streams, a global descriptor, a classifier."""

from __future__ import annotations

from torch import Tensor, nn

from vireid.models.heads import BNNeckHead
from vireid.models.two_stream import TwoStream
from vireid.structures import ModelOutput


class ReidModel(nn.Module):
    """Two-stream network with one global head, ``deep``, on the deepest map.

    Args:
        backbone: the streams.
        pool: (B, C, H, W) → (B, C).
        dim: C of the deepest map.
        num_classes: training identities.
        freeze_bn: keep every BatchNorm at its running statistics in training mode too.
    """

    def __init__(
        self,
        backbone: TwoStream,
        pool: nn.Module,
        *,
        dim: int,
        num_classes: int,
        freeze_bn: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = BNNeckHead(dim, num_classes)
        self._freeze_bn = freeze_bn

    def forward(self, images: Tensor, is_infrared: Tensor) -> ModelOutput:
        """
        Args:
            images: (B, 3, H, W) normalised.
            is_infrared: (B,) bool.
        Returns:
            every head's output, rows in the order of ``images``; the same in every mode.
        """
        maps = self.backbone(images, is_infrared)
        return ModelOutput({"deep": self.head(self.pool(maps[-1]))})

    def train(self, mode: bool = True) -> ReidModel:
        super().train(mode)
        if self._freeze_bn:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def parameter_groups(model: ReidModel) -> dict[str, list[nn.Parameter]]:
    """``specific`` (stages that each stream has for itself), ``backbone`` (the shared ones) and
    ``head`` (what always starts at random)."""
    backbone = list(model.backbone.parameters())
    shared = list(model.backbone.shared.parameters())
    outside = {id(parameter) for parameter in backbone}
    common = {id(parameter) for parameter in shared}
    return {
        "specific": [p for p in backbone if id(p) not in common],
        "backbone": shared,
        "head": [p for p in model.parameters() if id(p) not in outside],
    }
