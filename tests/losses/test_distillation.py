import math

import pytest
import torch

from vireid.losses.distillation import distillation_loss, raw_hint_loss, unit_hint_loss


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
