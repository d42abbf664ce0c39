"""The model as it is deployed: images → features, without what only training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import UsageError
from vireid.models.heads import PartFeatures
from vireid.models.modality_norm import ModalityRows
from vireid.models.reid_model import ReidModel
from vireid.models.student_heads import StudentHead
from vireid.models.two_stream import TwoStream


class InferenceModel(nn.Module):
    """The stages up to an exit, and the layers that turn the map there into one vector.

    Args:
        backbone: the stages up to the exit.
        aggregate, bnneck: of the global feature; None to leave it out.
        parts: part features; None to leave them out.
        rows: shared with the ``ModalityNorm`` layers, if there are any.
    """

    def __init__(
        self,
        backbone: TwoStream,
        *,
        aggregate: nn.Module | None,
        bnneck: nn.Module | None,
        parts: PartFeatures | None,
        rows: ModalityRows | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aggregate, self.bnneck, self.parts = aggregate, bnneck, parts
        self._rows = rows

    @property
    def has_modality_norms(self) -> bool:
        """Whether layers have statistics per modality."""
        return self._rows is not None

    def forward(self, images: Tensor, is_infrared: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, H, W) normalised.
            is_infrared: (B,) bool; best on the processor (see ``TwoStream``).
        Returns:
            (B, D) float32. Of a single block (global, or one granularity), the BNNeck's feature.
            Several blocks are scaled to unit length, concatenated, and scaled to unit length again,
            so that all have the same weight.
        """
        if self._rows is None:
            return self._features(images, is_infrared)
        images, is_infrared, back = self._rows.sort(images, is_infrared)
        return self._features(images, is_infrared)[back]

    def _features(self, images: Tensor, is_infrared: Tensor) -> Tensor:
        maps = self.backbone(images, is_infrared)[-1]
        blocks = []
        if self.aggregate is not None and self.bnneck is not None:
            blocks.append(self.bnneck(self.aggregate(maps)).float())
        if self.parts is not None:
            blocks += [feature.float() for _, feature in self.parts(maps)]
        if len(blocks) == 1:
            return blocks[0]
        return F.normalize(torch.cat([F.normalize(block, dim=1) for block in blocks], dim=1), dim=1)


class TestTimeFlip(nn.Module):
    """Mean of the features of images and of their mirror images, for ``TEST.FLIP``."""

    __test__ = False  # pytest takes classes of this name for tests

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, *flags: Tensor) -> Tensor:
        """(B, 3, H, W), and what else the model takes → (B, D)."""
        return (self.network(images, *flags) + self.network(images.flip(3), *flags)) / 2


def build_inference_model(
    model: ReidModel, *, exit_name: str = "deep", embedding: str = "global+parts"
) -> InferenceModel:
    """The part of a trained model that computes one exit's features; weights are not copied.

    Args:
        exit_name: ``deep`` or a student head, whose feature is always global.
        embedding: ``global``, ``parts`` or ``global+parts``; a model without part features takes
            the last for ``global``.
    Raises:
        UsageError: the model has no such exit, or no part features.
    """
    if exit_name != "deep":
        if exit_name not in model.shallow:
            known = ", ".join(["deep", *model.shallow])
            raise UsageError(f"TEST.EXIT={exit_name!r}: this network's exits are {known}")
        student = model.shallow[exit_name]
        assert isinstance(student, StudentHead)
        return InferenceModel(
            model.backbone.truncated(student.tap + 1),
            aggregate=student.aggregate,
            bnneck=student.head.bnneck,
            parts=None,
            rows=model.rows,
        )
    parts = model.parts.features if model.parts is not None and embedding != "global" else None
    if embedding == "parts" and parts is None:
        raise UsageError("TEST.EMBED parts: this network has no part features (MODEL.MGIM.ENABLED)")
    use_global = embedding != "parts"
    return InferenceModel(
        model.backbone,
        aggregate=model.pool if use_global else None,
        bnneck=model.head.bnneck if use_global else None,
        parts=parts,
        rows=model.rows,
    )
