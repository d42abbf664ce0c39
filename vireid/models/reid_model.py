"""The model as it is trained: two streams, a deep head, student heads, parts and branches."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vireid.models.heads import BNNeckHead, BranchHeads, PartsHead
from vireid.models.modality_norm import ModalityRows
from vireid.models.student_heads import StudentHead
from vireid.models.two_stream import TwoStream
from vireid.structures import ModelOutput


class ReidModel(nn.Module):
    """Two-stream model with a global head on the deepest map, ``deep``.

    Args:
        backbone: the streams.
        pool: (B, C, H, W) → (B, dim).
        dim: length of what the pooling returns.
        num_classes: training identities.
        shallow: student heads on earlier maps, by name; both streams share them.
        parts: part features of the deepest map.
        branches: auxiliary classifiers on slices of the deep head's vector.
        rows: shared with the ``ModalityNorm`` layers, if there are any.
        freeze_bn: which BatchNorm layers use and keep their running statistics in training mode,
            too: ``none``, those of the ``backbone``, or ``all``.
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
        freeze_bn: str = "none",
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
            is_infrared: (B,) bool; best on the processor (see ``TwoStream``).
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
        if self._freeze_bn != "none":
            whole = self if self._freeze_bn == "all" else self.backbone
            for module in whole.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def parameter_groups(model: ReidModel) -> dict[str, list[nn.Parameter]]:
    """Parameters by group.

    ``specific``: of the stages that only one stream has; ``backbone``: of the shared stages;
    ``head``: of everything behind the backbone, which always starts at random.
    """
    backbone = list(model.backbone.parameters())
    shared = list(model.backbone.shared.parameters())
    of_backbone, of_both = set(map(id, backbone)), set(map(id, shared))
    return {
        "specific": [p for p in backbone if id(p) not in of_both],
        "backbone": shared,
        "head": [p for p in model.parameters() if id(p) not in of_backbone],
    }
