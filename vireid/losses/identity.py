"""Classification of the training identities."""

from torch import Tensor
from torch.nn import functional as F


def identity_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with smoothed labels, in nats.

    Args:
        logits: (B, C).
        labels: (B,) int64 in [0, C).
        label_smoothing: share of the target mass that is spread evenly over all C classes.
    Returns:
        () mean over the batch.
    Source: Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, §7.
    """
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
