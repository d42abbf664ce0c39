"""Directional poolings against plain loops, one another and global average pooling."""

import pytest
import torch
from torch import Tensor

from vireid.models.directional_pooling import (
    DIRECTIONS,
    DirectionalMean,
    DirectionalPool,
    line_of_position,
)
from vireid.models.pooling import AvgPool

SIDES = (1, 2, 3, 7)
FOUR = DIRECTIONS[:4]


def maps_of(side: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randn(2, channels, side, side, generator=generator, dtype=torch.float64)


def mean_of(direction: str, side: int, mode: str = "linear") -> DirectionalMean:
    return DirectionalMean(direction, side, mode=mode).double()


def pool_of(directions=FOUR, *, side=3, channels=2, separate=False, **options) -> DirectionalPool:
    options = {"side": side, "channels": channels, "separate": separate, **options}
    return DirectionalPool(directions, **options).double()


@pytest.mark.parametrize("side", SIDES)
def test_linear_diagonals_equal_a_loop_over_torch_diagonal(side: int):
    maps = maps_of(side)
    offsets = range(-side + 1, side)
    diagonals = [maps.diagonal(k, dim1=2, dim2=3).mean(dim=2) for k in offsets]
    found = mean_of("diagonal", side)(maps)
    assert found.shape == (2, 3, 2 * side - 1)
    torch.testing.assert_close(found, torch.stack(diagonals, dim=2))
    # Column + row is constant along the diagonals of the map mirrored left to right, last first.
    mirrored = [maps.flip(3).diagonal(side - 1 - k, dim1=2, dim2=3) for k in range(2 * side - 1)]
    expected = torch.stack([diagonal.mean(dim=2) for diagonal in mirrored], dim=2)
    torch.testing.assert_close(mean_of("antidiagonal", side)(maps), expected)


@pytest.mark.parametrize("side", SIDES)
def test_wrapped_diagonals_equal_a_loop_that_goes_on_at_the_other_edge(side: int):
    maps = maps_of(side)
    for direction, sign in (("diagonal", 1), ("antidiagonal", -1)):
        expected = torch.zeros(2, 3, side, dtype=torch.float64)
        for k in range(side):
            for row in range(side):
                expected[:, :, k] += maps[:, :, row, (k + sign * row) % side] / side
        torch.testing.assert_close(mean_of(direction, side, "wrap")(maps), expected)


def test_values_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]], dtype=torch.float64)
    expected = {
        "horizontal": [1.5, 4.0],
        "vertical": [2.0, 3.5],
        "diagonal": [3.0, 3.0, 2.0],  # the corner below, the diagonal, the corner above
        "antidiagonal": [1.0, 2.5, 5.0],
        "global": [2.75],
    }
    for direction, values in expected.items():
        assert mean_of(direction, 2)(maps).flatten().tolist() == values
    assert mean_of("diagonal", 2, "wrap")(maps).flatten().tolist() == [3.0, 2.5]
    assert mean_of("antidiagonal", 2, "wrap")(maps).flatten().tolist() == [3.0, 2.5]


@pytest.mark.parametrize("side", SIDES)
def test_means_of_lines_of_one_length_equal_global_average_pooling(side: int):
    maps = maps_of(side)
    average = AvgPool()(maps)
    for direction in DIRECTIONS:
        lines = mean_of(direction, side, "wrap")(maps)
        torch.testing.assert_close(lines.mean(dim=2), average, rtol=0, atol=1e-15)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_position_belongs_to_one_line(direction: str):
    lines = line_of_position(direction, 4)
    assert lines.shape == (16,)
    mean = DirectionalMean(direction, 4)
    assert mean.length == int(lines.max()) + 1 == len(set(lines.tolist()))
    assert mean.counts.tolist() == torch.bincount(lines).tolist()
    assert mean.members.sum(dim=1).tolist() == [1.0] * 16
    assert not mean.state_dict()  # fixed: no checkpoint holds it


@pytest.mark.parametrize("spatial_norm", ["branch", "channel", "none"])
@pytest.mark.parametrize("mode", ["linear", "wrap"])
@pytest.mark.parametrize("separate", [False, True])
def test_gradients_in_float64(mode: str, spatial_norm: str, separate: bool):
    pool = pool_of(channels=1, mode=mode, spatial_norm=spatial_norm, separate=separate)
    maps = maps_of(3, 4 if separate else 1)[:1].requires_grad_()
    assert torch.autograd.gradcheck(pool, maps)


def test_lengths_of_the_joint_vector():
    """SDC-CNN at 128 × 128: 192 channels, a map of 4 × 4."""
    linear, wrap = (pool_of(side=4, channels=192, mode=mode) for mode in ("linear", "wrap"))
    assert linear.dims == (768, 768, 1344, 1344) and sum(linear.dims) == 4224
    assert wrap.dims == (768,) * 4 and sum(wrap.dims) == 3072
    assert pool_of(("global",) * 4, side=4, channels=192).dims == (192,) * 4


def test_spatial_norms():
    maps = maps_of(3, 2)
    lines = mean_of("diagonal", 3)(maps)
    plain = pool_of(("diagonal",), spatial_norm="none")(maps)
    torch.testing.assert_close(plain, lines.flatten(1))
    branch = pool_of(("diagonal", "vertical"), spatial_norm="branch")(maps)
    torch.testing.assert_close(branch[:, :10], plain / plain.norm(dim=1, keepdim=True))
    torch.testing.assert_close(branch[:, 10:].norm(dim=1), torch.ones(2, dtype=torch.float64))
    channel = pool_of(("diagonal",), spatial_norm="channel")(maps).view(2, 2, 5)
    torch.testing.assert_close(channel, lines / lines.norm(dim=2, keepdim=True))


def test_separate_branches_pool_their_own_channels():
    maps = maps_of(3, 8)
    found = pool_of(separate=True, spatial_norm="none")(maps)
    for number, direction in enumerate(FOUR):
        own = mean_of(direction, 3)(maps[:, 2 * number : 2 * number + 2]).flatten(1)
        start = sum(pool_of().dims[:number])
        torch.testing.assert_close(found[:, start : start + own.shape[1]], own)


def test_half_precision_maps_are_averaged_in_float32():
    maps = torch.full((1, 2, 3, 3), 60000.0, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pool_of(spatial_norm="none").float()(maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full_like(found, 60000.0 // 32 * 32))


@pytest.mark.parametrize("shape", [(3, 2), (4, 4)])
def test_maps_of_another_size_are_refused(shape: tuple[int, int]):
    with pytest.raises(ValueError, match=r"built for 3 × 3: images must have"):
        pool_of()(torch.zeros(1, 2, *shape))


def test_unknown_names_are_refused():
    for options in ({"directions": ("up",)}, {"mode": "round"}, {"spatial_norm": "l1"}):
        with pytest.raises(ValueError, match="choose one of"):
            pool_of(**options)
