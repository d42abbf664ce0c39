"""The quadruple directional network: four branches that every tool takes for one network."""

import numpy as np
import pytest
import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.config.schema import default_config
from vireid.cost.flops import count_macs, example_batch, unique_parameters
from vireid.deploy.model_files import OneStream
from vireid.errors import UsageError
from vireid.figures.activations import energy_maps
from vireid.models.backbones.base import ParallelBackbone
from vireid.models.backbones.sdc_cnn import SDCBackbone
from vireid.models.build import build_model
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel, parameter_groups
from vireid.structures import ModelOutput

VISIBLE = torch.zeros(3, dtype=torch.bool)
BACKBONE = 97_616  # parameters of SDC-CNN × 0.25, whose map has 48 channels


def config_of(shared_depth: int = 5, **options: object) -> CfgNode:
    cfg = default_config()
    model = cfg.MODEL
    model.BACKBONE, model.PRETRAINED, cfg.INPUT.SIZE = "sdc_cnn_x0_25_s16", "none", [64, 64]
    model.SDM.ENABLED = model.MGIM.ENABLED = False
    model.SHARED_DEPTH, model.DIRECTIONAL.ENABLED = shared_depth, True
    for key, value in options.items():
        model.DIRECTIONAL[key] = value
    return cfg


def network_of(classes: int = 5, **options: object) -> ReidModel:
    torch.manual_seed(0)
    return build_model(config_of(**options), classes)[0]


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
def test_output_has_one_type_in_every_mode(training: bool):
    output = network_of().train(training)(images(), VISIBLE)
    assert type(output) is ModelOutput and output.parts == ()
    assert list(output.heads) == ["deep", "branch1", "branch2", "branch3", "branch4"]
    lengths = [192, 192, 336, 336]  # 48 channels; 4 rows, 4 columns, 7 diagonals twice
    assert [head.feature.shape[1] for head in output.branches] == lengths
    assert output.deep.embedding.shape == output.deep.feature.shape == (3, sum(lengths))
    assert all(head.logits.shape == (3, 5) for head in output.heads.values())


def test_the_embedding_is_the_branches_side_by_side_each_of_unit_length():
    output = network_of().eval()(images(), VISIBLE)
    together = torch.cat([head.embedding for head in output.branches], dim=1)
    assert torch.equal(together, output.deep.embedding)
    for head in output.branches:
        torch.testing.assert_close(head.embedding.norm(dim=1), torch.ones(3))
    joined = torch.cat([head.feature for head in output.branches], dim=1)
    assert torch.equal(joined, output.deep.feature)


def test_parallel_backbones_compute_what_each_computes_alone():
    torch.manual_seed(2)
    backbones = [SDCBackbone("sdc_cnn_x0_25").eval() for _ in range(3)]
    together = ParallelBackbone(backbones).eval()
    assert together.stage_channels == (48, 144, 144, 144, 144)
    assert together.stage_strides == backbones[0].stage_strides
    maps, each = images(), [images() for _ in backbones]
    with torch.no_grad():
        for number, stage in enumerate(together.stages):
            maps = stage(maps)
            each = [b.stages[number](m) for b, m in zip(backbones, each, strict=True)]
            assert torch.equal(maps, torch.cat(each, dim=1))
        assert torch.equal(together(images()), maps)
    assert not torch.equal(each[0], each[1])  # each starts from weights of its own


@pytest.mark.parametrize(
    ("options", "backbones", "dim"),
    [
        ({}, 4, 1056),
        ({"MODE": "wrap"}, 4, 768),
        ({"BACKBONES": "shared"}, 1, 1056),
        ({"DIRECTIONS": ["global"] * 4}, 4, 192),  # the control
        ({"DIRECTIONS": ["diagonal"]}, 1, 336),
        ({"DIRECTIONS": ["horizontal", "vertical"]}, 2, 384),
    ],
)
def test_parameters_are_counted_to_the_unit(options: dict, backbones: int, dim: int):
    network = network_of(classes=7, **options)
    deployed = build_inference_model(network)
    assert unique_parameters(deployed) == backbones * BACKBONE + 2 * dim  # and a BNNeck
    # The joint classifier, and one on each branch: together as long.
    assert unique_parameters(network) == backbones * BACKBONE + 2 * dim + 2 * 7 * dim
    assert sum(map(len, parameter_groups(network).values())) == len(list(network.parameters()))


def test_the_control_averages_each_backbones_map_over_everything():
    network = network_of(DIRECTIONS=["global"] * 4).eval()
    with torch.no_grad():
        means = network.backbone(images(), VISIBLE)[-1].mean(dim=(2, 3)).view(3, 4, 48)
        expected = torch.nn.functional.normalize(means, dim=2).flatten(1)
        torch.testing.assert_close(network(images(), VISIBLE).deep.embedding, expected)


def test_macs_are_four_backbones_and_the_averaging():
    one = count_macs(SDCBackbone("sdc_cnn_x0_25_s16"), torch.zeros(1, 3, 64, 64))
    averaging = 48 * 16 * (4 + 4 + 7 + 7)
    found = count_macs(build_inference_model(network_of()), *example_batch([64, 64]))
    assert found == 4 * one + averaging


def test_shared_branches_pool_one_map():
    network = network_of(BACKBONES="shared", MODE="wrap", SPATIAL_NORM="none").eval()
    with torch.no_grad():
        average = network.backbone(images(), VISIBLE)[-1].mean(dim=(2, 3))
        for head in network(images(), VISIBLE).branches:
            torch.testing.assert_close(head.embedding.view(3, 48, 4).mean(dim=2), average)


def test_gradients_of_a_branch_stay_in_its_backbone():
    network = network_of().train()
    network(images(), VISIBLE).branches[2].logits.square().sum().backward()
    for number in range(4):
        gradients = [
            parameter.grad.abs().sum()
            for stage in network.backbone.shared
            for parameter in stage.branches[number].parameters()
        ]
        assert (sum(gradients) > 0) == (number == 2)


@pytest.mark.parametrize("shared_depth", [0, 3, 5])
def test_two_streams_and_a_mixed_batch(shared_depth: int):
    network = network_of(shared_depth=shared_depth).eval()
    for parameter in network.backbone.infrared.parameters():
        parameter.data.mul_(1.5)
    flags = torch.tensor([False, True, False])
    with torch.no_grad():
        mixed = network(images(), flags).deep.feature
        for row in range(len(flags)):
            alone = network(images()[row : row + 1], flags[row : row + 1]).deep.feature
            torch.testing.assert_close(mixed[row : row + 1], alone, rtol=1e-4, atol=1e-5)
        same = torch.allclose(mixed, network(images(), ~flags).deep.feature)
    assert same == (shared_depth == 5)


def test_what_is_deployed_makes_the_joint_feature():
    network = network_of().eval()
    with torch.no_grad():
        deployed = build_inference_model(network)(images(), VISIBLE)
        torch.testing.assert_close(deployed, network(images(), VISIBLE).deep.feature)
        stream = OneStream(build_inference_model(network), infrared=False)(images())
        torch.testing.assert_close(stream, deployed)
    assert not [
        name for name in build_inference_model(network).state_dict() if "classifier" in name
    ]


def test_energy_maps_are_of_all_branches():
    network = network_of().eval()
    found = energy_maps(network, images(), VISIBLE)
    with torch.no_grad():
        maps = network.backbone(images(), VISIBLE)[-1].double()
    assert list(found) == ["deep"] and found["deep"].shape == (3, 4, 4)
    np.testing.assert_allclose(found["deep"], maps.square().sum(dim=1).numpy())


def test_images_that_are_not_square_are_refused_with_the_remedy():
    cfg = config_of()
    cfg.INPUT.SIZE = [288, 144]
    with pytest.raises(UsageError) as caught:
        build_model(cfg, 3)
    message = str(caught.value)
    assert message.startswith("INPUT.SIZE=[288, 144]: ") and "\n" not in message
    assert "such as [288, 288], or MODEL.DIRECTIONAL.ENABLED false" in message


def test_a_map_of_one_position_has_no_directions():
    cfg = config_of()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE = [32, 32], "sdc_cnn_x0_25"
    with pytest.raises(UsageError, match=r"INPUT.SIZE=\[32, 32\]: the map has one position"):
        build_model(cfg, 3)
    cfg.MODEL.BACKBONE = "sdc_cnn_x0_25_s16"
    build_model(cfg, 3)


def test_weights_from_a_file_reach_every_branch(tmp_path):
    torch.manual_seed(5)
    entries = {
        key: torch.rand(tensor.shape)
        for stage in SDCBackbone("sdc_cnn_x0_25_s16").stages
        for key, tensor in stage.state_dict().items()
        if tensor.is_floating_point()
    }
    assert (
        sum(tensor.numel() for key, tensor in entries.items() if "running" not in key) == BACKBONE
    )
    path = tmp_path / "weights.pth"
    torch.save(entries, path)
    cfg = config_of()
    cfg.MODEL.PRETRAINED = str(path)
    network, start = build_model(cfg, 5)
    count = f"{len(entries)} of {len(entries)} backbone entries from {path}"
    assert start.origin == f"4 backbones side by side: loaded {count}"
    for stage in network.backbone.shared:
        for branch in stage.branches:
            state = branch.state_dict()
            assert all(torch.equal(state[key], entries[key]) for key in state if key in entries)
            assert any(key in entries for key in state)
