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
    return mean_over(F.relu(furthest - nearest + margin), usable)


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
    return mean_over(F.softplus(gap), usable)


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


def center_cluster_loss(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Distance of rows from their identity's centre, plus a hinge between centres.

    An identity has one centre, the mean over both modalities.

    Args:
        embeddings: (B, D), unnormalised.
        labels: (B,) int64; rows in any order, any number per identity.
        margin: distance that the centres of two identities must have.
    Returns:
        () mean distance of the rows whose identity has other rows, plus the mean hinge over all
        pairs of identities; a mean over nothing is 0.
    Source: Wu et al., Discover Cross-Modality Nuances (MPANet), CVPR 2021, centre cluster loss.
    """
    members = membership(labels, embeddings.dtype)
    counts = members.sum(dim=0)
    centers = (members.T @ embeddings) / counts.clamp(min=1).unsqueeze(1)
    squared = (embeddings - members @ centers).square().sum(dim=1)
    to_center = squared.clamp(min=MIN_SQUARED_DISTANCE).sqrt()
    pull = mean_over(to_center, members @ counts > 1)
    hinges = F.relu(margin - pairwise_distances(centers, centers))
    exists = counts > 0
    others = ~torch.eye(len(counts), dtype=torch.bool, device=counts.device)
    return pull + mean_over(hinges, exists & exists.unsqueeze(1) & others)


def circle_loss(embeddings: Tensor, labels: Tensor, *, margin: float, gamma: float) -> Tensor:
    """Softplus of weighted cosine similarities: each pair weighs what it is from its optimum.

    With similarities s of an anchor to its positives p and negatives n:
    log(1 + Σ exp(γ [s_n + m]₊ (s_n - m)) · Σ exp(-γ [1 + m - s_p]₊ (s_p - 1 + m))). The weights
    [·]₊ are constants for gradients.

    Args:
        embeddings: (B, D), of any length.
        labels: (B,) int64.
        margin: m, the relaxation of the optima 1 and 0.
        gamma: γ > 0, the scale.
    Returns:
        () mean over the anchors that have a positive and a negative; 0 when none has.
    Source: Sun et al., Circle Loss, CVPR 2020, §3, with labels of pairs.
    """
    unit = F.normalize(embeddings, dim=1)
    similarities = unit @ unit.T
    positive, negative = _pair_masks(labels)
    constant = similarities.detach()
    to_positives = -gamma * F.relu(1 + margin - constant) * (similarities - 1 + margin)
    to_negatives = gamma * F.relu(constant + margin) * (similarities - margin)
    usable = positive.any(dim=1) & negative.any(dim=1)
    sums = [
        # Rows without an entry: any finite numbers, because the mean leaves them out
        each.masked_fill(~mask & usable.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        for each, mask in ((to_positives, positive), (to_negatives, negative))
    ]
    return mean_over(F.softplus(sums[0] + sums[1]), usable)


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


def membership(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Which rows are of one identity, with a column per identity.

    Returns:
        (B, B): a row has a 1 in the column whose number is that of its identity's first row. Other
        columns are empty: a GPU would have to wait for the number of identities.
    """
    first = (labels.unsqueeze(1) == labels).byte().argmax(dim=1)
    return (first.unsqueeze(1) == torch.arange(len(labels), device=labels.device)).to(dtype)


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


def mean_over(values: Tensor, usable: Tensor) -> Tensor:
    """Mean of the usable values; 0, with a gradient of 0, when none is usable."""
    # where, not multiplication: anchors without a positive or negative have infinite values.
    kept = torch.where(usable, values, torch.zeros_like(values))
    return kept.sum() / usable.sum().clamp(min=1)
