import pytest
import torch
from torch import nn

from vireid.config.schema import default_config
from vireid.cost.flops import count_macs, unique_parameters
from vireid.models.backbones.sdc_cnn import PLANS, DenseUnit, SDCBackbone
from vireid.models.build import build_model

# Parameters, multiply-accumulates at 128 × 128, channels of the deepest map.
TABLE = {
    "sdc_cnn": (1_551_680, 1_528_823_808, 192),
    "sdc_cnn_short": (666_432, 729_022_464, 128),
    "sdc_cnn_last": (888_128, 1_231_552_512, 64),
    "sdc_cnn_growing": (2_547_392, 934_281_216, 384),
    "sdc_cnn_growing_last": (5_645_888, 2_236_612_608, 256),
    "sdc_cnn_x0_5": (388_768, 389_283_840, 96),
    "sdc_cnn_x0_25": (97_616, 100_859_904, 48),
}


def macs_of(variant: str, size: int) -> int:
    """Shapes are enough to count."""
    return count_macs(SDCBackbone(variant).to("meta"), torch.zeros(1, 3, size, size, device="meta"))


@pytest.mark.parametrize("variant", PLANS)
def test_parameters_and_macs_are_counted_to_the_unit(variant: str):
    backbone = SDCBackbone(variant)
    parameters, macs, channels = TABLE[variant]
    assert unique_parameters(backbone) == parameters
    assert macs_of(variant, 128) == macs and macs_of(variant, 256) == 4 * macs
    assert macs_of(variant + "_s16", 128) == macs  # what is left out comes last
    assert backbone.stage_channels[-1] == channels


def test_parameters_by_hand():
    """A 3 × 3 convolution without bias and a norm: 9 · C · k + 2 k."""
    stem, unit = 9 * 3 * 64 + 128, 0
    for inputs in (192, 192 + 64, 192 + 128):
        unit += 9 * inputs * 64 + 128
    first = sum(9 * inputs * 64 + 128 for inputs in (64, 128, 192))
    assert stem + first + 3 * unit == TABLE["sdc_cnn"][0]


def test_the_last_pooling_is_all_that_the_variants_differ_in():
    full, kept = SDCBackbone("sdc_cnn_x0_25").eval(), SDCBackbone("sdc_cnn_x0_25_s16").eval()
    kept.load_state_dict(full.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(nn.functional.max_pool2d(kept(images), 2), full(images))


@pytest.mark.parametrize("joined", [True, False])
def test_units_join_what_precedes_each_convolution(joined: bool):
    unit = DenseUnit(3, 2, layers=3, joined=joined).eval()
    maps = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = unit.layers[0](maps)
        second = unit.layers[1](torch.cat([maps, first], dim=1))
        third = unit.layers[2](torch.cat([maps, first, second], dim=1))
        expected = torch.cat([first, second, third], dim=1) if joined else third
        assert torch.equal(unit(maps), expected)
    assert expected.shape[1] == (6 if joined else 2) and expected.std() > 0


@pytest.mark.parametrize("backbone", ["sdc_cnn_x0_25_s16", "resnet18", "mobilenet_v2"])
def test_students_stand_behind_its_stages_by_config_alone(backbone: str):
    """Self-distillation on a vehicle student."""
    torch.manual_seed(0)
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED, cfg.MODEL.SHARED_DEPTH = backbone, "none", 5
    cfg.MODEL.MGIM.ENABLED, cfg.MODEL.POOL, cfg.INPUT.SIZE = False, "avg", [64, 64]
    network, _ = build_model(cfg, 5)
    output = network(torch.rand(2, 3, 64, 64), torch.zeros(2, dtype=torch.bool))
    assert list(output.heads) == ["shallow1", "shallow2", "shallow3", "deep"]
    dim = output.deep.embedding.shape[1]
    assert all(head.embedding.shape == (2, dim) for head in output.heads.values())
    sum(head.logits.sum() for head in output.heads.values()).backward()
    assert all(p.grad is not None for p in network.parameters())
