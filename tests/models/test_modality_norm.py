"""Each modality is normalised by its own statistics, whatever the order of the rows."""

import copy

import pytest
import torch
from torch import nn

from vireid.config.schema import default_config
from vireid.models.build import build_model
from vireid.models.inference_model import build_inference_model
from vireid.models.modality_norm import ModalityNorm, ModalityRows, use_modality_norms
from vireid.models.reid_model import ReidModel

FLAGS = torch.tensor([True, False, True, False, False, True])
CLOSE = {"rtol": 1e-3, "atol": 1e-3}  # sums in another order, through a whole network


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model(**options: object) -> ReidModel:
    torch.manual_seed(0)
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = [96, 48], "osnet_x0_25", "none"
    cfg.MODEL.NORM_STATISTICS = "dual"
    cfg.merge_from_list([word for pair in options.items() for word in pair])
    return build_model(cfg, 7)[0]


def test_training_normalises_each_half_by_itself_and_keeps_both_statistics():
    plain = nn.BatchNorm2d(3)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    norm = ModalityNorm(plain, ModalityRows(visible=2, total=5)).train()
    inputs = draw(5, 3, 4, 2) + torch.arange(5).view(5, 1, 1, 1)

    def normalised(part: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        channels = (t.view(1, 3, 1, 1) for t in (mean, variance, plain.weight, plain.bias))
        mean, variance, weight, bias = channels
        return (part - mean) / (variance + 1e-5).sqrt() * weight + bias

    outputs = norm(inputs)
    for half, layer in ((slice(0, 2), norm.norm), (slice(2, 5), norm.infrared)):
        part = inputs[half]
        mean, variance = part.mean(dim=(0, 2, 3)), part.var(dim=(0, 2, 3), unbiased=False)
        torch.testing.assert_close(outputs[half], normalised(part, mean, variance))
        torch.testing.assert_close(layer.running_mean, 0.1 * mean)
    kept = normalised(inputs[:2], norm.norm.running_mean, norm.norm.running_var)
    torch.testing.assert_close(norm.eval()(inputs)[:2], kept)


def test_separate_scale_and_shift_start_equal_and_learn_from_their_own_rows():
    plain = nn.BatchNorm2d(3)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    weight, bias = plain.weight.detach().clone(), plain.bias.detach().clone()
    inputs, rows = draw(5, 3, 4, 2), ModalityRows(visible=2, total=5)
    dual = ModalityNorm(copy.deepcopy(plain), rows)(inputs)
    norm = ModalityNorm(plain, rows, separate=True)
    outputs = norm(inputs)
    assert torch.equal(outputs, dual)
    assert torch.equal(norm.infrared.weight, weight) and torch.equal(norm.infrared.bias, bias)
    (outputs * torch.tensor([1.0, 1.0, 10.0, 10.0, 10.0]).view(5, 1, 1, 1)).sum().backward()
    # the shift's gradient counts its own rows: 2 · 8 positions, and 10 · 3 · 8
    torch.testing.assert_close(norm.norm.bias.grad, torch.full((3,), 16.0))
    torch.testing.assert_close(norm.infrared.bias.grad, torch.full((3,), 240.0))
    with torch.no_grad():
        norm.infrared.weight.mul_(2)
        changed = norm(inputs)
    assert torch.equal(changed[:2], outputs[:2])
    shift = bias.view(1, 3, 1, 1)
    torch.testing.assert_close(changed[2:] - shift, 2 * (outputs[2:] - shift))


def test_separate_norms_add_the_parameters_of_the_shared_ones():
    def affine(network: ReidModel) -> int:
        shared = (network.backbone.shared, network.head, network.shallow, network.parts)
        norms = [m for part in shared for m in part.modules()]
        return sum(
            m.weight.numel() + m.bias.numel()
            for m in norms
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and m.affine
        )

    plain = model(**{"MODEL.NORM_STATISTICS": "joint"})
    separate = model(**{"MODEL.NORM_STATISTICS": "separate"})
    plain_count, count = (sum(p.numel() for p in m.parameters()) for m in (plain, separate))
    assert count - plain_count == affine(plain) > 1000


def test_several_vectors_per_image_belong_to_their_image():
    rows = ModalityRows(visible=1, total=3)
    norm = ModalityNorm(nn.BatchNorm1d(2), rows).train()
    outputs = norm(draw(3 * 4, 2))
    torch.testing.assert_close(outputs[:4].mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs[4:].mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)


def test_parameters_are_those_of_the_plain_network():
    plain = model(**{"MODEL.NORM_STATISTICS": "joint"})
    assert sum(p.numel() for p in model().parameters()) == sum(
        p.numel() for p in plain.parameters()
    )


@pytest.mark.parametrize("shared_depth", [0, 3, 5])
def test_every_norm_behind_shared_weights_is_dual(shared_depth: int):
    network = model(**{"MODEL.SHARED_DEPTH": shared_depth})
    inner = {
        id(part) for m in network.modules() if isinstance(m, ModalityNorm) for part in m.children()
    }
    own = {
        id(m) for m in [*network.backbone.visible.modules(), *network.backbone.infrared.modules()]
    }
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert len(inner) > 20
    assert all((id(norm) in inner) != (id(norm) in own) for norm in norms)


@pytest.mark.parametrize("shared_depth", [3, 5])
def test_rows_keep_their_order_and_do_not_see_the_other_modality(shared_depth: int):
    network = model(**{"MODEL.SHARED_DEPTH": shared_depth}).train()
    images = draw(6, 3, 96, 48)
    with torch.no_grad():
        output = network(images, FLAGS)
        order = torch.tensor([4, 2, 0, 1, 5, 3])
        again = network(images[order], FLAGS[order])
        torch.testing.assert_close(again.deep.logits, output.deep.logits[order], **CLOSE)
        torch.testing.assert_close(again.parts[1].feature, output.parts[1].feature[order], **CLOSE)
        brighter = torch.where(FLAGS.view(6, 1, 1, 1), images * 3 + 1, images)
        other = network(brighter, FLAGS)
    torch.testing.assert_close(other.deep.logits[~FLAGS], output.deep.logits[~FLAGS], **CLOSE)
    assert not torch.allclose(other.deep.logits[FLAGS], output.deep.logits[FLAGS])


@pytest.mark.parametrize("statistics", ["dual", "separate"])
def test_one_modality_alone_gives_the_features_that_it_has_among_both(statistics: str):
    network = model(**{"MODEL.NORM_STATISTICS": statistics}).train()
    with torch.no_grad():
        network(draw(6, 3, 96, 48), FLAGS)
        for name, parameter in network.named_parameters():
            if name.endswith(".infrared.weight"):
                parameter.uniform_(0.5, 1.5)
    network.eval()
    deployed, images = build_inference_model(network).eval(), draw(6, 3, 96, 48, seed=1)
    with torch.no_grad():
        both = deployed(images, FLAGS)
        for flag in (True, False):
            alone = deployed(images[flag == FLAGS], FLAGS[flag == FLAGS])
            torch.testing.assert_close(alone, both[flag == FLAGS])
        swapped = deployed(images, ~FLAGS)
    assert not torch.allclose(swapped, both, atol=1e-3)


def test_frozen_statistics_stay_in_both_halves():
    network = model(**{"MODEL.BN_EVAL": True}).train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(draw(6, 3, 96, 48), FLAGS)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_statistics_of_loaded_weights_start_both_halves():
    layer = nn.Sequential(nn.BatchNorm2d(3))
    layer[0].running_mean.fill_(2.0)
    use_modality_norms(layer, ModalityRows())
    assert layer[0].infrared.running_mean.tolist() == [2.0, 2.0, 2.0]
