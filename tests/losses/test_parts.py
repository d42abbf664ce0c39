import pytest
import torch
from torch.nn import functional as F

from vireid.losses.parts import part_identity_loss, part_metric_loss
from vireid.losses.triplet import batch_hard_triplet_loss

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_identity_loss_equals_a_loop_over_parts(reduction: str):
    logits = [draw(6, 2, 3), draw(6, 3, 3, seed=1)]
    each = [
        F.cross_entropy(of_granularity[:, k], LABELS, label_smoothing=0.1)
        for of_granularity in logits
        for k in range(of_granularity.shape[1])
    ]
    assert len(each) == 5
    expected = sum(each) / (5 if reduction == "mean" else 1)
    loss = part_identity_loss(logits, LABELS, label_smoothing=0.1, reduction=reduction)
    torch.testing.assert_close(loss, expected)


def test_metric_loss_is_the_mean_over_granularities():
    embeddings = [draw(6, 4), draw(6, 9, seed=1)]
    values = [batch_hard_triplet_loss(e, LABELS, margin=0.3) for e in embeddings]
    assert values[0] != values[1]
    loss = part_metric_loss(
        embeddings, LABELS, lambda e, labels: batch_hard_triplet_loss(e, labels, margin=0.3)
    )
    torch.testing.assert_close(loss, (values[0] + values[1]) / 2)
