"""Orientation, transparency, min-is-white and more than eight bits, in every kind of file."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.data.image_files import write_png16, write_tiff
from vireid.data.images import decoded_header, read_header, read_image, require_readable
from vireid.data.pixels import (
    BACKGROUND,
    PERCENTILE,
    PLAIN,
    PixelRule,
    array_as_rgb,
    as_rgb,
    checked_range,
    eight_bits,
)
from vireid.errors import DataError

# How a stored array becomes the picture, by EXIF orientation (row 0 and column 0 of the file are
# at the side that CIPA DC-008 names).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
LOSSLESS = {"png": {}, "tif": {}, "webp": {"lossless": True}, "jpg": {"quality": 100}}
GRADIENT = np.arange(16 * 8, dtype=np.uint8).reshape(16, 8)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def quadrants() -> np.ndarray:
    """(48, 32, 3): four colours, so that each orientation gives another picture."""
    array = np.zeros((48, 32, 3), np.uint8)
    array[:24, :16], array[:24, 16:], array[24:, :16] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    return array


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_orientation_is_turned_upright(tmp_path, suffix, orientation):
    stored, path = quadrants(), tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif_of(orientation), **LOSSLESS[suffix])
    wanted = UPRIGHT[orientation](stored).astype(int)
    with Image.open(path) as opened:
        pictures = [read_image(path), as_rgb(opened, PLAIN), as_rgb(opened.convert("RGB"), PLAIN)]
    for found in pictures:  # of a converted image, too
        wrong = np.abs(np.asarray(found).astype(int) - wanted)
        assert wrong.shape == wanted.shape and wrong.mean() < (4 if suffix == "jpg" else 1e-9)
    header, _ = read_header(tmp_path, path.name)
    assert header.turned == (orientation != 1)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_tiffs_that_pillow_maps_into_memory_are_turned(tmp_path, mode, orientation):
    stored = quadrants()
    grey = Image.fromarray(stored).convert("L")
    image = Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.tif", exif=exif_of(orientation))
    rule = PixelRule((0, 65535))
    wanted = UPRIGHT[orientation](np.asarray(grey).astype(int))
    with Image.open(tmp_path / "a.tif") as opened:
        found = np.asarray(as_rgb(opened, rule).convert("L"))
        assert Path(opened.filename).name == "a.tif"
    assert found.shape == wanted.shape and np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("orientation", [2, 5, 6, 8])
def test_deep_images_are_turned_too(tmp_path, orientation):
    values = np.arange(16 * 8, dtype=np.uint16).reshape(16, 8) * 100
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif_of(orientation))
    write_tiff(tmp_path / "a.tif", values, orientation=orientation)
    wanted = UPRIGHT[orientation](np.rint(values * (255 / 12_700)))
    for name in ("a.png", "a.tif"):
        read = np.asarray(read_image(tmp_path / name, PixelRule((0, 12_700))))
        np.testing.assert_array_equal(read[..., 0], wanted)


@pytest.mark.parametrize(
    "damaged", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", b"nonsense", b""]
)
def test_damaged_exif_turns_nothing(tmp_path, damaged):
    Image.fromarray(quadrants()).save(tmp_path / "a.png")
    plain = np.asarray(read_image(tmp_path / "a.png"))
    Image.fromarray(quadrants()).save(tmp_path / "b.png", exif=damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(read_image(tmp_path / "b.png"), plain)
        assert not read_header(tmp_path, "b.png")[0].turned


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, value):
    Image.fromarray(quadrants()).save(tmp_path / "a.png", exif=exif_of(value))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), quadrants())


def half_transparent(mode: str) -> tuple[Image.Image, tuple[int, int, int]]:
    """An image whose upper half is transparent, and the colour of the lower half."""
    if mode in ("P with key", "L with key", "RGB with key"):
        name = mode.split()[0]
        image = Image.new(name, (8, 16), 3 if name != "RGB" else (3, 3, 3))
        image.paste(90 if name != "RGB" else (90, 80, 70), (0, 8, 8, 16))
        if name == "P":
            image.putpalette([k for value in range(256) for k in (value, value // 2, 7)])
            return image, (90, 45, 7)
        return image, (90, 90, 90) if name == "L" else (90, 80, 70)
    grey = mode in ("LA", "La")
    image = Image.new("LA" if grey else "RGBA", (8, 16), (200, 0) if grey else (200, 150, 100, 0))
    image.paste((200, 255) if grey else (200, 150, 100, 255), (0, 8, 8, 16))
    if mode == "PA":
        image = image.convert("RGB").convert("P").convert("PA")
        image.putalpha(Image.fromarray(np.repeat([0, 255], 64).astype(np.uint8).reshape(16, 8)))
        lower = image.convert("RGB").getpixel((0, 15))
        return image, lower
    colour = (200, 200, 200) if grey else (200, 150, 100)
    return image.convert({"La": "La", "RGBa": "RGBa"}.get(mode, image.mode)), colour


KEYS = {"P with key": 3, "L with key": 3, "RGB with key": (3, 3, 3)}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La", *KEYS])
def test_transparent_pixels_show_the_background(tmp_path, mode):
    image, colour = half_transparent(mode)
    rule = PixelRule(background=(0, 250, 5))
    if mode in ("RGBA", "LA", *KEYS):
        image.save(tmp_path / "a.png", **({"transparency": KEYS[mode]} if mode in KEYS else {}))
        for ground in (rule.background, BACKGROUND):
            read = read_image(tmp_path / "a.png", PixelRule(background=ground))
            assert read.getpixel((3, 2)) == ground and read.getpixel((3, 12)) == colour
        (header,) = require_readable(tmp_path, ["a.png"])
        assert header.alpha and header.transparent
    if mode not in KEYS:
        read = as_rgb(image, rule)
        assert read.getpixel((3, 2)) == (0, 250, 5) and read.getpixel((3, 12)) == colour


def test_half_a_share_of_alpha_is_half_a_share_of_the_image():
    image = Image.new("RGBA", (4, 4), (200, 100, 0, 128))
    found = as_rgb(image, PixelRule(background=(0, 0, 0))).getpixel((0, 0))
    assert found == pytest.approx((100, 50, 0), abs=1)


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    image = Image.fromarray(quadrants())
    image.convert("RGBA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), quadrants())
    (header,) = require_readable(tmp_path, ["a.png"])
    assert header.alpha and not header.transparent


TYPES = ("<u1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
def test_min_is_white_is_the_negative_of_min_is_black(tmp_path, kind, order, compressed):
    values = GRADIENT.astype(kind)
    how = {"order": order, "compressed": compressed}
    write_tiff(tmp_path / "black.tif", values, **how)
    write_tiff(tmp_path / "white.tif", values, photometric=0, **how)
    black, white = (
        np.asarray(read_image(tmp_path / name, PixelRule((0, 255)))).astype(int)
        for name in ("black.tif", "white.tif")
    )
    np.testing.assert_array_equal(black[..., 0], GRADIENT)
    np.testing.assert_array_equal(white, 255 - black)
    assert read_header(tmp_path, "white.tif")[0].white_is_zero
    assert not read_header(tmp_path, "black.tif")[0].white_is_zero


def test_min_is_white_of_one_bit(tmp_path):
    image = Image.fromarray(GRADIENT > 60)
    image.save(tmp_path / "a.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(
        np.asarray(read_image(tmp_path / "a.tif"))[..., 0], 255 * (GRADIENT > 60).astype(int)
    )


@pytest.mark.parametrize("bits", range(9, 17))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_nine_to_sixteen_bits_use_all_grey_levels(tmp_path, bits, suffix):
    most = 2**bits - 1
    values = np.linspace(0, most, 512).round().astype(np.uint16).reshape(32, 16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    read = np.asarray(read_image(tmp_path / f"a.{suffix}", PixelRule((0, most))))[..., 0]
    np.testing.assert_array_equal(read, np.rint(values * (255 / most)))
    assert len(np.unique(read)) == 256


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("<i2", -2000, 3000), ("<i4", -70_000, 900_000), ("<u4", 0, 4_000_000_000), ("<i2", -40, 90)]
    + [("<f4", -12.5, 41.25), ("<f8", -12.5, 41.25), ("<u2", 27_315, 31_515)],
)
def test_values_of_any_number_type_follow_the_range(tmp_path, kind, low, high, order, compressed):
    values = np.linspace(low, high, 128).astype(kind).reshape(16, 8)
    write_tiff(tmp_path / "a.tif", values, order=order, compressed=compressed)
    read = np.asarray(read_image(tmp_path / "a.tif", PixelRule((low, high))))[..., 0]
    wanted = (values.astype(np.float64) - low) * (255 / (high - low))
    assert np.abs(read - wanted).max() <= 0.51
    header = decoded_header(tmp_path, "a.tif")
    assert header.deep and header.values.whole == (kind[1] != "f")
    assert header.values.least == pytest.approx(low) and header.values.most == pytest.approx(high)


def test_what_lies_outside_the_range_is_clipped():
    values = np.array([[-5.0, 10.0, 15.0, 20.0, 99.0]])
    assert eight_bits(values, (10, 20)).tolist() == [[0, 0, 128, 255, 255]]


def test_the_percentile_rule_spreads_each_image():
    values = np.arange(10_000, dtype=np.uint16).reshape(100, 100) + 20_000
    values[0, 0], values[0, 1] = 0, 65_535
    found = eight_bits(values, PERCENTILE)
    low, high = np.percentile(values, [1, 99])
    wanted = np.rint(np.clip((values - low) * (255 / (high - low)), 0, 255))
    np.testing.assert_array_equal(found, wanted)
    moved = values.astype(np.int64) - 70_000
    np.testing.assert_array_equal(eight_bits(moved, PERCENTILE), found)
    assert not eight_bits(np.full((4, 4), 700), PERCENTILE).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limits", [(0, 1), PERCENTILE, None])
def test_values_that_are_not_finite_are_refused_with_the_file(tmp_path, value, limits):
    values = np.full((16, 8), 0.5, np.float32)
    values[3, 4] = value
    write_tiff(tmp_path / "a.tif", values)
    phrase = r"a\.tif cannot be decoded \(1 of 128 values are not finite"
    with pytest.raises(DataError, match=phrase):
        read_image(tmp_path / "a.tif", PixelRule(limits))
    with pytest.raises(DataError, match=phrase):
        require_readable(tmp_path, ["a.tif"])


def test_a_deep_image_without_a_range_names_the_options(tmp_path):
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "a.png")
    phrase = (
        r"a\.png has more than eight bits, with values from 3000 to 3000: .*INPUT\.INFRARED\.RANGE "
        r"\(Extractor: range=\[low, high\]; search: --range\)"
    )
    with pytest.raises(DataError, match=phrase):
        read_image(tmp_path / "a.png")
    require_readable(tmp_path, ["a.png"])  # the range is found later


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits_per_channel_keeps_them(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 4096, (16, 8, channels), np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65_535
    write_png16(tmp_path / "a.png", values)
    wanted = np.rint(values * (255 / 4095))[..., : 1 if channels < 3 else 3]
    with Image.open(tmp_path / "a.png") as opened:
        rule = PixelRule((0, 4095))
        for found in (read_image(tmp_path / "a.png", rule), as_rgb(opened, rule)):
            np.testing.assert_array_equal(found, np.broadcast_to(wanted, (16, 8, 3)))
    assert read_header(tmp_path, "a.png")[0].deep


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_sixteen_bits_per_channel_keeps_them(tmp_path, order, compressed):
    values = np.random.default_rng(0).integers(0, 4096, (16, 8, 3), np.uint16)
    write_tiff(tmp_path / "a.tif", values, order=order, compressed=compressed)
    read = read_image(tmp_path / "a.tif", PixelRule((0, 4095)))
    np.testing.assert_array_equal(read, np.rint(values * (255 / 4095)))


@pytest.mark.parametrize(("channels", "key"), [(1, (9,)), (3, (9, 8, 7)), (2, ()), (4, ())])
def test_transparency_of_sixteen_bits(tmp_path, channels, key):
    values = np.full((16, 8, channels), 40_000, np.uint16)
    values[:8] = key or 0
    if not key:
        values[8:, :, -1] = 65_535
    write_png16(tmp_path / "a.png", values, key)
    read = read_image(tmp_path / "a.png", PixelRule((0, 65_535), (1, 2, 3)))
    assert read.getpixel((0, 0)) == (1, 2, 3) and read.getpixel((0, 15)) == (156, 156, 156)


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (GRADIENT, GRADIENT),
        (GRADIENT[..., None], GRADIENT),
        (GRADIENT.T.copy().T, GRADIENT),
        (np.stack([GRADIENT] * 3, 2)[:, ::-1][:, ::-1], GRADIENT),
        (GRADIENT > 60, 255 * (GRADIENT > 60)),
        (GRADIENT.astype(np.uint16) * 4, GRADIENT * 2),
        (GRADIENT.astype(">i4")[..., None] * 4, GRADIENT * 2),
        (np.stack([GRADIENT.astype(np.float64) * 4] * 3, 2), GRADIENT * 2),
    ],
)
def test_arrays_of_many_kinds_are_images(array, wanted):
    found = np.asarray(array_as_rgb(array, PixelRule((0, 510))))
    np.testing.assert_array_equal(found, np.stack([wanted] * 3, 2))


def test_the_fourth_channel_of_an_array_is_alpha():
    array = np.full((4, 4, 4), 200, np.uint8)
    array[..., 3] = [0, 0, 255, 255]
    found = np.asarray(array_as_rgb(array, PixelRule()))
    assert found[0, :, 0].tolist() == [128, 128, 200, 200]


@pytest.mark.parametrize(
    ("array", "phrase"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\) uint8"),
        (np.zeros(4, np.uint8), r"\(4,\) uint8"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.zeros((4, 4, 4), np.uint16), "RGBA arrays must be uint8"),
        (np.zeros((4, 4), np.uint16), "has more than eight bits"),
        (np.full((4, 4), np.nan), "not finite"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, phrase):
    with pytest.raises(ValueError, match=phrase):
        array_as_rgb(array, PixelRule())


@pytest.mark.parametrize("given", ["auto", "x", [1], [2, 1], [1, 1], [0, np.inf], 7, ["a", 1]])
def test_ranges_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match="a range must be 'percentile' or"):
        checked_range(given)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_a_format(tmp_path):
    Image.fromarray(quadrants()).save(tmp_path / "a.avif", exif=exif_of(6), quality=100)
    read = np.asarray(read_image(tmp_path / "a.avif")).astype(int)
    assert np.abs(read - UPRIGHT[6](quadrants())).mean() < 8


@pytest.mark.skipif(not find_spec("pillow_heif"), reason="pillow-heif is not installed")
def test_heic_is_a_format_where_pillow_heif_is_installed(tmp_path):
    from pillow_heif import from_pillow

    from_pillow(Image.fromarray(quadrants())).save(tmp_path / "a.heic", quality=100)
    read = np.asarray(read_image(tmp_path / "a.heic")).astype(int)
    assert np.abs(read - quadrants()).mean() < 8
    require_readable(tmp_path, ["a.heic"])


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"\0\0\0\x1cftypheix" + bytes(40), "HEIC: it needs the package pillow-heif"),
        (b"\0\0\0\x1cftypavif" + bytes(40), r"AVIF: it needs Pillow 11\.3 or later"),
    ],
)
def test_formats_of_other_libraries_are_named(tmp_path, monkeypatch, content, phrase):
    monkeypatch.setattr("vireid.data.images._formats", lambda: ["JPEG", "PNG"])
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=phrase):
        read_image(tmp_path / "a.jpg")


def test_a_tiff_of_an_unknown_kind_is_described(tmp_path):
    write_tiff(tmp_path / "a.tif", GRADIENT.astype(np.float16))
    phrase = "does not read TIFF files of this kind: bits 16, sample format 3, photometric"
    with pytest.raises(DataError, match=phrase):
        read_image(Path(tmp_path / "a.tif"))
