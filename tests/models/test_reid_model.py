import pytest
import torch
from torch import nn

from vireid.config.schema import default_config
from vireid.models.build import build_model
from vireid.models.reid_model import ReidModel, parameter_groups
from vireid.structures import ModelOutput

FLAGS = torch.tensor([False, True, False, True])


def model(backbone: str = "osnet_x0_25", classes: int = 7, **options: object) -> ReidModel:
    torch.manual_seed(0)
    cfg = default_config()
    cfg.MODEL.BACKBONE = backbone
    cfg.MODEL.PRETRAINED = "none"
    cfg.MODEL.SDM.ENABLED = cfg.MODEL.MGIM.ENABLED = False
    for key, value in options.items():
        cfg.MODEL[key] = value
    network, _ = build_model(cfg, classes)
    return network


def norms(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]


@pytest.mark.parametrize("training", [True, False])
def test_output_has_one_type_and_shape_in_every_mode(training: bool):
    network = model().train(training)
    output = network(torch.randn(4, 3, 64, 32), FLAGS)
    assert type(output) is ModelOutput
    assert list(output.heads) == ["deep"]
    assert output.deep.embedding.shape == output.deep.feature.shape == (4, 128)
    assert output.deep.logits.shape == (4, 7)


def test_heads_compute_pool_then_norm_then_classifier():
    network = model().eval()
    network.head.bnneck.running_mean.uniform_(-0.5, 0.5)
    network.head.bnneck.running_var.uniform_(0.5, 1.5)
    images = torch.randn(4, 3, 64, 32)
    with torch.no_grad():
        deep = network(images, FLAGS).deep
        maps = network.backbone(images, FLAGS)[-1]
        embedding = maps.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
        bnneck = network.head.bnneck
        feature = (embedding - bnneck.running_mean) / (bnneck.running_var + bnneck.eps).sqrt()
    torch.testing.assert_close(deep.embedding, embedding)
    torch.testing.assert_close(deep.feature, feature)
    torch.testing.assert_close(deep.logits, feature @ network.head.classifier.weight.T)


def test_frozen_norms_keep_their_statistics_while_the_rest_trains():
    network = model(BN_EVAL=True).train()
    assert norms(network) and not any(norm.training for norm in norms(network))
    others = [m for m in network.modules() if m not in norms(network)]
    assert all(module.training for module in others)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(torch.randn(4, 3, 64, 32), FLAGS).deep.logits.sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    assert network.backbone.visible[0].conv1.conv.weight.grad.abs().sum() > 0


def test_norms_of_the_heads_follow_the_batch_when_only_those_of_the_backbone_are_frozen():
    network = model(BN_EVAL=True, BN_EVAL_SCOPE="backbone").train()
    assert not any(norm.training for norm in norms(network.backbone))
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(torch.randn(4, 3, 64, 32), FLAGS)
    moved = {
        name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])
    }
    assert moved and not any(name.startswith("backbone.") for name in moved)
    assert {"head.bnneck.running_mean", "head.bnneck.running_var"} <= moved


def test_norms_follow_the_batch_unless_frozen():
    network = model().train()
    assert all(norm.training for norm in norms(network))
    before = network.head.bnneck.running_mean.clone()
    network(torch.randn(4, 3, 64, 32), FLAGS)
    assert not torch.equal(network.head.bnneck.running_mean, before)


@pytest.mark.parametrize("frozen", [True, False])
def test_evaluation_mode_reaches_every_module(frozen: bool):
    network = model(BN_EVAL=frozen).train().eval()
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(("pool", "pool_parameters"), [("gem", 1), ("avg", 0)])
def test_parameter_groups_hold_every_parameter_once(pool: str, pool_parameters: int):
    network = model(POOL=pool)
    groups = parameter_groups(network)
    assert list(groups) == ["specific", "backbone", "head"]
    ids = [id(parameter) for group in groups.values() for parameter in group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in network.parameters()}
    assert sum(p.numel() for p in groups["head"]) == pool_parameters + 2 * 128 + 7 * 128
    specific = [*network.backbone.visible.parameters(), *network.backbone.infrared.parameters()]
    assert [id(p) for p in groups["specific"]] == [id(p) for p in specific]
    assert sum(p.numel() for p in groups["specific"] + groups["backbone"]) == 154_938
