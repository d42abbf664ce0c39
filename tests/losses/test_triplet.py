"""Each loss against hand values and against plain loops over Python lists."""

from collections.abc import Callable
from functools import partial
from math import dist, exp, log1p, sqrt

import pytest
import torch
from torch import Tensor

from vireid.losses.triplet import (
    batch_hard_triplet_loss,
    center_cluster_loss,
    circle_loss,
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
    "center_cluster": lambda e, y, m: center_cluster_loss(e, y, margin=2.0),
    "circle": lambda e, y, m: circle_loss(e, y, margin=0.45, gamma=8.0),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def losses_but(*left_out: str) -> pytest.MarkDecorator:
    kept = {name: loss for name, loss in LOSSES.items() if name not in left_out}
    return pytest.mark.parametrize("loss", kept.values(), ids=kept)


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


def loop_center_cluster(points: list[list[float]], labels: list[int], _: list[bool]) -> float:
    rows: dict[int, list[list[float]]] = {}
    for point, label in zip(points, labels, strict=True):
        rows.setdefault(label, []).append(point)
    centers = {y: [mean(list(c)) for c in zip(*own, strict=True)] for y, own in rows.items()}
    pull = [dist(p, centers[y]) for y, own in rows.items() if len(own) > 1 for p in own]
    pairs = [(a, b) for a in centers for b in centers if a < b]
    return mean(pull) + mean([max(0.0, 2 - dist(centers[a], centers[b])) for a, b in pairs])


def loop_circle(points: list[list[float]], labels: list[int], _: list[bool]) -> float:
    unit = [[x / dist(p, [0] * len(p)) for x in p] for p in points]
    terms = []
    for a, anchor in enumerate(unit):
        sums = {True: 0.0, False: 0.0}
        for b, other in enumerate(unit):
            s = sum(x * y for x, y in zip(anchor, other, strict=True))
            if labels[a] != labels[b]:
                sums[False] += exp(8 * max(0.0, s + 0.45) * (s - 0.45))
            elif a != b:
                sums[True] += exp(-8 * max(0.0, 1.45 - s) * (s - 0.55))
        if sums[True] and sums[False]:
            terms.append(log1p(sums[True] * sums[False]))
    return mean(terms)


ORACLES = {
    "batch_hard": loop_batch_hard,
    "weighted": loop_weighted,
    "hetero_center": loop_hetero_center,
    "center_cluster": loop_center_cluster,
    "circle": loop_circle,
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


@losses_but("circle")  # its weights are constants
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradient_matches_finite_differences(loss: Loss, seed: int):
    embeddings, labels, is_infrared = random_batch(seed)
    assert torch.autograd.gradcheck(
        lambda e: loss(e, labels, is_infrared), embeddings.requires_grad_()
    )


@losses_but("center_cluster")  # either of its two parts needs no partner
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


def test_center_cluster_by_hand_pulls_to_the_centre_and_pushes_centres_apart():
    # centres 2 and 3, over both modalities; distances to them 2, 2, 1, 1; hinge 4 - 1
    embeddings = torch.tensor([[0.0], [4.0], [2.0], [4.0]], requires_grad=True)
    labels = torch.tensor([7, 7, 3, 3])
    center_cluster_loss(embeddings, labels, margin=4.0).backward()
    assert center_cluster_loss(embeddings, labels, margin=4.0).item() == 1.5 + 3
    # each row is pulled by 1/4; a centre moves by half of its row, the lower one downwards
    pull, push = [-0.25, 0.25, -0.25, 0.25], [0.5, 0.5, -0.5, -0.5]
    torch.testing.assert_close(embeddings.grad[:, 0], torch.tensor(pull) + torch.tensor(push))
    assert center_cluster_loss(embeddings, labels, margin=1.0).item() == 1.5
    alone = center_cluster_loss(embeddings, torch.arange(4), margin=2.5)
    # pairs 0-4, 0-2, 0-4, 4-2, 4-4, 2-4: hinges 0, 0.5, 0, 0.5, 2.5, 0.5, and no centre to go to
    assert alone.item() == pytest.approx(4 / 6, abs=1e-5)


def test_circle_by_hand_weighs_pairs_by_what_they_lack():
    # anchor 0: positive at 60° (0.5), negative at 90° (0); only rows 0 and 1 have a positive
    embeddings = torch.tensor([[2.0, 0.0], [0.5, sqrt(0.75)], [0.0, 5.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    loss = circle_loss(embeddings, labels, margin=0.25, gamma=2.0)
    loss.backward()
    # exponents -2 (1.25 - s)(s - 0.75) and 2 (s + 0.25)(s - 0.25), s = 0.5 | 0 and √0.75
    positive, far, near = 0.375, 2 * 0.25 * -0.25, 2 * (0.75 - 0.0625)
    expected = mean([log1p(exp(positive + far)), log1p(exp(positive + near))])
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    # anchor 0's row turns towards its positive and away from its negative, and by symmetry of s
    # row 1's loss turns it, too; along the row itself there is no gradient
    share = {a: 1 / (1 + exp(-(positive + x))) / 2 for a, x in ((0, far), (1, near))}
    by_positive = -2 * 0.75 * (share[0] + share[1])  # of s_p = cos, in both anchors
    by_negative = 2 * 0.25 * share[0]
    across = (by_positive * sqrt(0.75) + by_negative * 1.0) / 2  # the row's length is 2
    torch.testing.assert_close(embeddings.grad[0], torch.tensor([0.0, across]))


@pytest.mark.parametrize("gamma", [64.0, 256.0])
def test_circle_of_the_worst_similarities_does_not_overflow(gamma: float):
    embeddings = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    embeddings.requires_grad_()
    loss = circle_loss(embeddings, torch.tensor([0, 0, 1, 1]), margin=0.45, gamma=gamma)
    loss.backward()
    # s_p = -1, s_n = 1 and -1: γ (2.45 · 1.55 + 1.45 · 0.55), the other negative weighs nothing
    assert loss.item() == pytest.approx(gamma * (2.45 * 1.55 + 1.45 * 0.55), rel=1e-4)
    assert embeddings.grad.isfinite().all()


def test_part_loss_is_the_mean_over_granularities():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    embeddings = [torch.randn(6, d, generator=generator) for d in (4, 9)]
    values = [batch_hard_triplet_loss(e, labels, margin=0.3) for e in embeddings]
    assert values[0] != values[1]
    loss = part_metric_loss(embeddings, labels, partial(batch_hard_triplet_loss, margin=0.3))
    torch.testing.assert_close(loss, (values[0] + values[1]) / 2)
