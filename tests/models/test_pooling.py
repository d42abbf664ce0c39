import pytest
import torch

from vireid.models.pooling import AvgPool, GeMPool, gem


@pytest.mark.parametrize("exponent", [1.0, 3.0, 6.5, 30.0])
@pytest.mark.parametrize("value", [1e-5, 0.25, 4.0, 1000.0])
def test_gem_of_a_constant_map_is_the_constant(exponent: float, value: float):
    pooled = gem(torch.full((1, 2, 3, 4), value), exponent)
    torch.testing.assert_close(pooled, torch.full((1, 2), value), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("exponent", "expected"), [(1.0, 0.5), (2.0, 2**0.5), (3.0, 2.0), (6.0, 8**0.5)]
)
def test_gem_of_one_active_position_is_its_value_over_the_root_of_the_count(
    exponent: float, expected: float
):
    maps = torch.zeros(1, 1, 2, 4)
    maps[0, 0, 1, 2] = 4.0  # 4 / 8 ** (1 / p)
    assert gem(maps, exponent).item() == pytest.approx(expected, abs=1e-5)


def test_gem_clamps_negative_values():
    assert gem(torch.full((1, 1, 2, 2), -3.0), 3.0).item() == pytest.approx(1e-6, rel=1e-5)


def test_gem_with_exponent_one_is_the_mean():
    maps = torch.rand(2, 3, 5, 4) + 0.1
    torch.testing.assert_close(gem(maps, 1.0), maps.mean(dim=(2, 3)))


def test_gem_grows_with_its_exponent_towards_the_maximum():
    maps = torch.rand(2, 3, 5, 4, dtype=torch.float64) + 0.1
    pooled = torch.stack([gem(maps, p) for p in (1.0, 2.0, 4.0, 16.0, 64.0, 2000.0)])
    assert (pooled.diff(dim=0) > 0).all()
    torch.testing.assert_close(pooled[-1], maps.amax(dim=(2, 3)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("exponent", [3.0, 8.0, 20.0])
@pytest.mark.parametrize("peak", [0.0, 1e-3, 500.0])
def test_gem_and_its_gradients_stay_finite_for_any_scale(exponent: float, peak: float):
    """A channel of zeros has powers below float32's range from p = 8 on."""
    maps = (torch.rand(2, 3, 4, 4) * peak).requires_grad_()
    learnt = torch.tensor([exponent], requires_grad=True)
    pooled = gem(maps, learnt)
    pooled.sum().backward()
    assert maps.grad is not None and learnt.grad is not None
    assert maps.grad.isfinite().all() and learnt.grad.isfinite().all()
    top = maps.detach().clamp(min=1e-6).amax(dim=(2, 3))
    assert ((pooled > 0) & (pooled <= top * 1.00001)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_gem_is_computed_in_float32_under_autocast(dtype: torch.dtype):
    maps = (100 * torch.rand(2, 3, 5, 4)).to(dtype)  # a cube of 100 overflows float16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = GeMPool(3.0)(maps)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, gem(maps.float(), torch.tensor([3.0])))


def test_gem_keeps_float64():
    assert gem(torch.rand(1, 2, 3, 3, dtype=torch.float64), 3.0).dtype == torch.float64


@pytest.mark.parametrize("exponent", [1.5, 3.0])
def test_gem_gradients_match_finite_differences(exponent: float):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 2, 3, 2, dtype=torch.float64, generator=generator) + 0.2
    learnt = torch.tensor([exponent], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gem, (maps.requires_grad_(), learnt))


def test_gem_exponent_is_learnt_from_its_initial_value():
    pool = GeMPool(4.5)
    assert [(n, p.tolist()) for n, p in pool.named_parameters()] == [("exponent", [4.5])]
    maps = torch.rand(1, 2, 3, 3)
    torch.testing.assert_close(pool(maps), gem(maps, 4.5))  # a power by a tensor rounds otherwise


def test_average_pool_has_no_parameters_and_keeps_negative_values():
    maps = torch.tensor([[[[1.0, -3.0]], [[2.0, 6.0]]]])
    assert AvgPool()(maps).tolist() == [[-1.0, 4.0]]
    assert list(AvgPool().parameters()) == []
