"""Images of any mode become RGB; what cannot be read is named, before training too."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import write_image
from vireid.data import images
from vireid.data.images import read_image, read_pixels, require_readable
from vireid.data.pixels import PixelRule, Pixels
from vireid.errors import DataError


def palette(color: tuple[int, int, int]) -> Image.Image:
    image = Image.new("P", (8, 16), 1)
    image.putpalette([0, 0, 0, *color])
    return image


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", Image.new("L", (8, 16), 120), (120, 120, 120)),
        ("bits.png", Image.new("1", (8, 16), 1), (255, 255, 255)),
        ("grey_alpha.png", Image.new("LA", (8, 16), (120, 255)), (120, 120, 120)),
        ("alpha.png", Image.new("RGBA", (8, 16), (10, 20, 30, 255)), (10, 20, 30)),
        ("palette.png", palette((10, 20, 30)), (10, 20, 30)),
        ("palette.bmp", palette((10, 20, 30)), (10, 20, 30)),
        ("grey.bmp", Image.new("L", (8, 16), 120), (120, 120, 120)),
        ("cmyk.jpg", Image.new("CMYK", (8, 16), (0, 255, 255, 0)), (255, 0, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_image_of_any_mode_becomes_three_channels_of_uint8(tmp_path, name, image, expected):
    image.save(tmp_path / name)
    read = np.asarray(read_image(tmp_path / name))
    assert (read.dtype, read.shape) == (np.uint8, (16, 8, 3))
    assert np.abs(read.astype(int) - expected).max() <= (3 if name.endswith("jpg") else 0)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey16.png", Image.new("I;16", (8, 16), 120 * 256 + 99), 120),
        ("white16.png", Image.new("I;16", (8, 16), 65535), 255),
        ("dark16.png", Image.new("I;16", (8, 16), 255), 1),
        ("grey16.tif", Image.new("I;16B", (8, 16), 120 * 256), 120),
        ("grey32.tif", Image.new("I", (8, 16), 120 * 257), 120),
        ("float.tif", Image.new("F", (8, 16), 120 * 257.25), 120),
    ],
)
def test_deep_images_of_every_mode_follow_the_range(tmp_path, name, image, expected):
    image.save(tmp_path / name)
    read = np.asarray(read_image(tmp_path / name, PixelRule((0, 65_535))))
    assert (read.dtype, read.shape) == (np.uint8, (16, 8, 3))
    assert (read == expected).all()


def test_a_rule_does_not_touch_images_of_eight_bits(tmp_path):
    noise(tmp_path / "a.png")
    plain = np.asarray(read_image(tmp_path / "a.png"))
    for limits in ((0, 10), "percentile"):
        read = read_image(tmp_path / "a.png", PixelRule(limits, (1, 2, 3)))
        np.testing.assert_array_equal(read, plain)


def noise(path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
def test_a_truncated_image_is_found_without_decoding_all(tmp_path, suffix, share):
    names = [f"a.{suffix}", f"b.{suffix}"]
    _, bad = (noise(tmp_path / name) for name in names)
    require_readable(tmp_path, names)
    content = bad.read_bytes()
    bad.write_bytes(content[: int(share * len(content))])
    for find in (lambda: require_readable(tmp_path, names), lambda: read_image(bad)):
        with pytest.raises(DataError, match=f"image {bad} cannot be decoded"):
            find()


def test_unreadable_images_are_counted_and_the_first_is_named(tmp_path):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(DataError) as error:
        require_readable(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    phrase = f"the first: image {tmp_path / 'b.jpg'} cannot be decoded"
    assert str(error.value).startswith(f"2 of 3 images cannot be read, {phrase}")


def test_whole_files_are_not_decoded_and_odd_ones_get_the_benefit_of_the_doubt(
    tmp_path, monkeypatch
):
    for name in ("a.jpg", "b.png", "padded.jpg"):
        noise(tmp_path / name)
    with (tmp_path / "padded.jpg").open("ab") as file:
        file.write(bytes(10))
    decoded = []

    def record(path: Path) -> Pixels:
        decoded.append(path.name)
        return read_pixels(path)

    monkeypatch.setattr(images, "read_pixels", record)
    require_readable(tmp_path, ["a.jpg", "b.png", "padded.jpg"])
    assert decoded == ["padded.jpg"]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"


def test_a_program_for_a_printer_is_no_image_whatever_it_is_called(tmp_path):
    """Pillow would start Ghostscript to run it."""
    (tmp_path / "a.jpg").write_bytes(EPS)
    with pytest.raises(DataError, match="not an image of the kinds JPEG, PNG, BMP"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="not an image of the kinds"):
        require_readable(tmp_path, ["a.jpg"])


def test_more_pixels_than_any_camera_takes_are_not_decoded(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", (10, 11))
    monkeypatch.setattr(images, "MOST_PIXELS", 110)
    assert read_image(tmp_path / "a.png").size == (11, 10)
    monkeypatch.setattr(images, "MOST_PIXELS", 109)
    with pytest.raises(DataError, match="11 × 10 pixels, where 1 to 109 are allowed"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="11 × 10 pixels"):
        require_readable(tmp_path, ["a.png"])
