import math

import pytest
import torch

from vireid.losses.distillation import (
    FeatureDistillation,
    distillation_loss,
    raw_hint_loss,
    relation_loss,
    unit_hint_loss,
)
from vireid.structures import Batch, HeadOutput, ModelOutput, TeacherOutput


def logits(seed: int, rows: int = 5, columns: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64).requires_grad_()


def test_hand_value_and_gradient():
    student = torch.zeros(1, 2, requires_grad=True)  # (1/2, 1/2)
    teacher = torch.tensor([[0.9, 0.1]]).log().requires_grad_()
    loss = distillation_loss(student, teacher, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), abs=1e-6)
    torch.testing.assert_close(student.grad, torch.tensor([[-0.4, 0.4]]))  # q − p
    assert teacher.grad is None


def test_equal_logits_give_zero_and_no_gradient():
    student = logits(0)
    loss = distillation_loss(student, student.detach().clone(), 3.0)
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 16.0])
@pytest.mark.parametrize("scaled", [True, False])
def test_equals_a_plain_loop(temperature: float, scaled: bool):
    student, teacher = logits(1), logits(2)
    loss = distillation_loss(student, teacher, temperature, scale_t2=scaled)
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        es, et = ([math.exp(v / temperature) for v in row] for row in (s, t))
        for a, b in zip(es, et, strict=True):
            expected += b / sum(et) * math.log((b / sum(et)) / (a / sum(es)))
    expected *= (temperature**2 if scaled else 1) / len(student)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_logits_may_be_shifted():
    student, teacher = logits(3), logits(4)
    shifted = distillation_loss(student + 5, teacher - 2, 2.0)
    torch.testing.assert_close(shifted, distillation_loss(student, teacher, 2.0))


def test_scaling_keeps_the_gradient_as_the_temperature_grows():
    """At high temperature the gradient tends to (z_s − z_t) / (T² C), so T² × it is constant."""
    norms = {}
    for temperature in (50.0, 100.0):
        for scaled in (True, False):
            student = logits(5)
            distillation_loss(student, logits(6), temperature, scale_t2=scaled).backward()
            norms[temperature, scaled] = student.grad.norm().item()
    assert norms[100.0, True] == pytest.approx(norms[50.0, True], rel=0.02)
    assert norms[100.0, False] == pytest.approx(norms[50.0, False] / 4, rel=0.02)


def test_gradients_against_differences():
    teacher = logits(8).detach()
    assert torch.autograd.gradcheck(lambda s: distillation_loss(s, teacher, 2.0), logits(7))
    assert torch.autograd.gradcheck(
        lambda s, t: distillation_loss(s, t, 2.0, detach=False), (logits(7), logits(8))
    )
    assert torch.autograd.gradcheck(unit_hint_loss, (logits(7), logits(8)))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"\(5, 7\).*\(5, 3\)"):
        distillation_loss(logits(0), logits(0, columns=3), 1.0)
    with pytest.raises(ValueError, match="got 0"):
        distillation_loss(logits(0), logits(1), 0.0)


def test_hints_by_hand():
    student = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    teacher = torch.tensor([[6.0, 8.0], [5.0, 0.0]])
    assert unit_hint_loss(student, teacher).item() == pytest.approx((0 + 2) / 2)
    assert raw_hint_loss(student, teacher).item() == pytest.approx((25 + 29) / 2)


def test_relations_by_hand():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]], requires_grad=True)
    teacher = torch.tensor([[2.0, 0, 0], [5.0, 0, 0], [0, 0, 1.0]], requires_grad=True)
    # cosines of the pairs 12, 13, 23: 0, 0.6, 0.8 of the student, 1, 0, 0 of the teacher
    loss = relation_loss(student, teacher)
    assert loss.item() == pytest.approx(2 * (1 + 0.36 + 0.64) / 9)
    loss.backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_relations_do_not_depend_on_lengths_rotations_and_order():
    student, teacher = logits(9), logits(10, columns=4)
    before = relation_loss(student, teacher)
    rotation = torch.linalg.qr(logits(11, 7, 7))[0]
    order = torch.tensor([3, 0, 4, 1, 2])
    after = relation_loss((3 * student @ rotation)[order], (0.5 * teacher)[order])
    torch.testing.assert_close(after, before)
    assert relation_loss(student, student @ rotation).item() < 1e-12
    assert torch.autograd.gradcheck(lambda s: relation_loss(s, teacher), logits(9))
    with pytest.raises(ValueError, match="5 rows of the student and 4 of the teacher"):
        relation_loss(student, teacher[:4])


def test_a_projection_that_fits_makes_the_distance_zero_and_learns_otherwise():
    term = FeatureDistillation(2, 3)
    assert [tuple(p.shape) for p in term.parameters()] == [(3, 2)]
    feature = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    term.projection.weight.data.copy_(weight)
    batch = Batch(*(torch.zeros(2) for _ in range(4)))

    def output(teacher: torch.Tensor) -> ModelOutput:
        head = HeadOutput(feature, feature, feature)
        return ModelOutput({"deep": head}, teacher=TeacherOutput(feature=teacher))

    fitting = torch.tensor([[2.0, 4.0, 6.0], [3.0, -1.0, 2.0]])  # of any length
    assert term(output(fitting), batch).item() == pytest.approx(0, abs=1e-12)
    loss = term(output(fitting.roll(1, 0)), batch)
    loss.backward()
    cosine = (1 * 3 - 2 * 1 + 3 * 2) / (14 * 14) ** 0.5
    assert loss.item() == pytest.approx(2 - 2 * cosine)
    assert term.projection.weight.grad.norm() > 0.1
