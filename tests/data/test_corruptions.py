"""Corruptions: shapes, effects, published constants, and the draw by seed and path."""

import colorsys
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vireid.data.corruptions import CORRUPTIONS, KINDS, SEVERITIES, corrupt
from vireid.data.corruptions.arrays import convolved, moved, zoomed
from vireid.data.corruptions.blur import _neighbours
from vireid.data.corruptions.draw import CorruptionRule, DrawnCorruption
from vireid.structures import Modality
from vireid.synthetic.cameras import sysu_cameras
from vireid.synthetic.writers import Shot, Studio

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
# With the published constants, a step of severity can leave images as alike or more alike: other
# iterations (glass), another weight of the image (frost), other clouds of the same amount (fog),
# less colour that becomes more (saturate).
FALLS_AFTER = {"glass_blur": {3}, "frost": {3}, "fog": {3, 4}, "saturate": {2}}


@cache
def persons():
    """Four rendered persons, two indoors and two outdoors; (144, 72, 3) uint8."""
    studio = Studio(sysu_cameras(np.random.default_rng(0)), seed=0, size=(144, 72))
    return [studio.picture(Shot(pid, camera, 1, "")) for pid, camera in enumerate((1, 2, 4, 5), 1)]


def picture(seed=0, height=96, width=48):
    """A person at another size; (H, W, 3) uint8."""
    return np.array(Image.fromarray(persons()[seed % 4]).resize((width, height)))


def distance(kind, severity, pictures):
    changed = [
        corrupt(one, kind, severity, np.random.default_rng([seed, 7])).astype(float) - one
        for seed, one in enumerate(pictures)
    ]
    return float(np.mean([np.sqrt(np.mean(one**2)) for one in changed]))


def test_there_are_twenty_kinds_and_one_less_for_infrared_images():
    assert len(CORRUPTIONS) == len(KINDS[VISIBLE]) == 20
    assert set(KINDS[VISIBLE]) - set(KINDS[INFRARED]) == {"saturate"}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_severity_moves_images_away_from_the_clean_ones(kind):
    distances = [distance(kind, severity, persons()) for severity in SEVERITIES]
    falls = {k + 1 for k, (low, high) in enumerate(pairwise(distances)) if high <= low}
    assert falls <= FALLS_AFTER.get(kind, set()), distances
    assert distances[0] > 0.5 and distances[-1] > distances[0]


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("size", [(33, 17), (32, 16), (5, 3), (1, 1)])
@pytest.mark.filterwarnings("error")
def test_any_size_stays_as_it_is(kind, size):
    image = picture(1, *size)
    image.setflags(write=False)
    for severity in SEVERITIES:
        first, again = (corrupt(image, kind, severity, np.random.default_rng(3)) for _ in "ab")
        assert first.dtype == np.uint8 and first.shape == image.shape
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("kind", KINDS[INFRARED])
def test_a_grey_infrared_image_stays_grey(kind):
    grey = np.repeat(picture(2, 40, 20)[..., :1], 3, axis=2)
    result = corrupt(grey, kind, 4, np.random.default_rng(0), one_channel=True)
    assert result.shape == grey.shape and (result == result[..., :1]).all()
    assert (result != grey).any()


def test_plain_images_survive_every_kind():
    for value in (0, 255):
        flat = np.full((20, 10, 3), value, dtype=np.uint8)
        for kind in CORRUPTIONS:
            for severity in SEVERITIES:
                assert corrupt(flat, kind, severity, np.random.default_rng(0)).shape == flat.shape


def test_published_constants_of_noise_and_exposure():
    grey = np.full((200, 200, 3), 102, dtype=np.uint8)  # 0.4
    rng = np.random.default_rng(0)
    assert corrupt(grey, "gaussian_noise", 1, rng).std() / 255 == pytest.approx(0.08, rel=0.02)
    assert corrupt(grey, "shot_noise", 2, rng).std() / 255 == pytest.approx(
        np.sqrt(0.4 / 25), rel=0.02
    )
    assert corrupt(grey, "speckle_noise", 2, rng).std() / 255 == pytest.approx(0.4 * 0.2, rel=0.02)
    replaced = corrupt(grey, "impulse_noise", 5, rng) != 102
    assert replaced.mean() == pytest.approx(0.27, abs=0.01)
    two = np.array([[[40, 80, 200]], [[140, 180, 0]]], dtype=np.uint8)
    expected = np.trunc((two - two.mean(axis=(0, 1))) * 0.4 + two.mean(axis=(0, 1)))
    np.testing.assert_allclose(corrupt(two, "contrast", 1, rng), expected, atol=1)


def test_brightness_and_saturation_follow_hsv():
    colours = picture(4, 12, 12)
    for kind, severity, change in (
        ("brightness", 3, lambda h, s, v: (h, s, min(1, v + 0.3))),
        ("saturate", 1, lambda h, s, v: (h, s * 0.3, v)),
        ("saturate", 5, lambda h, s, v: (h, min(1, s * 20 + 0.2), v)),
    ):
        result = corrupt(colours, kind, severity, np.random.default_rng(0)).reshape(-1, 3)
        for before, after in zip(colours.reshape(-1, 3) / 255, result, strict=True):
            wanted = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*before)))
            np.testing.assert_allclose(after, np.array(wanted) * 255, atol=1.01)


def test_zoom_keeps_the_corners_of_its_middle():
    ramp = np.tile(np.arange(9, dtype=np.float32), (9, 1))
    np.testing.assert_allclose(zoomed(ramp, 1), ramp)
    np.testing.assert_allclose(zoomed(ramp, 2)[0], np.linspace(2, 6, 10)[:9], atol=1e-6)


def test_motion_repeats_the_edge_and_keeps_the_sum_of_weights():
    flat = np.full((6, 4, 3), 0.25, dtype=np.float32)
    np.testing.assert_allclose(moved(flat, radius=20, sigma=15, angle=-30), flat, rtol=1e-5)
    dot = np.zeros((5, 9), dtype=np.float32)
    dot[2, 5] = 1
    weights = np.exp(-np.array([0, 1, 4]) / 2)
    trail = moved(dot, radius=1, sigma=1, angle=0)[2, [5, 4, 3]]
    np.testing.assert_allclose(trail, weights / weights.sum(), rtol=1e-5)


def test_convolution_equals_plain_loops_with_mirrored_edges():
    rng = np.random.default_rng(0)
    image = rng.random((7, 5, 2), dtype=np.float32)
    kernel = rng.random((3, 3))
    kernel = (kernel + kernel[::-1, ::-1]) / 2
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    expected = np.zeros_like(image)
    for row in range(7):
        for column in range(5):
            window = padded[row : row + 3, column : column + 3]
            expected[row, column] = (window * kernel[..., None]).sum((0, 1))
    np.testing.assert_allclose(convolved(image, kernel), expected, rtol=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_equals_the_published_loop_over_pixels(reach):
    height, width = 14, 11
    steps = np.random.default_rng(5).integers(
        -reach, reach, size=(2, height - 2 * reach, width - 2 * reach)
    )
    expected = np.arange(height * width).reshape(height, width)
    for row in range(height - reach, reach, -1):
        for column in range(width - reach, reach, -1):
            if row < height and column < width:
                down, right = steps[:, row - reach - 1, column - reach - 1]
                place = min(row + down, height - 1), min(column + right, width - 1)
                expected[row, column] = expected[place]
    found = _neighbours(height, width, reach, np.random.default_rng(5))
    np.testing.assert_array_equal(found, expected.ravel())


@pytest.mark.parametrize(("severity", "area", "length"), [(1, 770, 10), (3, 600, 30), (5, 500, 60)])
def test_rain_draws_as_many_drops_as_published(severity, area, length):
    grey = np.full((400, 300, 3), 128, dtype=np.uint8)
    darkened = int(128 - 255 * (0.05 + 0.05 * severity))
    bright = (400 * 300 // area) * (length + 1) * (200 - 128) / (400 * 300)
    rain = corrupt(grey, "rain", severity, np.random.default_rng(0))
    assert rain.mean() - darkened == pytest.approx(bright, rel=0.15)  # some drops overlap


def test_the_draw_is_a_function_of_seed_and_path():
    rule = CorruptionRule(seed=0)
    assert rule.draw("cam1/0001/0001.jpg", VISIBLE) == DrawnCorruption(
        "rain", 3, 49061136839446691175714030964139144661
    )


def test_kinds_and_severities_are_drawn_evenly_and_independently():
    rule = CorruptionRule()
    drawn = [rule.draw(f"cam1/{k:05}.jpg", VISIBLE) for k in range(20_000)]
    pairs = Counter((one.kind, one.severity) for one in drawn)
    assert len(pairs) == 100
    assert 140 < min(pairs.values()) and max(pairs.values()) < 260  # 200 ± 4 standard deviations
    assert len({one.seed for one in drawn}) == len(drawn)


def test_a_rule_restricts_kinds_severity_and_side():
    rule = CorruptionRule(frozenset({INFRARED}), ("fog", "snow"), severity=2, seed=1)
    drawn = {rule.draw(f"{k}.jpg", INFRARED) for k in range(40)}
    assert {(one.kind, one.severity) for one in drawn} == {("fog", 2), ("snow", 2)}
    image = Image.fromarray(picture())
    assert rule.apply(image, "0.jpg", VISIBLE) is image
    changed = rule.apply(image, "0.jpg", INFRARED)
    assert changed.size == image.size and changed.tobytes() != image.tobytes()
    assert rule.apply(image, "0.jpg", INFRARED).tobytes() == changed.tobytes()
    other = CorruptionRule(frozenset({INFRARED}), ("fog", "snow"), severity=2, seed=2)
    assert other.apply(image, "0.jpg", INFRARED).tobytes() != changed.tobytes()
