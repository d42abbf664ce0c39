import pytest
import torch

from tests.models.test_branches import VISIBLE, images, network_of
from tests.models.test_reid_model import model as plain_network
from vireid.models.teacher import POSTERIORS, FrozenTeacher, posterior_logits
from vireid.structures import HeadOutput, ModelOutput


def output_of(*logits: torch.Tensor) -> ModelOutput:
    """The deepest head's logits, then the branches'."""
    names = ["deep", *(f"branch{k}" for k in range(1, len(logits)))]
    return ModelOutput({n: HeadOutput(z, z, z) for n, z in zip(names, logits, strict=True)})


def test_a_teacher_stays_as_it_is_whatever_it_is_told():
    teacher = FrozenTeacher(network_of().train())
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    assert any("running_mean" in name for name in before)
    assert not any(module.training for module in teacher.modules())
    for mode in (True, False):
        teacher.train(mode)
        assert not any(module.training for module in teacher.modules())
        logits = teacher(images().requires_grad_(), VISIBLE).logits
        assert logits.shape == (3, 5) and not logits.requires_grad
    after = teacher.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_its_word_is_its_deepest_classifiers_unless_another_is_asked_for():
    network = network_of().eval()
    with torch.no_grad():
        expected = network(images(), VISIBLE)
    found = FrozenTeacher(network)(images(), VISIBLE)
    assert torch.equal(found.logits, expected.deep.logits) and found.feature is None
    mean = sum(head.logits for head in expected.branches) / 4
    found = FrozenTeacher(network, posterior="mean_branch_logits")(images(), VISIBLE)
    torch.testing.assert_close(found.logits, mean)
    found = FrozenTeacher(network, logits=False, feature=True)(images(), VISIBLE)
    assert torch.equal(found.feature, expected.deep.feature) and found.logits is None


def test_posteriors_by_hand():
    deep = torch.tensor([[5.0, 0.0]])
    branches = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.25, 0.75]]).log() + 7
    output = output_of(deep, *branches, torch.tensor([[0.9, 0.1]]).log() - 3)
    softmax = {name: posterior_logits(output, name).softmax(dim=1) for name in POSTERIORS}
    torch.testing.assert_close(softmax["joint_fc"], deep.softmax(dim=1))
    # Means of logits are geometric means of probabilities: (3/4 · 1/4 · 9/10)^(1/3) and so on.
    ratio = (3 * (1 / 3) * 9) ** (1 / 3)
    expected = torch.tensor([[ratio / (1 + ratio), 1 / (1 + ratio)]])
    torch.testing.assert_close(softmax["mean_branch_logits"], expected)
    probability = (0.75 + 0.25 + 0.9) / 3
    expected = torch.tensor([[probability, 1 - probability]])
    torch.testing.assert_close(softmax["mean_branch_prob"], expected)
    torch.testing.assert_close(posterior_logits(output, "mean_branch_prob").exp(), expected)


def test_probabilities_too_small_for_a_float_have_a_mean():
    output = output_of(torch.zeros(1, 2), *(torch.tensor([[0.0, -500.0]]) for _ in range(2)))
    found = posterior_logits(output, "mean_branch_prob")
    torch.testing.assert_close(found, torch.tensor([[0.0, -500.0]]))


@pytest.mark.parametrize("posterior", POSTERIORS[1:])
def test_branches_that_are_not_there_are_refused(posterior: str):
    with pytest.raises(ValueError, match=f"{posterior}.*needs branches"):
        FrozenTeacher(plain_network(), posterior=posterior)
    with pytest.raises(ValueError, match="unknown"):
        FrozenTeacher(plain_network(), posterior="votes")
