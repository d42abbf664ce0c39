import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.config import apply_overrides
from vireid.config.schema import default_config
from vireid.errors import DataError, UsageError
from vireid.figures.match_maps import (
    MatchImages,
    MatchMaps,
    Pairs,
    draw_match_maps,
    read_match_maps,
    require_library,
    similarity_maps,
    write_match_maps,
)
from vireid.models.build import build_model
from vireid.models.inference_model import InferenceModel, build_inference_model
from vireid.models.pooling import AvgPool
from vireid.models.two_stream import TwoStream

TINY = [
    *("MODEL.BACKBONE", "osnet_x0_25", "MODEL.PRETRAINED", "none", "INPUT.SIZE", "[64, 32]"),
    *("MODEL.MGIM.DIM", "8", "MODEL.MGIM.GRANULARITIES", "[2, 4]", "MODEL.SHARED_DEPTH", "2"),
]


class Times(nn.Module):
    """A stage that multiplies, with a weight as the library asks for."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, maps: Tensor) -> Tensor:
        return self.factor * maps


def hand_made() -> InferenceModel:
    """Visible images times 2, infrared ones times 3, both times 5; mean over places."""
    backbone = TwoStream([Times(2.0)], [Times(3.0)], [Times(5.0)])
    model = InferenceModel(backbone, aggregate=AvgPool(), bnneck=nn.Identity(), parts=None)
    return model.eval()


@pytest.fixture(scope="module")
def osnet() -> InferenceModel:
    """Two streams with random weights and statistics, global feature and part features."""
    torch.manual_seed(0)
    model, _ = build_model(apply_overrides(default_config(), TINY), 3)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
    return build_inference_model(model.eval())


def images_of(*patches: tuple[int, int, int]) -> Tensor:
    """(N, 3, 4, 2) images, each dark but for one bright value: channel, row, column."""
    images = torch.zeros(len(patches), 3, 4, 2)
    for image, (channel, row, column) in zip(images, patches, strict=True):
        image[channel, row, column] = 1.0
    return images


@pytest.mark.parametrize("method", ["hirescam", "gradcam"])
def test_a_map_is_the_closed_form_of_the_cosines_gradient(method):
    """Of a mean over places every cell has the same gradient, so that both methods agree."""
    images = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(1))
    flags = torch.tensor([True, False])
    similarity, maps = similarity_maps(
        hand_made(), images, flags, np.array([[0, 1]]), stage="conv2", method=method
    )
    values = [15 * images[0].numpy(), 10 * images[1].numpy()]  # what the last stage returns
    f, g = (value.mean(axis=(1, 2)) for value in values)
    lengths = np.linalg.norm(f), np.linalg.norm(g)
    cosine = f @ g / np.prod(lengths)
    assert similarity == pytest.approx(cosine, abs=1e-6)
    for own, other, value, found in ((f, g, values[0], maps[0, 0]), (g, f, values[1], maps[0, 1])):
        size = np.linalg.norm(own)
        slope = (other / np.linalg.norm(other) - cosine * own / size) / size / 8  # of a cell
        expected = np.maximum((slope[:, None, None] * value).sum(axis=0), 0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["hirescam", "gradcam"])
@pytest.mark.parametrize("stage", ["conv3", "conv5"])
@pytest.mark.parametrize("flip", [False, True])
def test_maps_of_two_streams_and_parts_equal_plain_gradients(osnet, method, stage, flip):
    images = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(2))
    flags = torch.tensor([False, True, True])
    pairs = np.array([[1, 0], [2, 0]])
    similarity, maps = similarity_maps(
        osnet, images, flags, pairs, stage=stage, method=method, flip=flip
    )
    kept = {}
    backbone = osnet.backbone
    hooked = {
        "conv3": [backbone.visible[2], backbone.infrared[2]],
        "conv5": [backbone.shared[1]] * 2,
    }[stage]
    for number, (query, match) in enumerate(pairs):
        for side, (own, other) in enumerate(((query, match), (match, query))):
            hook = hooked[int(flags[own])].register_forward_hook(
                lambda module, given, value: kept.update(value=value)
            )
            both = torch.stack([images[own], images[own].flip(2)][: 1 + flip])
            feature = osnet(both, flags[own].expand(len(both))).mean(dim=0)
            hook.remove()
            with torch.no_grad():
                both = torch.stack([images[other], images[other].flip(2)][: 1 + flip])
                fixed = osnet(both, flags[other].expand(len(both))).mean(dim=0)
            cosine = F.cosine_similarity(feature, fixed, dim=0)
            (gradient,) = torch.autograd.grad(cosine, kept["value"])
            weights = gradient.mean(dim=(2, 3), keepdim=True) if method == "gradcam" else gradient
            signed = (weights * kept["value"]).sum(dim=1)
            size, expected = signed.abs().max().item(), signed.relu()
            if flip:
                expected = (expected[:1] + expected[1:].flip(2)) / 2
            assert similarity[number] == pytest.approx(cosine.item(), abs=1e-5)
            difference = maps[number, side] - expected[0].detach().numpy()
            assert np.abs(difference).max() < 1e-5 * size
    assert (maps.max(axis=(2, 3)) > 0).sum() >= 2


@pytest.mark.parametrize("method", ["hirescam", "gradcam"])
def test_the_patch_that_alone_makes_two_images_alike_has_the_maximum(method):
    images = images_of((0, 2, 1), (0, 1, 0), (1, 0, 0))
    images[:2] += images_of((1, 0, 0), (2, 3, 1))  # what differs
    flags = torch.tensor([True, False, False])
    similarity, maps = similarity_maps(
        hand_made(), images, flags, np.array([[0, 1], [0, 2]]), stage="conv2", method=method
    )
    places = [np.unravel_index(one.argmax(), one.shape) for one in maps.reshape(4, 4, 2)]
    assert places[:2] == [(2, 1), (1, 0)]  # the query and its match
    assert places[2] == (0, 0)  # of the same query, where another image resembles it
    assert ((maps > 0).sum(axis=(2, 3)) == [[1, 1], [1, 0]]).all()  # the last is all alike
    assert similarity == pytest.approx([0.5, np.sqrt(0.5)])


def test_images_of_one_pair_do_not_depend_on_the_others(osnet):
    images = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(3))
    flags = torch.tensor([True, False, True, False])
    pairs = np.array([[0, 1], [2, 3], [0, 3]])
    _, whole = similarity_maps(osnet, images, flags, pairs, stage="conv5")
    _, alone = similarity_maps(osnet, images, flags, pairs[1:2], stage="conv5")
    np.testing.assert_allclose(whole[1], alone[0], atol=2e-6)
    assert not any(module._forward_hooks for module in osnet.modules())


def test_equal_images_have_an_empty_map(osnet):
    """Their cosine is the largest there is, so that no region raises it."""
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(4))
    images = torch.cat([images, images])
    pair = torch.zeros(2, dtype=torch.bool), np.array([[0, 1]])
    similarity, maps = similarity_maps(osnet, images, *pair, stage="conv5")
    assert similarity == pytest.approx(1) and not maps.any()


def test_a_stage_behind_the_exit_is_refused():
    arguments = images_of((0, 0, 0)), torch.tensor([True]), np.array([[0, 0]])
    with pytest.raises(UsageError, match="--stage conv3: this exit's stages are conv1, conv2"):
        similarity_maps(hand_made(), *arguments, stage="conv3")


def test_the_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UsageError, match=r"pip install 'vireid\[maps\]'"):
        require_library()


def some_maps(pairs: int = 4) -> MatchMaps:
    rng = np.random.default_rng(0)
    images = MatchImages(
        images=rng.integers(0, 255, (pairs + 1, 8, 4, 3), dtype=np.uint8),
        paths=np.array([f"{k}.jpg" for k in range(pairs + 1)]),
        labels=np.array([f"identity {k}" for k in range(pairs + 1)]),
        modality=np.arange(pairs + 1, dtype=np.uint8) % 2,
    )
    compared = Pairs(
        np.zeros(pairs, np.int64), np.arange(1, pairs + 1), np.array(["✓ rank 1"] * pairs)
    )
    found = rng.random(pairs), rng.random((pairs, 2, 4, 2))
    return MatchMaps(images, compared, *found, "conv5", "hirescam")


def test_the_picture_can_be_drawn_again_from_its_file(tmp_path):
    found, path = some_maps(), tmp_path / "a.npz"
    write_match_maps(path, found)
    again = read_match_maps(path)
    np.testing.assert_equal(dataclasses.asdict(again), dataclasses.asdict(found))
    for name, maps in (("one", found), ("two", again)):
        draw_match_maps(maps, tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn.count("<!-- query -->") == 2  # three pairs, and the fourth in a row of its own
    assert all(f"<!-- identity {k} -->" in drawn for k in range(1, 5))


@pytest.mark.parametrize(
    "damaged",
    [
        {"similarity": np.ones(2)},
        {"pairs": Pairs(np.full(4, 99), np.ones(4, int), np.full(4, ""))},
        {"maps": np.full((4, 2, 4, 2), np.nan)},
        {"method": "another"},
    ],
)
def test_other_files_are_refused(tmp_path, damaged):
    path = tmp_path / "a.npz"
    write_match_maps(path, dataclasses.replace(some_maps(), **damaged))
    with pytest.raises(DataError, match=r"a\.npz holds no query–match maps"):
        read_match_maps(path)
