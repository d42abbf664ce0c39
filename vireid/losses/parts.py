"""Losses on part features; every granularity counts alike in the metric loss, every classifier in
the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vireid.losses.identity import identity_loss


def part_identity_loss(
    logits: Sequence[Tensor],
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of every part's classifier.

    Args:
        logits: per granularity (B, K, C), of K classifiers.
        labels: (B,) int64 in [0, C).
        label_smoothing: as in :func:`identity_loss`.
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


def part_metric_loss(
    embeddings: Sequence[Tensor], labels: Tensor, metric_loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """A metric loss on each granularity's parts side by side.

    Args:
        embeddings: per granularity (B, g · d).
        labels: (B,) int64.
        metric_loss: of embeddings (B, D) and labels.
    Returns:
        () mean over granularities.
    """
    return torch.stack([metric_loss(each, labels) for each in embeddings]).mean()
