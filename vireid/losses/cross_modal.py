"""Losses that pull the two modalities of each identity together; they separate no identities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vireid.losses.triplet import mean_over, membership

KERNELS = 5  # Gaussian kernels whose sum compares two sets
KERNEL_RATIO = 2.0  # from one bandwidth to the next; the mean squared distance is the middle one
MIN_BANDWIDTH = 1e-9


def cross_modal_kl_loss(logits: Tensor, labels: Tensor, is_infrared: Tensor) -> Tensor:
    """Symmetric KL divergence between an identity's visible and its infrared class posterior.

    Args:
        logits: (B, C).
        labels: (B,) int64; rows in any order, any number per identity.
        is_infrared: (B,) bool.
    Returns:
        () ½ [KL(v ‖ i) + KL(i ‖ v)] in nats, where v and i are the mean posteriors of an identity's
        visible and infrared rows; mean over the identities that have both; 0 when none has.
    Source: the idea is MPANet's (Wu et al., CVPR 2021), which trains a classifier per modality. It
        compares the posterior of an image's own classifier with that of a running average of the
        other modality's classifier, for the same image. Here is one classifier for both.
    """
    visible, infrared = _shares(labels, is_infrared, logits.dtype)
    # Probabilities below the smallest normal number count as that number, so that logs are finite.
    smallest = torch.finfo(logits.dtype).tiny
    posteriors = logits.softmax(dim=1)
    v, i = ((share.T @ posteriors).clamp(min=smallest) for share in (visible, infrared))
    divergence = 0.5 * ((v - i) * (v.log() - i.log())).sum(dim=1)
    return mean_over(divergence, _in_both(visible, infrared))


def margin_mmd_loss(
    embeddings: Tensor, labels: Tensor, is_infrared: Tensor, *, margin: float
) -> Tensor:
    """Maximum mean discrepancy between an identity's visible and infrared rows, above a margin.

    The kernel is the sum of five Gaussians exp(-d² / b). The bandwidths b are 1/4, 1/2, 1, 2 and 4
    times the mean squared distance between the identity's rows, which is a constant for gradients.
    So the loss does not depend on the scale of the embeddings.

    Args:
        embeddings: (B, D), unnormalised.
        labels: (B,) int64; rows in any order, any number per identity.
        is_infrared: (B,) bool.
        margin: discrepancy that costs nothing; two far and tight sets have about 7.5.
    Returns:
        () hinge of the squared discrepancy (the biased estimate); mean over the identities that
        have both modalities; 0 when none has.
    Source: Jambigi et al., MMD-ReID, BMVC 2021. Its code adds the discrepancy itself, not what
        exceeds the margin; the gradients are the same.
    """
    visible, infrared = _shares(labels, is_infrared, embeddings.dtype)
    members = membership(labels, embeddings.dtype)
    counts = members.sum(dim=0)  # (B,), 0 in empty columns
    # Distances within an identity do not change, and rounding errors of far points become small.
    centered = embeddings - members @ ((members / counts.clamp(min=1)).T @ embeddings)
    norms = centered.square().sum(dim=1)
    squared = (norms.unsqueeze(1) + norms - 2 * centered @ centered.T).clamp(min=0)
    pairs = (counts * (counts - 1)).clamp(min=1)
    spread = (members * (squared.detach() @ members)).sum(dim=0) / pairs
    of_row = (members @ spread).unsqueeze(1)
    steps = [KERNEL_RATIO ** (k - KERNELS // 2) for k in range(KERNELS)]
    kernels = [torch.exp(-squared / (of_row * step + MIN_BANDWIDTH)) for step in steps]
    signed = visible - infrared  # rows of other identities have weight zero
    discrepancy = (signed * (torch.stack(kernels).sum(dim=0) @ signed)).sum(dim=0)
    return mean_over(F.relu(discrepancy - margin), _in_both(visible, infrared))


def _shares(labels: Tensor, is_infrared: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight of each row in its identity's mean, of the visible and of the infrared rows.

    Returns:
        (B, B) each, with the columns of ``membership``.
    """
    members = membership(labels, dtype)
    infrared = members * is_infrared.unsqueeze(1)
    visible = members - infrared
    visible, infrared = (half / half.sum(dim=0).clamp(min=1) for half in (visible, infrared))
    return visible, infrared


def _in_both(visible: Tensor, infrared: Tensor) -> Tensor:
    """(B,) bool: the columns of identities with rows of both modalities."""
    return (visible.sum(dim=0) > 0) & (infrared.sum(dim=0) > 0)
