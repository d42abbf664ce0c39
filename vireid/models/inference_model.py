"""The network as it is used: images to features, and nothing that only training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import UsageError
from vireid.models.heads import PartFeatures
from vireid.models.modality_norm import ModalityRows
from vireid.models.reid_model import ReidModel
from vireid.models.two_stream import TwoStream


class InferenceModel(nn.Module):
    """Streams up to an exit, and what turns the map there into one vector.

    Args:
        backbone: the stages up to the exit.
        aggregate, bnneck: global feature; None to leave it out.
        parts: part features; None to leave them out.
        rows: what the network's :class:`ModalityNorm` layers read, if it has any.
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
        """Whether layers normalise each modality by its own statistics."""
        return self._rows is not None

    def forward(self, images: Tensor, is_infrared: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, H, W) normalised.
            is_infrared: (B,) bool; best on the processor (see :class:`TwoStream`).
        Returns:
            (B, D) float32. A single block is the BNNeck's feature, or a granularity's vector, as it
            is; several blocks (global, each granularity) are each brought to unit length, put side
            by side, and the whole to unit length, so that every block counts alike.
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
    """Mean of the features of images and of their mirror images, as ``TEST.FLIP`` has it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, *flags: Tensor) -> Tensor:
        """What the network takes → (B, D)."""
        return (self.network(images, *flags) + self.network(images.flip(3), *flags)) / 2


def build_inference_model(
    model: ReidModel, *, exit_name: str = "deep", embedding: str = "global+parts"
) -> InferenceModel:
    """The part of a network that makes one exit's features; weights are not copied.

    Args:
        exit_name: ``deep`` or one of the network's students, whose feature is always global.
        embedding: ``global``, ``parts`` or ``global+parts``; without part features the last is the
            global one.
    Raises:
        UsageError: the network has no such exit, or no part features at this exit.
    """
    if exit_name != "deep":
        if exit_name not in model.shallow:
            known = ", ".join(["deep", *model.shallow])
            raise UsageError(f"TEST.EXIT={exit_name!r}: this network's exits are {known}")
        student = model.shallow[exit_name]
        return InferenceModel(
            model.backbone.truncated(student.tap + 1),
            aggregate=student.aggregate,
            bnneck=student.head.bnneck,
            parts=None,
            rows=model.rows,
        )
    whole, parts = embedding != "parts", embedding != "global" and model.parts is not None
    if not whole and not parts:
        raise UsageError("TEST.EMBED parts: this network has no part features (MODEL.MGIM.ENABLED)")
    return InferenceModel(
        model.backbone,
        aggregate=model.pool if whole else None,
        bnneck=model.head.bnneck if whole else None,
        parts=model.parts.features if parts and model.parts is not None else None,
        rows=model.rows,
    )
