from math import log

import pytest
import torch
from torch.nn import functional as F

from vireid.losses.identity import identity_loss, part_identity_loss

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_plain_loss_is_the_negative_log_probability_of_the_label():
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log()
    loss = identity_loss(logits, torch.tensor([0, 2]))
    assert loss.item() == pytest.approx((log(2) + log(1.25)) / 2, abs=1e-6)


def test_smoothing_spreads_its_share_over_all_classes_including_the_label():
    # targets: 1 - 0.1 + 0.1 / 4 = 0.925 for the label, 0.025 for each of the other three
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log().requires_grad_()
    loss = identity_loss(logits, torch.tensor([1]), label_smoothing=0.1)
    loss.backward()
    expected = -(0.925 * log(0.3) + 0.025 * (log(0.4) + log(0.2) + log(0.1)))
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(  # probability - target
        logits.grad, torch.tensor([[0.4 - 0.025, 0.3 - 0.925, 0.2 - 0.025, 0.1 - 0.025]])
    )


def test_uniform_logits_cost_log_classes_whatever_the_smoothing():
    for smoothing in (0.0, 0.1, 1.0):
        loss = identity_loss(torch.full((3, 5), 2.0), torch.arange(3), label_smoothing=smoothing)
        assert loss.item() == pytest.approx(log(5), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_ignores_row_order_and_a_shift_of_the_logits(smoothing: float):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator)
    labels, order = torch.tensor([0, 1, 2, 3, 0, 1]), torch.randperm(6, generator=generator)
    loss = identity_loss(logits, labels, label_smoothing=smoothing)
    for other in (
        identity_loss(logits[order], labels[order], label_smoothing=smoothing),
        identity_loss(logits + 5, labels, label_smoothing=smoothing),
    ):
        assert other.item() == pytest.approx(loss.item(), abs=1e-6)


def test_gradient_matches_finite_differences():
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 1, 1])
    assert torch.autograd.gradcheck(
        lambda z: identity_loss(z, labels, label_smoothing=0.1), logits.requires_grad_()
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_part_loss_equals_a_loop_over_parts(reduction: str):
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
