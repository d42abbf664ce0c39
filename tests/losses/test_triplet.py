"""Each loss against hand values and against plain loops over Python lists."""

from collections.abc import Callable
from functools import partial
from math import dist, exp, log1p

import pytest
import torch
from torch import Tensor

from vireid.losses.triplet import (
    batch_hard_triplet_loss,
    hetero_center_triplet_loss,
    pairwise_distances,
    part_metric_loss,
    weighted_triplet_loss,
)

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "batch_hard": lambda e, y, m: batch_hard_triplet_loss(e, y, margin=0.3),
    "weighted": lambda e, y, m: weighted_triplet_loss(e, y),
    "hetero_center": lambda e, y, m: hetero_center_triplet_loss(e, y, m, margin=0.3),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)

Partners = tuple[list[float], list[float]]  # distances to positives and to negatives


def partners(points: list[list[float]], labels: list[int]) -> list[Partners]:
    """Of each anchor that has both."""
    found = []
    for a, point in enumerate(points):
        others = [i for i in range(len(points)) if i != a]
        positives = [dist(point, points[i]) for i in others if labels[i] == labels[a]]
        negatives = [dist(point, points[i]) for i in others if labels[i] != labels[a]]
        if positives and negatives:
            found.append((positives, negatives))
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def loop_batch_hard(points: list[list[float]], labels: list[int], modality: list[bool]) -> float:
    pairs = partners(points, labels)
    return mean([max(0.0, max(pos) - min(neg) + 0.3) for pos, neg in pairs])


def loop_weighted(points: list[list[float]], labels: list[int], modality: list[bool]) -> float:
    terms = []
    for positives, negatives in partners(points, labels):
        far = sum(exp(d) * d for d in positives) / sum(exp(d) for d in positives)
        near = sum(exp(-d) * d for d in negatives) / sum(exp(-d) for d in negatives)
        terms.append(log1p(exp(far - near)))
    return mean(terms)


def loop_hetero_center(points: list[list[float]], labels: list[int], modality: list[bool]) -> float:
    centers: dict[tuple[int, bool], list[float]] = {}
    for key in zip(labels, modality, strict=True):
        rows = [p for p, *k in zip(points, labels, modality, strict=True) if tuple(k) == key]
        centers[key] = [mean(list(column)) for column in zip(*rows, strict=True)]
    pairs = partners(list(centers.values()), [label for label, _ in centers])
    return mean([max(0.0, max(pos) - min(neg) + 0.3) for pos, neg in pairs])


ORACLES = {
    "batch_hard": loop_batch_hard,
    "weighted": loop_weighted,
    "hetero_center": loop_hetero_center,
}


def random_batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Identities with unequal numbers of rows, some in one modality only, in any order."""
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(3, 14, (), generator=generator))
    labels = torch.randint(0, 4, (rows,), generator=generator) * 10 + 3
    is_infrared = torch.rand(rows, generator=generator) < 0.5
    centers = torch.randn(64, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    return 0.5 * centers[labels] + 0.6 * noise, labels, is_infrared


def square() -> tuple[Tensor, Tensor, Tensor]:
    """Two identities, two rows each: 0 and 3 on a line, 4 and 6 on the same line."""
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    return embeddings, torch.tensor([8, 8, 5, 5]), torch.tensor([False, True, False, True])


def test_distances_are_euclidean_with_a_floor():
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    expected = torch.tensor([[1e-6, 5.0], [5.0, 1e-6]])
    torch.testing.assert_close(pairwise_distances(rows, rows), expected, rtol=1e-4, atol=0)
    assert pairwise_distances(rows, torch.tensor([[3.0, 0.0]])).tolist() == [[3.0], [4.0]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # furthest positive - nearest negative: 3-4, 3-1, 2-1, 2-3; hinge with margin 0.3
        ("batch_hard", (0 + 2.3 + 1.3 + 0) / 4),
        # negatives at 4, 6 | 1, 3 | 4, 1 | 6, 3: nearer + gap * share of the further one
        (
            "weighted",
            mean(
                [
                    log1p(exp(positive - nearer - gap * exp(-gap) / (1 + exp(-gap))))
                    for positive, nearer, gap in ((3, 4, 2), (3, 1, 2), (2, 1, 3), (2, 3, 3))
                ]
            ),
        ),
        ("hetero_center", (0 + 2.3 + 1.3 + 0) / 4),  # one row per centre
    ],
)
def test_hand_value(name: str, expected: float):
    assert LOSSES[name](*square()).item() == pytest.approx(expected, abs=1e-6)


def test_hetero_center_compares_means_of_each_modality():
    # visible 1: (0+2)/2 = 1, infrared 1: 4; visible 2: 6, infrared 2: (7+9+11)/3 = 9
    embeddings = torch.tensor([[0.0], [9.0], [4.0], [7.0], [6.0], [2.0], [11.0]])
    labels = torch.tensor([1, 2, 1, 2, 2, 1, 2])
    is_infrared = torch.tensor([False, True, True, True, False, False, True])
    loss = hetero_center_triplet_loss(embeddings, labels, is_infrared, margin=0.3)
    # 3-5, 3-2, 3-2, 3-5
    assert loss.item() == pytest.approx((0 + 1.3 + 1.3 + 0) / 4, abs=1e-6)


def test_batch_hard_gradient_pulls_the_furthest_positive_and_pushes_the_nearest_negative():
    embeddings = torch.tensor([[0.0], [1.0], [3.0], [3.5], [20.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1])
    batch_hard_triplet_loss(embeddings, labels, margin=0.3).backward()
    # anchors 0, 1 and 4 rest (3 - 3.5, 2 - 2.5, 16.5 - 17); anchor 2: |x2-x0| - |x3-x2|;
    # anchor 3: |x4-x3| - |x3-x2|; mean over 5 anchors
    expected = torch.tensor([[-1.0], [0.0], [1 + 1 + 1.0], [-1 - 1 - 1.0], [1.0]]) / 5
    torch.testing.assert_close(embeddings.grad, expected)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_a_plain_loop(name: str, seed: int):
    batch = random_batch(seed)
    expected = ORACLES[name](*(column.tolist() for column in batch))
    assert LOSSES[name](*batch).item() == pytest.approx(expected, abs=1e-9)


@every_loss
@pytest.mark.parametrize("seed", [0, 3, 7])
def test_order_of_rows_changes_neither_loss_nor_gradient(loss: Loss, seed: int):
    embeddings, labels, is_infrared = random_batch(seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    straight = embeddings.clone().requires_grad_()
    shuffled = embeddings[order].clone().requires_grad_()
    one = loss(straight, labels, is_infrared)
    other = loss(shuffled, labels[order], is_infrared[order])
    one.backward()
    other.backward()
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(straight.grad[order], shuffled.grad)


@every_loss
def test_loss_does_not_depend_on_the_names_of_the_identities(loss: Loss):
    embeddings, labels, is_infrared = random_batch(3)
    renamed = 100 - 7 * (labels // 10)
    one, other = loss(embeddings, labels, is_infrared), loss(embeddings, renamed, is_infrared)
    assert one.item() > 0
    torch.testing.assert_close(one, other)


@every_loss
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradient_matches_finite_differences(loss: Loss, seed: int):
    embeddings, labels, is_infrared = random_batch(seed)
    assert torch.autograd.gradcheck(
        lambda e: loss(e, labels, is_infrared), embeddings.requires_grad_()
    )


@every_loss
@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [1, 2, 3, 4]], ids=["no negative", "no positive"])
def test_no_anchor_with_partners_gives_zero_and_a_zero_gradient(loss: Loss, labels: list[int]):
    embeddings = torch.randn(4, 3, requires_grad=True)
    value = loss(embeddings, torch.tensor(labels), torch.tensor([False, True, False, True]))
    value.backward()
    assert value.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(4, 3))


def test_hetero_center_without_a_second_modality_is_zero():
    embeddings = torch.randn(4, 3, requires_grad=True)
    flags = torch.zeros(4, dtype=torch.bool)
    value = hetero_center_triplet_loss(embeddings, torch.tensor([1, 1, 2, 2]), flags, margin=0.3)
    value.backward()
    assert value.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(4, 3))


@every_loss
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_coincident_embeddings_give_finite_loss_and_gradient(loss: Loss, scale: float):
    embeddings = torch.full((6, 8), scale, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    value = loss(embeddings, labels, torch.tensor([False, True, True, False, True, False]))
    value.backward()
    assert value.item() > 0 and value.isfinite()
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_hinge_of_coincident_embeddings_is_the_margin(margin: float):
    embeddings, labels = torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])
    assert batch_hard_triplet_loss(embeddings, labels, margin=margin).item() == pytest.approx(
        margin
    )


@pytest.mark.parametrize("far", [50.0, 300.0])
def test_weighted_loss_of_far_embeddings_does_not_overflow(far: float):
    embeddings = torch.tensor([[0.0], [far], [1.0], [far + 1]], requires_grad=True)
    value = weighted_triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert value.item() == pytest.approx(far - 1, rel=1e-3)
    assert embeddings.grad.isfinite().all()


def test_part_loss_is_the_mean_over_granularities():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    embeddings = [torch.randn(6, d, generator=generator) for d in (4, 9)]
    values = [batch_hard_triplet_loss(e, labels, margin=0.3) for e in embeddings]
    assert values[0] != values[1]
    loss = part_metric_loss(embeddings, labels, partial(batch_hard_triplet_loss, margin=0.3))
    torch.testing.assert_close(loss, (values[0] + values[1]) / 2)
