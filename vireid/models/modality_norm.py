"""Batch normalisation with statistics for each spectrum, in layers that both streams share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(slots=True)
class ModalityRows:
    """How the rows of the batch at hand are ordered: visible images first.

    Args:
        visible: rows of visible images.
        total: all rows.
    """

    visible: int = 0
    total: int = 1

    def sort(self, images: Tensor, is_infrared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images and flags with visible rows first, and the rows that restore their order."""
        order = is_infrared.to(torch.uint8).argsort(stable=True)
        self.visible, self.total = int((~is_infrared).sum()), len(is_infrared)
        there, back = (
            rows.to(images.device, non_blocking=True) for rows in (order, order.argsort())
        )
        return images[there], is_infrared[order], back


class ModalityNorm(nn.Module):
    """A BatchNorm whose mean and variance are each modality's own, with one scale and shift.

    What all images of a spectrum have in common, brightness, contrast, noise, then leaves no trace
    behind the layer, and a network cannot tell identities apart within one spectrum by it.

    Args:
        norm: the layer it replaces; its statistics become the visible images', and a copy of them
            the infrared ones'.
        rows: tells which rows are whose; a layer behind several vectors per image has as many rows
            for each.
    Source: Chang et al., Domain-Specific Batch Normalization, CVPR 2019, which has a scale and a
        shift per domain, too.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: ModalityRows) -> None:
        super().__init__()
        self.norm = norm
        self.infrared = type(norm)(norm.num_features, eps=norm.eps, affine=False)
        self.infrared.load_state_dict(
            {k: v for k, v in norm.state_dict().items() if k not in ("weight", "bias")}
        )
        self._rows = rows

    def forward(self, inputs: Tensor) -> Tensor:
        """(rows, …) → the same shape."""
        count = self._rows.visible * (len(inputs) // self._rows.total)
        halves = (self.norm, inputs[:count]), (self.infrared, inputs[count:])
        return torch.cat([self._normalised(norm, half) for norm, half in halves if len(half)])

    def _normalised(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, inputs: Tensor) -> Tensor:
        plain = self.norm
        if norm.training:
            norm.num_batches_tracked.add_(1)
        return F.batch_norm(
            inputs,
            norm.running_mean,
            norm.running_var,
            plain.weight,
            plain.bias,
            norm.training,
            plain.momentum,
            plain.eps,
        )


def use_modality_norms(module: nn.Module, rows: ModalityRows) -> None:
    """Replaces every BatchNorm within ``module`` by a :class:`ModalityNorm`."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, ModalityNorm(child, rows))
        else:
            use_modality_norms(child, rows)
