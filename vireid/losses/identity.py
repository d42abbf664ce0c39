"""Classification of the training identities, by the whole image and by its parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def identity_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with smoothed labels, in nats.

    Args:
        logits: (B, C).
        labels: (B,) int64 in [0, C).
        label_smoothing: share of the target probability that is spread evenly over all classes.
    Returns:
        () mean over the batch.
    Source: Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, §7.
    """
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def part_identity_loss(
    logits: Sequence[Tensor],
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of every part's classifier.

    Args:
        logits: per granularity (B, K, C) of K classifiers.
        labels: (B,) int64 in [0, C).
        label_smoothing: as in ``identity_loss``.
        reduction: ``mean`` or ``sum`` over all classifiers.
    Returns:
        () nats, mean over the batch.
    """
    stacked = torch.cat(list(logits), dim=1)
    count = stacked.shape[1]
    mean = identity_loss(
        stacked.flatten(0, 1), labels.repeat_interleave(count), label_smoothing=label_smoothing
    )
    return mean * count if reduction == "sum" else mean
