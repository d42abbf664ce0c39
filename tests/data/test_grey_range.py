"""``auto``: one range for all images of a modality that have more than eight bits."""

import numpy as np
import pytest
from PIL import Image

from tests.data.image_files import write_tiff
from vireid.data.grey_range import find_range
from vireid.data.images import decoded_header, read_image
from vireid.data.pixels import PixelRule, Pixels

RANDOM = np.random.default_rng(0)


def limits_of(*arrays: np.ndarray) -> tuple[float, float]:
    return find_range(
        {f"{k}.png": Pixels(None, array).value_range() for k, array in enumerate(arrays)}
    ).limits


def spread(low: float, high: float, kind: str, shape: tuple[int, int] = (64, 32)) -> np.ndarray:
    """Values from ``low`` to ``high``, in a random order."""
    values = np.linspace(low, high, shape[0] * shape[1]).astype(kind)
    return RANDOM.permutation(values).reshape(shape)


@pytest.mark.parametrize("bits", range(9, 16))
def test_nine_to_fifteen_bits_span_their_values(bits):
    most = 2**bits - 1
    low, high = limits_of(*(spread(0, most, "u2") for _ in range(3)))
    assert 0 <= low <= 0.003 * most and 0.997 * most <= high <= most


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(27_315, 31_515, "u2"), (-12.5, 41.25, "f4"), (-12.5, 41.25, "f8"), (-2000, 3000, "i2")]
    + [(10, 40, "f4"), (0.25, 0.4, "f4"), (100_000, 900_000, "i4"), (-4, -1, "f4")],
)
def test_counts_centikelvin_and_degrees_span_their_values(low, high, kind):
    found = limits_of(spread(low, high, kind), spread(low, (low + high) / 2, kind))
    assert found == pytest.approx((low, high), abs=0.004 * (high - low))


@pytest.mark.parametrize(
    ("arrays", "limits"),
    [
        ([spread(0, 65_535, "u2")], (0, 65_535)),
        ([spread(0, 30_000, "u2"), spread(9000, 50_000, "u2")], (0, 65_535)),
        ([spread(0, 200, "u2")], (0, 255)),
        ([spread(20, 35, "i4"), spread(20, 25, "i4")], (0, 255)),
        ([spread(0, 1, "f4")], (0, 1)),
        ([spread(0.1, 0.3, "f4"), spread(0.2, 0.9, "f8")], (0, 1)),
        ([spread(0, 255, "f4")], (0, 255)),
    ],
)
def test_usual_ranges_that_are_filled_are_kept(arrays, limits):
    assert limits_of(*arrays) == limits


@pytest.mark.parametrize("hot", [65_535, 40_000])
def test_isolated_hot_and_dead_pixels_do_not_count(hot):
    arrays = [spread(7000, 9000, "u2") for _ in range(5)]
    for array in arrays:
        array[3, 4], array[9, 9], array[0, 0] = hot, 0, hot
    low, high = limits_of(*arrays)
    assert 7000 <= low <= 7010 and 8990 <= high <= 9000


def test_one_image_of_a_thousand_does_not_count():
    arrays = [np.full((4, 4), 3000 + k, np.uint16) for k in range(2000)]
    arrays[7][:] = 65_535
    assert limits_of(*arrays) == (3002, 4998)


def test_a_single_value_is_black():
    low, high = limits_of(np.full((4, 4), 700, np.uint16))
    assert low == 700 < high


def test_the_range_names_the_images_that_it_is_from():
    values = {name: Pixels(None, spread(*at, "u2")).value_range() for name, at in SPANS.items()}
    found = find_range(values)
    assert (found.lowest, found.highest, found.images) == ("cold.png", "hot.png", 3)
    assert str(found).endswith(
        "3 images of more than eight bits (lowest in cold.png, highest in hot.png)"
    )


SPANS = {"cold.png": (100, 1500), "mild.png": (200, 1600), "hot.png": (300, 3000)}


def test_a_set_of_full_sixteen_bits_is_divided_by_257(tmp_path):
    """As version 0.1 did."""
    values = spread(0, 65_535, "u2")
    Image.fromarray(values).save(tmp_path / "a.png")
    limits = find_range({"a.png": decoded_header(tmp_path, "a.png").values}).limits
    read = np.asarray(read_image(tmp_path / "a.png", PixelRule(limits)))
    np.testing.assert_array_equal(read[..., 0], np.rint(values / 257))


def test_min_is_white_files_share_the_range_of_the_others(tmp_path):
    values = spread(2000, 6000, "u2")
    write_tiff(tmp_path / "a.tif", values)
    write_tiff(tmp_path / "b.tif", values, photometric=0)
    names = ("a.tif", "b.tif")
    limits = find_range({n: decoded_header(tmp_path, n).values for n in names}).limits
    black, white = (np.asarray(read_image(tmp_path / n, PixelRule(limits))) for n in names)
    assert np.abs(black.astype(int) + white - 255).max() == 0
