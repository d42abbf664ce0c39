from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import (
    MobileNet_V2_Weights,
    ResNet18_Weights,
    ResNet50_Weights,
    mobilenet_v2,
    resnet18,
    resnet50,
)

from tests.helpers import load_line
from vireid.config.schema import default_config
from vireid.cost.flops import unique_parameters
from vireid.errors import CheckpointError
from vireid.models.backbones.mobilenet import VARIANTS as MOBILENETS
from vireid.models.backbones.mobilenet import MobileNetBackbone
from vireid.models.backbones.resnet import VARIANTS, NonLocal, ResNetBackbone
from vireid.models.build import BACKBONES, build_model
from vireid.models.pretrained import TORCHVISION, imagenet_file
from vireid.models.two_stream import share_stages

# Unique parameters of the stages; torchvision's own 25,557,032 without its classifier's 2,049,000.
PARAMETERS = {
    "resnet18": 11_176_512,  # 11,689,512 without 513,000
    "resnet50": 23_508_032,
    "resnet50_nonlocal": 30_866_496,
    "resnet50_nonlocal1": 23_508_032 + 2 * 3_587 + 3 * 7_171,
    **dict.fromkeys(MOBILENETS, 2_223_872),  # torchvision's 3,504,872 without 1,281,000
}
# resnet50 at 0 … 5 stages for each stream alone
TWO_STREAM = (23_508_032, 23_517_568, 23_733_376, 24_952_960, 32_051_328, 47_016_064)


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Fresh norms are the identity, and those of a new non-local block are zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.0),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                nn.init.uniform_(tensor, low, high, generator=generator)


@pytest.fixture(scope="module")
def torchvision_network() -> nn.Module:
    torch.manual_seed(3)
    network = resnet50(weights=None)
    randomise(network)
    return network.eval()


@pytest.fixture(scope="module")
def weights_file(torchvision_network: nn.Module, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(torchvision_network.state_dict(), path)
    return path


def stage_maps(backbone: nn.Module, images: Tensor) -> list[Tensor]:
    maps = []
    with torch.no_grad():
        for stage in backbone.stages:
            images = stage(images)
            maps.append(images)
    return maps


@pytest.mark.parametrize("variant", PARAMETERS)
def test_parameters_are_counted_to_the_unit(variant: str):
    assert unique_parameters(BACKBONES[variant]()) == PARAMETERS[variant]


@pytest.mark.parametrize("shared_depth", range(6))
def test_two_streams_are_counted_to_the_unit(shared_depth: int):
    network = share_stages(ResNetBackbone("resnet50").stages, shared_depth)
    assert unique_parameters(network) == TWO_STREAM[5 - shared_depth]


def test_stages_compute_what_torchvisions_network_computes(
    torchvision_network: nn.Module, weights_file: Path
):
    backbone = ResNetBackbone("resnet50").eval()
    line = load_line(backbone, weights_file)
    assert line == f"loaded 265 of 265 backbone entries from {weights_file}"
    images = torch.randn(2, 3, 96, 48)
    maps = stage_maps(backbone, images)
    network = torchvision_network
    with torch.no_grad():
        expected = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        assert torch.equal(maps[0], expected)
        for name, actual in zip(("layer1", "layer2", "layer3"), maps[1:], strict=False):
            expected = getattr(network, name)(expected)
            assert expected.std() > 0.1
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_last_stage_is_torchvisions_without_its_stride(
    torchvision_network: nn.Module, weights_file: Path
):
    """Every second position of its first bottleneck's map is torchvision's whole map."""
    backbone = ResNetBackbone("resnet50").eval()
    load_line(backbone, weights_file)
    maps = torch.randn(1, 1024, 6, 4).relu()
    with torch.no_grad():
        ours = backbone.stages[4].layer4[0](maps)
        theirs = torchvision_network.layer4[0](maps)
    assert ours.shape == (1, 2048, 6, 4) and theirs.shape == (1, 2048, 3, 2)
    torch.testing.assert_close(ours[:, :, ::2, ::2], theirs, rtol=0, atol=1e-4)


def test_new_blocks_are_not_missing_from_a_file_and_change_nothing(weights_file: Path):
    plain, with_blocks = (ResNetBackbone(name).eval() for name in ("resnet50", "resnet50_nonlocal"))
    load_line(plain, weights_file)
    line = load_line(with_blocks, weights_file)
    assert f"loaded 265 of 265 backbone entries from {weights_file} (new: layer2.nonlocal" in line
    assert "missing" not in line and "not used" not in line
    blocks = [m for m in with_blocks.modules() if isinstance(m, NonLocal)]
    assert len(blocks) == 5
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(with_blocks(images), plain(images))
        for block in blocks:
            nn.init.ones_(block.norm.weight)
        assert not torch.equal(with_blocks(images), plain(images))


def test_blocks_that_a_file_holds_are_loaded(tmp_path: Path):
    first, second = (ResNetBackbone("resnet50_nonlocal1") for _ in range(2))
    randomise(first)
    entries = {k: v for stage in first.stages for k, v in stage.state_dict().items()}
    path = tmp_path / "with_blocks.pth"
    torch.save(entries, path)
    line = load_line(second, path)
    assert line == f"loaded 325 of 325 backbone entries from {path}"
    held = {k: v for stage in second.stages for k, v in stage.state_dict().items()}
    assert all(torch.equal(held[k], v) for k, v in entries.items() if "num_batches" not in k)


def test_blocks_stand_after_the_last_bottlenecks_of_two_layers():
    stages = ResNetBackbone("resnet50_nonlocal").stages
    names = [list(getattr(stages[i], f"layer{i}")._modules) for i in range(1, 5)]
    assert names == [
        ["0", "1", "2"],
        ["0", "1", "2", "nonlocal2", "3", "nonlocal3"],
        ["0", "1", "2", "3", "nonlocal3", "4", "nonlocal4", "5", "nonlocal5"],
        ["0", "1", "2"],
    ]
    assert stages[2].layer2.nonlocal3.theta.weight.shape == (256, 512, 1, 1)
    assert stages[3].layer3.nonlocal5.out.weight.shape == (1024, 512, 1, 1)


@pytest.mark.parametrize("inner", [1, 3])
def test_block_matches_a_loop_over_positions(inner: int):
    torch.manual_seed(0)
    block = NonLocal(4, inner).double().eval()
    randomise(block)
    maps = torch.randn(2, 4, 3, 2, dtype=torch.float64)

    def linear(conv: nn.Conv2d, vector: Tensor) -> Tensor:
        return conv.weight[:, :, 0, 0] @ vector + conv.bias

    expected = torch.empty_like(maps)
    places = [(row, column) for row in range(3) for column in range(2)]
    with torch.no_grad():
        for image in range(2):
            for r, c in places:
                here, mixed = maps[image, :, r, c], torch.zeros(inner, dtype=torch.float64)
                for row, column in places:
                    there = maps[image, :, row, column]
                    alike = linear(block.theta, here) @ linear(block.phi, there) / len(places)
                    mixed += alike * linear(block.g, there)
                norm, out = block.norm, linear(block.out, mixed)
                out = (out - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
                expected[image, :, r, c] = here + out * norm.weight + norm.bias
        actual = block(maps)
    torch.testing.assert_close(actual, expected)
    assert (actual - maps).abs().max() > 0.1


def test_block_holds_products_beyond_half_precision():
    block = NonLocal(4, 3).eval()
    for conv, bias in ((block.theta, 150.0), (block.phi, 150.0), (block.g, 0.1)):
        nn.init.zeros_(conv.weight)
        nn.init.constant_(conv.bias, bias)  # 3 · 150² = 67,500, and float16 ends at 65,504
    nn.init.constant_(block.out.weight, 1 / 3)
    nn.init.zeros_(block.out.bias)
    nn.init.ones_(block.norm.weight)
    block.norm.eps = 1e-12
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        mixed = block(torch.zeros(1, 4, 3, 2))
    torch.testing.assert_close(mixed.float(), torch.full((1, 4, 3, 2), 6750.0), rtol=0.01, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_new_block_leaves_the_map_and_lets_gradients_reach_its_norm(training: bool):
    torch.manual_seed(0)
    block = NonLocal(8, 4).train(training)
    maps = torch.randn(2, 8, 5, 3)
    mixed = block(maps)
    assert torch.equal(mixed, maps)
    mixed.square().sum().backward()
    assert block.norm.weight.grad.abs().sum() > 0


PUBLISHED = {
    "resnet18": [ResNet18_Weights.IMAGENET1K_V1.url],
    "resnet50": [ResNet50_Weights.IMAGENET1K_V1.url, ResNet50_Weights.IMAGENET1K_V2.url],
    "mobilenet_v2": [
        MobileNet_V2_Weights.IMAGENET1K_V1.url,
        MobileNet_V2_Weights.IMAGENET1K_V2.url,
    ],
}


def test_file_names_are_torchvisions():
    assert {name: list(files) for name, files in TORCHVISION.items()} == {
        name: [url.rsplit("/")[-1] for url in urls] for name, urls in PUBLISHED.items()
    }


@pytest.mark.parametrize("backbone", [*VARIANTS, *MOBILENETS])
def test_imagenet_weights_are_looked_for_where_torch_hub_keeps_them(tmp_path: Path, backbone: str):
    environment = {"TORCH_HOME": str(tmp_path)}
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(CheckpointError) as caught:
        imagenet_file(backbone, environment)
    name = next(name for name in PUBLISHED if backbone.startswith(name))
    first, *others = (folder / file for file in TORCHVISION[name])
    assert f"save it as {first}" in str(caught.value)
    assert PUBLISHED[name][0] in str(caught.value)
    assert "MODEL.PRETRAINED none" in str(caught.value)
    folder.mkdir(parents=True)
    for other in others:
        other.touch()
        assert imagenet_file(backbone, environment) == other
    first.touch()
    assert imagenet_file(backbone, environment) == first


def test_build_model_reads_torch_hubs_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_file: Path
):
    path = tmp_path / "hub" / "checkpoints" / TORCHVISION["resnet50"][0]
    path.parent.mkdir(parents=True)
    path.symlink_to(weights_file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.SHARED_DEPTH = "resnet50_nonlocal1", 4
    network, start = build_model(cfg, 5)
    assert str(path) in start.origin
    weights = torch.load(weights_file, weights_only=True)
    for stem in (network.backbone.visible[0], network.backbone.infrared[0]):
        assert torch.equal(stem.conv1.weight, weights["conv1.weight"])
    layer3 = network.backbone.shared[2].layer3
    assert torch.equal(layer3[-2].conv3.weight, weights["layer3.5.conv3.weight"])
    assert network.head.bnneck.num_features == 2048


@pytest.mark.parametrize(
    ("make", "backbone", "entries"),
    [(resnet18, ResNetBackbone("resnet18"), 100), (mobilenet_v2, MobileNetBackbone(), 260)],
    ids=["resnet18", "mobilenet_v2"],
)
def test_small_networks_compute_what_torchvisions_compute(
    tmp_path: Path, make, backbone: nn.Module, entries: int
):
    """All maps but ResNet-18's last, which keeps its resolution."""
    torch.manual_seed(1)
    network = make(weights=None).eval()
    randomise(network)
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    line = load_line(backbone.eval(), path)
    assert line == f"loaded {entries} of {entries} backbone entries from {path}"
    maps = stage_maps(backbone, torch.ones(1, 3, 64, 64).cumsum(3) / 64)
    with torch.no_grad():
        image = torch.ones(1, 3, 64, 64).cumsum(3) / 64
        if make is mobilenet_v2:
            ends, expected = (1, 3, 6, 13, 18), []
            for number, block in enumerate(network.features):
                image = block(image)
                expected += [image] if number in ends else []
        else:
            image = network.maxpool(network.relu(network.bn1(network.conv1(image))))
            expected = [image]
            for layer in (network.layer1, network.layer2, network.layer3):
                image = layer(image)
                expected.append(image)
            last = maps[4][:, :, ::2, ::2]
            assert maps[4].shape == (1, 512, 4, 4) and last.shape == network.layer4(image).shape
    for ours, theirs in zip(maps, expected, strict=False):
        assert theirs.std() > 1e-4
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["sdc_cnn", "sdc_cnn_x0_25_s16"])
def test_networks_without_published_weights_say_so(tmp_path: Path, name: str):
    with pytest.raises(CheckpointError, match=f"weights for {name}: none are published"):
        imagenet_file(name, {"TORCH_HOME": str(tmp_path)})
