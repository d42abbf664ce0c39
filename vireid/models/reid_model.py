"""The network: two streams, a deep head, and what training adds to them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vireid.models.heads import BNNeckHead, BranchHeads, PartsHead
from vireid.models.modality_norm import ModalityRows
from vireid.models.student_heads import StudentHead
from vireid.models.two_stream import TwoStream
from vireid.structures import ModelOutput


class ReidModel(nn.Module):
    """Two-stream network with a global head on the deepest map, ``deep``.

    Args:
        backbone: the streams.
        pool: (B, C, H, W) → (B, dim).
        dim: length of what the pooling returns.
        num_classes: training identities.
        shallow: students on earlier maps, by name; both streams share them.
        parts: part features of the deepest map.
        branches: auxiliary classifiers on stretches of the deep head's vector.
        rows: what the network's :class:`ModalityNorm` layers read, if it has any.
        freeze_bn: keep every BatchNorm at its running statistics in training mode too.
    """

    def __init__(
        self,
        backbone: TwoStream,
        pool: nn.Module,
        *,
        dim: int,
        num_classes: int,
        shallow: Mapping[str, StudentHead] | None = None,
        parts: PartsHead | None = None,
        branches: BranchHeads | None = None,
        rows: ModalityRows | None = None,
        freeze_bn: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = BNNeckHead(dim, num_classes)
        self.shallow = nn.ModuleDict(shallow or {})
        self.parts = parts
        self.branches = branches
        self.rows = rows
        self._freeze_bn = freeze_bn

    def forward(self, images: Tensor, is_infrared: Tensor) -> ModelOutput:
        """
        Args:
            images: (B, 3, H, W) normalised.
            is_infrared: (B,) bool; best on the processor (see :class:`TwoStream`).
        Returns:
            every head's output, rows in the order of ``images``; the same in every mode.
        """
        if self.rows is None:
            return self._outputs(images, is_infrared)
        images, is_infrared, back = self.rows.sort(images, is_infrared)
        return self._outputs(images, is_infrared).map(lambda tensor: tensor[back])

    def _outputs(self, images: Tensor, is_infrared: Tensor) -> ModelOutput:
        maps = self.backbone(images, is_infrared)
        heads = {name: head(maps[head.tap]) for name, head in self.shallow.items()}
        heads["deep"] = self.head(self.pool(maps[-1]))
        if self.branches is not None:
            heads |= self.branches(heads["deep"])
        return ModelOutput(heads, self.parts(maps[-1]) if self.parts is not None else ())

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
