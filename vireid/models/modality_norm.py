"""Per-modality batch normalisation (domain-specific), in layers that both streams share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.errors import UsageError


@dataclass(slots=True)
class ModalityRows:
    """How many rows of the current batch are visible images; they come first.

    Args:
        visible: number of rows of visible images.
        total: number of all rows.
    """

    visible: int = 0
    total: int = 1

    def sort(self, images: Tensor, is_infrared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images and flags with visible rows first, and the index that restores their order."""
        order = is_infrared.to(torch.uint8).argsort(stable=True)
        self.visible, self.total = int((~is_infrared).sum()), len(is_infrared)
        there, back = (
            rows.to(images.device, non_blocking=True) for rows in (order, order.argsort())
        )
        return images[there], is_infrared[order], back


class ModalityNorm(nn.Module):
    """A BatchNorm with a mean and variance per modality.

    It removes what all images of a modality share, such as brightness, contrast and noise.

    Args:
        norm: the layer it replaces; both modalities start with its values.
        rows: which rows are visible; a layer on k vectors per image has k rows for each.
        separate: whether each modality also has its own scale and shift, if the layer has any.
    Source: Chang et al., Domain-Specific Batch Normalization, CVPR 2019, with ``separate``.
    """

    def __init__(
        self,
        norm: nn.BatchNorm1d | nn.BatchNorm2d,
        rows: ModalityRows,
        *,
        separate: bool = False,
    ) -> None:
        super().__init__()
        self.norm = norm
        affine = separate and norm.affine
        self.infrared = type(norm)(norm.num_features, eps=norm.eps, affine=affine)
        unused = () if affine else ("weight", "bias")
        self.infrared.load_state_dict(
            {k: v for k, v in norm.state_dict().items() if k not in unused}
        )
        self._rows = rows

    def forward(self, inputs: Tensor) -> Tensor:
        """(rows, …) → (rows, …)."""
        count = self._rows.visible * (len(inputs) // self._rows.total)
        halves = (self.norm, inputs[:count]), (self.infrared, inputs[count:])
        return torch.cat([self._normalised(norm, half) for norm, half in halves if len(half)])

    def _normalised(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, inputs: Tensor) -> Tensor:
        affine = norm if norm.affine else self.norm
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        assert self.norm.momentum is not None, "no backbone averages its statistics cumulatively"
        return F.batch_norm(
            inputs,
            norm.running_mean,
            norm.running_var,
            affine.weight,
            affine.bias,
            norm.training,
            self.norm.momentum,
            self.norm.eps,
        )


def use_modality_norms(module: nn.Module, rows: ModalityRows, *, separate: bool = False) -> None:
    """Replaces every BatchNorm inside ``module`` by a ``ModalityNorm``.

    Raises:
        UsageError: a layer does more than BatchNorm, such as timm's with an activation inside.
    """
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d):
                raise UsageError(
                    f"MODEL.NORM_STATISTICS cannot replace {type(child).__name__}, which this "
                    "MODEL.BACKBONE has: use joint, or another backbone"
                )
            setattr(module, name, ModalityNorm(child, rows, separate=separate))
        else:
            use_modality_norms(child, rows, separate=separate)
