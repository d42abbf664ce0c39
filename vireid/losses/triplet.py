"""Metric losses on a batch of both modalities; positives and negatives come from either."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_SQUARED_DISTANCE = 1e-12  # the square root has no gradient at zero


def pairwise_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """Euclidean distances.

    Args:
        rows: (M, D).
        columns: (N, D).
    Returns:
        (M, N), at least 1e-6.
    """
    squared = (
        rows.square().sum(dim=1, keepdim=True) + columns.square().sum(dim=1) - 2 * rows @ columns.T
    )
    return squared.clamp(min=MIN_SQUARED_DISTANCE).sqrt()


def batch_hard_triplet_loss(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Hinge between each anchor's furthest positive and its nearest negative.

    Args:
        embeddings: (B, D), unnormalised.
        labels: (B,) int64.
        margin: how much further the nearest negative must be than the furthest positive.
    Returns:
        () mean over the anchors that have a positive and a negative; 0, with a gradient of 0,
        when none has.
    Source: Hermans et al., In Defense of the Triplet Loss, 2017.
    """
    distances = pairwise_distances(embeddings, embeddings)
    positive, negative = _pair_masks(labels)
    furthest = distances.masked_fill(~positive, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(~negative, torch.inf).amin(dim=1)
    usable = positive.any(dim=1) & negative.any(dim=1)
    return _mean_over(F.relu(furthest - nearest + margin), usable)


def weighted_triplet_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Softplus of the weighted positive distance minus the weighted negative one; no margin.

    The weights are a softmax of the distances over an anchor's positives (far ones weigh more)
    and of the negated distances over its negatives (near ones weigh more). An anchor is not its
    own positive.

    Args:
        embeddings: (B, D), unnormalised.
        labels: (B,) int64.
    Returns:
        () mean over the anchors that have a positive and a negative; 0 when none has.
    Source: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook (AGW),
        TPAMI 2021, weighted regularisation triplet.
    """
    distances = pairwise_distances(embeddings, embeddings)
    positive, negative = _pair_masks(labels)
    gap = _weighted(distances, positive, sign=1) - _weighted(distances, negative, sign=-1)
    usable = positive.any(dim=1) & negative.any(dim=1)
    return _mean_over(F.softplus(gap), usable)


def hetero_center_triplet_loss(
    embeddings: Tensor, labels: Tensor, is_infrared: Tensor, *, margin: float
) -> Tensor:
    """Batch-hard triplet on centres: one per identity and modality.

    An anchor centre's positive is the same identity's centre of the other modality; its negative
    is the nearest centre of another identity, of either modality.

    Args:
        embeddings: (B, D), unnormalised; rows in any order, any number per identity.
        labels: (B,) int64.
        is_infrared: (B,) bool.
        margin: as in ``batch_hard_triplet_loss``.
    Returns:
        () mean over the centres that have a positive and a negative; 0 when none has.
    Source: Liu et al., Parameter Sharing Exploration and Hetero-center Triplet Loss, TMM 2021.
    """
    groups, member = torch.unique(2 * labels + is_infrared.long(), return_inverse=True)
    # A matrix of ones and zeros, not index_add: its backward pass is deterministic on every device.
    membership = F.one_hot(member, len(groups)).to(embeddings.dtype)
    centers = (membership.T @ embeddings) / membership.sum(dim=0).unsqueeze(1)
    return batch_hard_triplet_loss(centers, groups // 2, margin=margin)


def part_metric_loss(
    embeddings: Sequence[Tensor], labels: Tensor, metric_loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """A metric loss on the concatenated parts of each granularity.

    Args:
        embeddings: per granularity (B, g · d).
        labels: (B,) int64.
        metric_loss: of embeddings (B, D) and labels.
    Returns:
        () mean over granularities.
    """
    return torch.stack([metric_loss(each, labels) for each in embeddings]).mean()


def _pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, B) bool: same identity but another row; another identity."""
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def _weighted(distances: Tensor, mask: Tensor, *, sign: int) -> Tensor:
    """(B,) sum of masked distances, weighted by their softmax; rows without any give 0."""
    scores = (sign * distances).masked_fill(~mask, -torch.inf)
    scores = torch.where(mask.any(dim=1, keepdim=True), scores, torch.zeros_like(scores))
    return (scores.softmax(dim=1) * distances * mask).sum(dim=1)


def _mean_over(values: Tensor, usable: Tensor) -> Tensor:
    # where, not multiplication: anchors without a positive or negative have infinite values.
    kept = torch.where(usable, values, torch.zeros_like(values))
    return kept.sum() / usable.sum().clamp(min=1)
