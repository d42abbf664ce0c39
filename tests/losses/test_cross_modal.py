"""Losses between the modalities: hand values, plain loops, what must not change them."""

from collections.abc import Callable
from math import dist, exp, log
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.losses.test_triplet import mean, random_batch
from vireid.losses.cross_modal import cross_modal_kl_loss, margin_mmd_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "kl": cross_modal_kl_loss,
    "mmd": lambda e, y, m: margin_mmd_loss(e, y, m, margin=0.5),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
Rows = list[list[float]]


def halves(rows: Rows, labels: list[int], modality: list[bool]) -> list[tuple[Rows, Rows]]:
    """Visible and infrared rows of each identity that has both."""
    found = []
    for identity in sorted(set(labels)):
        own = [(r, m) for r, y, m in zip(rows, labels, modality, strict=True) if y == identity]
        visible, infrared = [r for r, m in own if not m], [r for r, m in own if m]
        if visible and infrared:
            found.append((visible, infrared))
    return found


def loop_kl(rows: Rows, labels: list[int], modality: list[bool]) -> float:
    def posterior(logits: Rows) -> list[float]:
        each = [[exp(z) / sum(exp(other) for other in row) for z in row] for row in logits]
        return [mean(list(column)) for column in zip(*each, strict=True)]

    terms = []
    for visible, infrared in halves(rows, labels, modality):
        v, i = posterior(visible), posterior(infrared)
        there = sum(a * log(a / b) for a, b in zip(v, i, strict=True))
        back = sum(b * log(b / a) for a, b in zip(v, i, strict=True))
        terms.append((there + back) / 2)
    return mean(terms)


def loop_mmd(rows: Rows, labels: list[int], modality: list[bool]) -> float:
    terms = []
    for visible, infrared in halves(rows, labels, modality):
        every = visible + infrared
        pairs = [(a, b) for a in range(len(every)) for b in range(len(every)) if a != b]
        spread = mean([dist(every[a], every[b]) ** 2 for a, b in pairs])

        def similarity(xs: Rows, ys: Rows, spread: float = spread) -> float:
            widths = [spread * step for step in (0.25, 0.5, 1, 2, 4)]
            return mean([sum(exp(-(dist(x, y) ** 2) / w) for w in widths) for x in xs for y in ys])

        apart = similarity(visible, visible) + similarity(infrared, infrared)
        terms.append(max(0.0, apart - 2 * similarity(visible, infrared) - 0.5))
    return mean(terms)


ORACLES: dict[str, Callable[..., float]] = {"kl": loop_kl, "mmd": loop_mmd}
BOTH = torch.tensor([False, True])


def test_kl_compares_the_mean_posteriors_of_the_two_modalities():
    # visible (0.9, 0.1) and (0.6, 0.4), infrared (0.25, 0.75): (3/4, 1/4) against (1/4, 3/4)
    posteriors = torch.tensor([[0.9, 0.1], [0.25, 0.75], [0.6, 0.4]])
    labels, is_infrared = torch.tensor([5, 5, 5]), torch.tensor([False, True, False])
    loss = cross_modal_kl_loss(posteriors.log(), labels, is_infrared)
    assert loss.item() == pytest.approx(0.5 * log(3), abs=1e-6)
    # ½ (KL + KL) of (1/2, 1/2) and (1/4, 3/4), by hand: ½ · ¼ · ln 3
    unequal = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    assert cross_modal_kl_loss(unequal, torch.tensor([2, 2]), BOTH).item() == pytest.approx(
        log(3) / 8, abs=1e-6
    )


@pytest.mark.parametrize("distance", [0.01, 1.0, 300.0])
def test_mmd_of_one_row_of_each_and_its_gradient(distance: float):
    embeddings = torch.tensor([[0.0, 2.0], [distance, 2.0]], requires_grad=True)
    loss = margin_mmd_loss(embeddings, torch.tensor([4, 4]), BOTH, margin=1.4)
    loss.backward()
    # the mean squared distance is d²: 10 - 2 (e⁻⁴ + e⁻² + e⁻¹ + e^-½ + e^-¼) - 1.4
    assert loss.item() == pytest.approx(6.1862764 - 1.4, rel=1e-4)
    # with constant bandwidths s d²: 4 / d · Σ e^(-1/s) / s
    pull = 4.839112 / distance
    expected = torch.tensor([[-pull, 0.0], [pull, 0.0]])
    torch.testing.assert_close(embeddings.grad, expected, rtol=1e-3, atol=0)


def test_discrepancy_below_the_margin_costs_nothing():
    embeddings = torch.tensor([[0.0], [1.0], [0.9], [0.1]], requires_grad=True)
    flags = torch.tensor([False, False, True, True])
    loss = margin_mmd_loss(embeddings, torch.zeros(4, dtype=torch.long), flags, margin=1.4)
    loss.backward()
    assert loss.item() == 0 and not embeddings.grad.any()
    above = margin_mmd_loss(embeddings, torch.zeros(4, dtype=torch.long), flags, margin=0.0)
    assert 0 < above.item() < 1.4


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_a_plain_loop(name: str, seed: int):
    batch = random_batch(seed)
    expected = ORACLES[name](*(column.tolist() for column in batch))
    assert LOSSES[name](*batch).item() == pytest.approx(expected, abs=1e-7)


def swapped(rows: Tensor, labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rows, labels, ~flags


def renamed(rows: Tensor, labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rows, 100 - 7 * labels, flags


def reordered(rows: Tensor, labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    return rows[order], labels[order], flags[order]


def moved(rows: Tensor, labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings all moved and stretched; or logits with a constant added to each row."""
    return 3 * rows + torch.arange(rows.shape[1]), labels, flags


def raised(rows: Tensor, labels: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rows + torch.arange(len(rows)).unsqueeze(1), labels, flags


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, change) for name in LOSSES for change in (swapped, renamed, reordered)),
        ("mmd", moved),
        ("kl", raised),
    ],
)
def test_what_does_not_change_the_loss(name: str, change: Callable[..., Any]):
    batch = random_batch(3)
    loss = LOSSES[name](*batch)
    assert loss.item() > 0.01
    torch.testing.assert_close(LOSSES[name](*change(*batch)), loss, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_gradient_of_the_divergence_matches_finite_differences(seed: int):
    logits, labels, is_infrared = random_batch(seed)
    assert torch.autograd.gradcheck(
        lambda z: cross_modal_kl_loss(z, labels, is_infrared), logits.requires_grad_()
    )


@every_loss
@pytest.mark.parametrize(
    ("labels", "flags"), [([1, 1, 2, 2], [0, 0, 1, 1]), ([1, 1, 2, 2], [0, 0, 0, 0])], ids=str
)
def test_no_identity_in_both_modalities_gives_zero_and_a_zero_gradient(
    loss: Loss, labels: list[int], flags: list[int]
):
    rows = torch.randn(4, 3, requires_grad=True)
    value = loss(rows, torch.tensor(labels), torch.tensor(flags).bool())
    value.backward()
    assert value.item() == 0
    assert torch.equal(rows.grad, torch.zeros(4, 3))


@every_loss
def test_equal_modalities_cost_nothing(loss: Loss):
    rows = torch.randn(4, 6).repeat(2, 1)
    labels = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    assert loss(rows, labels, torch.arange(8) > 3).item() == pytest.approx(0, abs=1e-6)


@every_loss
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_coincident_and_extreme_rows_give_a_finite_loss_and_gradient(loss: Loss, scale: float):
    rows = scale * torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    rows.requires_grad_()
    value = loss(rows, torch.tensor([0, 0, 1, 1]), torch.tensor([False, True, False, True]))
    value.backward()
    assert value.isfinite() and rows.grad.isfinite().all()
