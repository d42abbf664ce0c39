import pytest
import torch
from torch import nn

from tests.run_files import metrics
from vireid.cli import train
from vireid.engine.distributed import World
from vireid.engine.gradients import gradient_norms, unused_parameters, zero_term
from vireid.engine.trainer import Trainer
from vireid.structures import HeadOutput, ModelOutput, PartOutput


def test_norms_by_hand():
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    other = nn.Parameter(torch.tensor([1.0]))
    terms = {
        "square": weight.square().sum(),  # gradient (6, 8)
        "both": weight.sum() + 2 * other.sum(),  # (1, 1) and 2
        "constant": torch.tensor(5.0),
        "elsewhere": nn.Parameter(torch.ones(1)).sum(),
    }
    weights = {"square": 0.5, "both": 1.0, "constant": 1.0, "elsewhere": 1.0}
    norms = gradient_norms(terms, weights, [weight, other])
    assert norms == pytest.approx(
        {"grad_square": 5.0, "grad_both": 6**0.5, "grad_constant": 0.0, "grad_elsewhere": 0.0}
    )
    assert weight.grad is None
    terms["square"].backward()  # the graph is still there
    assert weight.grad.tolist() == [6.0, 8.0]


def test_norms_are_those_of_the_first_step(tiny_command, tmp_path, monkeypatch):
    step, found = Trainer.step, []

    def watched(self, batch):
        before = self.progress.gradients
        values = step(self, batch)
        found.append((self.progress.step, self.progress.gradients is not before))
        return values

    def counted(*arguments, **options):
        found.append("measured")
        return gradient_norms(*arguments, **options)

    monkeypatch.setattr(Trainer, "step", watched)
    monkeypatch.setattr("vireid.engine.trainer.gradient_norms", counted)
    assert train.main([*tiny_command(tmp_path / "run"), "--gradient-norms"]) == 0
    assert found == ["measured", (0, True), *((k, False) for k in range(1, 6))] * 2


def test_unused_parameters_are_those_that_a_loss_does_not_depend_on():
    first, second, third = (nn.Parameter(torch.ones(2)) for _ in range(3))
    joint = torch.cat([first * 2, second])
    loss = joint[:2].sum() + (third * 0).detach().sum()
    (found,) = unused_parameters(loss, [first, second, third], World())
    assert found is third
    head = HeadOutput(first * 2, second + 1, second * 3)
    total = zero_term(ModelOutput({"deep": head}, (PartOutput(third, third, third),)))
    total.backward()
    assert total.item() == 0.0
    assert all(p.grad.tolist() == [0.0, 0.0] for p in (first, second, third))


def test_asking_for_them_adds_columns_and_changes_nothing_else(
    tiny_command, finished_run, tmp_path
):
    assert train.main([*tiny_command(tmp_path / "norms"), "--gradient-norms"]) == 0
    plain, norms = metrics(finished_run), metrics(tmp_path / "norms")
    added = [name for name in norms[0] if name not in plain[0]]
    terms = [name.removeprefix("loss_") for name in plain[0] if name.startswith("loss_")]
    assert added == [f"grad_{name}" for name in terms] and "sdm_kl_shallow1" in terms
    assert all(float(row[name]) > 0 for row in norms for name in added)
    for before, after in zip(plain, norms, strict=True):
        assert {name: after[name] for name in before} == before
