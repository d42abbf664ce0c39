import pytest
import torch
from torch import Tensor, nn

from vireid.config.schema import default_config
from vireid.cost.flops import count_macs, example_batch, unique_parameters
from vireid.models.build import BACKBONES, build_model
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel

# Convolutions at 288 × 144, per image
BACKBONE_MACS = {
    "osnet_x1_0": 1_238_549_504,
    "osnet_x0_75": 723_370_752,
    "osnet_x0_5": 345_220_352,
    "osnet_x0_25": 104_096_384,
    "osnet_ibn_x1_0": 1_238_549_504,
    "osnet_ain_x1_0": 1_238_549_504,
    "resnet50": 5_129_920_512,
}


class Example(nn.Module):
    """One operation of every kind that costs something, on a batch of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 5)
        self.unused = nn.Linear(100, 100)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.conv(images)).relu()  # 2·6·(7·8)·(2·9) = 12,096
        positions = maps.flatten(2)
        alike = positions.mT @ positions  # 2·56·56·6 = 37,632
        return self.linear(maps.mean(dim=(2, 3))), alike  # 2·6·5 = 60


def two_stream(backbone: str, shared_depth: int, classes: int = 395) -> ReidModel:
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = backbone, "none"
    cfg.MODEL.SHARED_DEPTH = shared_depth
    cfg.MODEL.SDM.ENABLED = cfg.MODEL.MGIM.ENABLED = False
    return build_model(cfg, classes)[0]


def test_macs_equal_those_counted_by_hand():
    assert count_macs(Example(), torch.randn(2, 4, 7, 8)) == 12_096 + 37_632 + 60


def test_counting_leaves_the_network_as_it_was():
    network = Example().train()
    network.norm.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_macs(network, torch.randn(2, 4, 7, 8))
    assert network.training and network.conv.training and not network.norm.training
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", BACKBONE_MACS)
def test_backbones_cost_what_is_published(name: str):
    found = count_macs(BACKBONES[name](), example_batch([288, 144])[0])
    assert found == BACKBONE_MACS[name]


@pytest.mark.parametrize(
    ("size", "published"),
    [((256, 128), 0.978878352), ((288, 144), 1.239), ((384, 128), 1.468), ((384, 192), 2.202)],
)
def test_osnet_costs_what_torchreids_counter_says(size: tuple[int, int], published: float):
    """That one adds the fully connected layer behind the stages and one for every bias."""
    macs = count_macs(BACKBONES["osnet_x1_0"](), example_batch(size)[0])
    gates = 2 * 4 * sum(width + width // 16 for width in (64, 96, 128))  # 2 blocks of 4 streams
    digits = len(str(published)) - 2
    assert round((macs + 512 * 512 + 512 + gates) / 1e9, digits) == published


@pytest.mark.parametrize(
    ("variant", "convolutions", "products"),
    [
        # 3 · C · inner + inner · C per position, and 2 · N² · inner for the products
        ("resnet50_nonlocal1", 5_134_565_376, 1_837_080),
        ("resnet50_nonlocal", 6_828_613_632, 510_603_264),
    ],
)
def test_agw_is_counted_with_its_matrix_products(variant: str, convolutions: int, products: int):
    inner2, inner3 = (1, 1) if variant.endswith("1") else (256, 512)
    positions2, positions3 = 36 * 18, 18 * 9
    assert products == 2 * 2 * positions2**2 * inner2 + 3 * 2 * positions3**2 * inner3
    added = 2 * 4 * 512 * inner2 * positions2 + 3 * 4 * 1024 * inner3 * positions3
    assert convolutions == BACKBONE_MACS["resnet50"] + added
    network = two_stream(variant, shared_depth=4)
    for infrared in (False, True):
        batch = example_batch([288, 144], infrared=infrared)
        assert count_macs(network, *batch) == convolutions + products + 395 * 2048
        assert count_macs(build_inference_model(network), *batch) == convolutions + products


@pytest.mark.parametrize("shared_depth", [0, 3, 5])
def test_an_image_costs_the_same_however_many_stages_are_shared(shared_depth: int):
    network = two_stream("osnet_x0_25", shared_depth)
    single = count_macs(network, *example_batch([64, 32]))
    mixed = torch.cat([example_batch([64, 32], infrared=i)[0] for i in (False, True)])
    both = count_macs(network, mixed, torch.tensor([False, True]))
    assert both == 2 * single


def test_parameters_are_counted_once():
    shared = nn.Linear(3, 2)
    network = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared, nn.Linear(2, 4)))
    assert unique_parameters(network) == unique_parameters(network, shared) == 8 + 12


# 288 × 144: MACs up to each exit. A light head costs 64.8, 32.6 and 43.2 million, so that the third
# exit costs as much as the deepest.
EXITS = {
    "light": (754_918_912, 1_100_182_528, 1_239_296_000),
    "pool_proj": (690_229_248, 1_067_782_144, 1_196_344_320),
}


@pytest.mark.parametrize("head", EXITS)
def test_exits_cost_what_their_truncated_networks_do(head: str):
    cfg = default_config()
    cfg.MODEL.PRETRAINED, cfg.MODEL.SDM.HEAD = "none", head
    network = build_model(cfg, 7)[0]
    batch = example_batch([288, 144])
    found = [
        count_macs(build_inference_model(network, exit_name=f"shallow{k}"), *batch)
        for k in (1, 2, 3)
    ]
    assert tuple(found) == EXITS[head]
