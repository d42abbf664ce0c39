from functools import cache

import pytest
import torch
from torch import Tensor, nn

from vireid.cost.flops import unique_parameters
from vireid.models.backbones.osnet import OSNetBackbone
from vireid.models.two_stream import TwoStream, share_stages

# Unique parameters without fully connected layer and classifier, at 0 … 5 specific stages.
PARAMETERS = {
    "osnet_x1_0": (1_905_828, 1_915_364, 2_149_996, 2_742_328, 3_548_488, 3_811_656),
    "osnet_x0_75": (1_087_610, 1_094_762, 1_229_840, 1_567_528, 2_026_996, 2_175_220),
    "osnet_x0_5": (497_426, 502_194, 564_982, 719_260, 928_804, 994_852),
    "osnet_x0_25": (134_792, 137_176, 154_938, 196_556, 252_944, 269_584),
    "osnet_ibn_x1_0": (1_906_852, 1_916_388, 2_152_044, 2_744_376, 3_550_536, 3_813_704),
}


@cache
def stages(variant: str) -> nn.ModuleList:
    return OSNetBackbone(variant).stages


def small(shared_depth: int, seed: int = 0) -> TwoStream:
    torch.manual_seed(seed)
    return share_stages(OSNetBackbone("osnet_x0_25").stages, shared_depth)


def different_streams(shared_depth: int) -> TwoStream:
    """In evaluation mode, with weights that differ between the streams."""
    network = small(shared_depth).eval()
    with torch.no_grad():
        for parameter in network.infrared.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shared_depth", range(6))
@pytest.mark.parametrize("variant", PARAMETERS)
def test_parameters_are_counted_to_the_unit(variant: str, shared_depth: int):
    network = share_stages(stages(variant), shared_depth)
    assert unique_parameters(network) == PARAMETERS[variant][5 - shared_depth]


@pytest.mark.parametrize("shared_depth", [0, 3, 5])
def test_each_row_of_a_mixed_batch_is_what_its_image_gives_alone(shared_depth: int):
    network, batch = different_streams(shared_depth), images(5)
    is_infrared = torch.tensor([True, False, False, True, False])
    with torch.no_grad():
        together = network(batch, is_infrared)
        assert len(together) == 5
        for row in range(5):
            alone = network(batch[row : row + 1], is_infrared[row : row + 1])
            for mixed, single in zip(together, alone, strict=True):
                torch.testing.assert_close(mixed[row], single[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shared_depth", "differs"), [(0, True), (3, True), (5, False)])
def test_modality_matters_unless_everything_is_shared(shared_depth: int, differs: bool):
    network, batch = different_streams(shared_depth), images(3)
    is_infrared = torch.tensor([True, False, True])
    with torch.no_grad():
        one, other = (network(batch, flags)[-1] for flags in (is_infrared, ~is_infrared))
    assert torch.equal(one, other) is not differs


@pytest.mark.parametrize("shared_depth", [0, 3])
def test_untrained_streams_give_identical_features_for_identical_images(shared_depth: int):
    network, batch = small(shared_depth).eval(), images(2)
    with torch.no_grad():
        visible = network(batch, torch.zeros(2, dtype=torch.bool))
        infrared = network(batch, torch.ones(2, dtype=torch.bool))
    for one, other in zip(visible, infrared, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("infrared", [False, True])
def test_batch_of_one_modality_trains_that_stream_and_the_shared_stages(infrared: bool):
    network = small(3).train()
    before = {name: b.clone() for name, b in network.named_buffers() if "running_mean" in name}
    network(images(3), torch.full((3,), infrared))[-1].sum().backward()
    graded = {
        name: all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
        for name, part in network.named_children()
    }
    assert graded == {"visible": not infrared, "infrared": infrared, "shared": True}
    other = network.visible if infrared else network.infrared
    assert all(parameter.grad is None for parameter in other.parameters())
    moved = {
        name.split(".")[0]
        for name, buffer in network.named_buffers()
        if name in before and not torch.equal(buffer, before[name])
    }
    assert moved == {"infrared" if infrared else "visible", "shared"}


@pytest.mark.parametrize("chosen", [False, True])
def test_gradient_of_a_modalitys_rows_reaches_only_its_stream(chosen: bool):
    # in evaluation mode: joint batch statistics would couple the rows
    network, is_infrared = different_streams(3), torch.tensor([True, False, True, False])
    network(images(4), is_infrared)[-1][is_infrared == chosen].square().sum().backward()
    sizes = {
        name: sum(float(p.grad.abs().sum()) for p in part.parameters())
        for name, part in network.named_children()
    }
    own, other = ("infrared", "visible") if chosen else ("visible", "infrared")
    assert sizes[own] > 0 and sizes["shared"] > 0
    assert sizes[other] == 0


@pytest.mark.parametrize("depth", [-1, 6])
def test_depth_outside_the_stages_is_refused(depth: int):
    with pytest.raises(ValueError, match=f"shared_depth must be 0 to 5, got {depth}"):
        share_stages(stages("osnet_x0_25"), depth)
