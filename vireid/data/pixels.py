"""An image in any mode → RGB of eight bits, by one stated rule.

Grey values of more than eight bits have no fixed black and white: what a camera stores may be 12
or 14 bits in sixteen, counts, hundredths of a kelvin or degrees. A ``PixelRule`` says which
values become black and white, so that all images of a data set and modality are read alike.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image

Range = tuple[float, float] | Literal["percentile"]
PERCENTILE: Literal["percentile"] = "percentile"
PERCENTILES = (1, 99)  # of an image's values, where each image has a range of its own
# Mid-grey: about the mean that normalisation subtracts, so that what was cut away stays inactive;
# black and white would make an edge against dark or bright clothes.
BACKGROUND = (128, 128, 128)
TURNS = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1  # values of the first
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # values of the second


class UnknownRangeError(ValueError):
    """An image of more than eight bits, and no range for its values."""


def checked_range(given: Any) -> Range:
    """``percentile``, or two numbers of any kind.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(given, str) and given == PERCENTILE:
        return PERCENTILE
    try:
        low, high = (float(one) for one in given)
    except (TypeError, ValueError):
        low = high = math.nan
    if isinstance(given, str) or not -math.inf < low < high < math.inf:
        raise ValueError(
            f"a range must be 'percentile' or [value that becomes black, larger value that becomes "
            f"white], got {given!r:.100}"
        )
    return low, high


@dataclass(frozen=True, slots=True)
class PixelRule:
    """How the pixels of one modality become RGB of eight bits.

    Args:
        range: of images with more than eight bits: [value that becomes black, white], what lies
            outside is clipped; ``percentile``: of each image its own, between the 1st and the 99th
            percentile, as thermal cameras control their gain; None: such images are refused.
        background: RGB colour that shows through transparent pixels.
    """

    range: Range | None = None
    background: tuple[int, int, int] = BACKGROUND


PLAIN = PixelRule()  # for images that have eight bits
SHOWN = PixelRule(PERCENTILE)  # for pictures that people look at


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Which values an image of more than eight bits has.

    Args:
        low, high: without the 0.1 % lowest and highest pixels, one at least.
        least, most: of all pixels.
        whole: whether the values are whole numbers.
    """

    low: float
    high: float
    least: float
    most: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded image, before a rule is applied.

    Args:
        picture: eight bits, RGB or RGBA; of a deep image its colours are not used.
        values: (H, W) or (H, W, 3) of an image with more than eight bits, which is called deep.
        white_is_zero: the lowest value is white; of eight bits that is mended already.
        orientation: as EXIF numbers it, 1: upright.
    """

    picture: Image.Image | None
    values: np.ndarray | None = None
    alpha: np.ndarray | None = None  # (H, W) uint8
    white_is_zero: bool = False
    orientation: int = 1

    @property
    def transparent(self) -> bool:
        """Whether any pixel is not opaque."""
        return self.alpha is not None and bool((self.alpha < 255).any())

    def rgb(self, rule: PixelRule) -> Image.Image:
        """Upright, on the rule's background.

        Raises:
            UnknownRangeError: the image is deep, and the rule has no range.
            ValueError: a value is not finite.
        """
        if self.values is None:
            assert self.picture is not None
            picture = self.picture
        else:
            grey = eight_bits(self.values, rule.range)
            picture = Image.fromarray(255 - grey if self.white_is_zero else grey).convert("RGB")
        if self.alpha is not None:
            picture = picture.convert("RGBA")
            picture.putalpha(Image.fromarray(self.alpha))
            ground = Image.new("RGBA", picture.size, (*rule.background, 255))
            picture = Image.alpha_composite(ground, picture).convert("RGB")
        turn = TURNS.get(self.orientation)
        return picture if turn is None else picture.transpose(turn)

    def value_range(self) -> ValueRange | None:
        """Of a deep image; ValueError when a value is not finite."""
        if self.values is None:
            return None
        require_finite(self.values)
        values = self.values.reshape(-1)
        left = min(max(1, values.size // 1000), (values.size - 1) // 2)
        ordered = np.partition(values, (0, left, values.size - 1 - left, values.size - 1))
        least, low, high, most = (
            ordered[place].item() for place in (0, left, values.size - 1 - left, -1)
        )
        return ValueRange(low, high, least, most, values.dtype.kind in "iu")

    def digest(self) -> bytes:
        """Of what is seen: equal pictures have equal ones, in whatever format they are stored."""
        if self.values is None:
            image = self.rgb(PLAIN)
            content = b"%d,%d," % image.size + image.tobytes()
        else:
            shape = (*self.values.shape, self.orientation, self.white_is_zero, self.alpha is None)
            content = repr(shape).encode() + np.ascontiguousarray(self.values).tobytes()
        return hashlib.blake2b(content, digest_size=16).digest()


def as_rgb(image: Image.Image, rule: PixelRule) -> Image.Image:
    """An image of any mode as RGB; errors of ``Pixels.rgb``, and what Pillow raises."""
    return pixels_of(image).rgb(rule)


def array_as_rgb(array: np.ndarray, rule: PixelRule) -> Image.Image:
    """(H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA → RGB.

    Args:
        array: uint8; bool, false is black; or other numbers, which follow the rule's range.
    Raises:
        ValueError: it has another shape or type; also the errors of ``Pixels.rgb``.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    deep = array.dtype.kind in "iuf" and array.dtype != np.uint8
    fits = array.ndim in (2, 3) and channels in (1, 3, 4) and array.size > 0
    if not fits or not (deep or array.dtype in (np.uint8, np.bool_)):
        raise ValueError(
            "an array of an image must be (height, width), or (height, width, channels) with one, "
            f"three (RGB) or four (RGBA) channels of numbers, got {array.shape} {array.dtype}"
        )
    if channels == 4 and deep:
        raise ValueError(f"RGBA arrays must be uint8, got {array.dtype}: leave out the alpha")
    if array.ndim == 3 and channels == 1:
        array = array[..., 0]
    if deep:
        return Pixels(None, array).rgb(rule)
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    return as_rgb(Image.fromarray(np.ascontiguousarray(array)), rule)


def eight_bits(values: np.ndarray, limits: Range | None) -> np.ndarray:
    """Deep values → uint8, rounded: the lower limit becomes 0, the upper one 255.

    Raises:
        UnknownRangeError: there are no limits.
        ValueError: a value is not finite.
    """
    require_finite(values)
    if limits is None:
        raise UnknownRangeError(
            f"has more than eight bits, with values from {values.min():.6g} to "
            f"{values.max():.6g}: say which become black and white by INPUT.VISIBLE.RANGE or "
            "INPUT.INFRARED.RANGE (Extractor: range=[low, high]; search: --range)"
        )
    if limits == PERCENTILE:
        low, high = np.percentile(values, PERCENTILES).tolist()
    else:
        low, high = limits
    if values.dtype != np.float32:  # fractions of 32 bits stay as they are
        values = values.astype(np.float64)
    scale = 255 / (high - low) if high > low else 255.0
    return np.rint(np.clip((values - low) * scale, 0, 255)).astype(np.uint8)


def require_finite(values: np.ndarray) -> None:
    """Raises ValueError if values are not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).sum())
        raise ValueError(f"{broken} of {values.size} values are not finite (NaN or infinite)")


def pixels_of(image: Image.Image) -> Pixels:
    """Decodes an image of any mode; raises what Pillow raises on a damaged file."""
    _in_native_order(image)
    deep, channels = is_deep(image), _sixteen_bit_channels(image)
    _load(image)
    if channels is not None:
        found = _of_channels(channels, image.info.get("transparency"))
    elif deep:
        values, alpha, key = _grey_values(image), None, image.info.get("transparency")
        if isinstance(key, int):
            alpha = np.where(values == key, 0, 255).astype(np.uint8)
        found = Pixels(None, values, alpha, white_is_zero(image))
    elif has_alpha(image):
        picture = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        found = Pixels(picture.convert("RGB"), alpha=np.asarray(picture.getchannel("A")))
    else:
        found = Pixels(image.convert("RGB"))
    return replace(found, orientation=orientation_of(image))


def _load(image: Any) -> None:
    """Decodes it; Pillow 13 scrambles the rows of a turned TIFF that it maps into memory."""
    name = getattr(image, "filename", "")
    if name and image.format == "TIFF" and image.tile:
        image.filename = ""  # only files with names are mapped
    image.load()
    if name:
        image.filename = name


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or damaged EXIF.

    Before pixels are decoded, of PNG only what stands before them is seen.
    """
    try:  # not PNG's own method, which decodes the image
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        return value if value in TURNS else 1
    except Exception:  # what Pillow raises on damaged EXIF has many types
        return 1


def is_deep(image: Image.Image) -> bool:
    """Whether it has more than eight bits; needs the header alone."""
    signed_bytes = image.mode == "L" and _tag(image, SAMPLE_FORMAT) == SIGNED
    return image.mode.startswith(("I", "F")) or signed_bytes or _rawmode(image) in LOWER_BYTES


def has_alpha(image: Image.Image) -> bool:
    """Whether it may have transparent pixels; needs the header alone."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return True
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF's lowest value is white; needs the header alone."""
    return _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO


def _tag(image: Image.Image, number: int) -> Any:
    """A TIFF's tag, of several equal values one; None in other formats."""
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _grey_values(image: Image.Image) -> np.ndarray:
    """(H, W); Pillow has no mode for 32 bits without a sign, nor for eight with one."""
    values, is_tiff = np.asarray(image), image.format == "TIFF"
    if image.mode == "L":
        return values.view(np.int8)
    if image.mode == "I" and is_tiff and _tag(image, SAMPLE_FORMAT) in (None, UNSIGNED):
        return values.view(np.uint32)
    return values


def more_tiffs() -> Iterator[tuple[Any, tuple[str, str]]]:
    """Entries for Pillow's table of TIFFs that it could decode, but does not know.

    Grey values of 64 bits, which numpy's floats have; other orders of bytes; and min-is-white.
    """
    kinds = {
        (16, UNSIGNED): ("I;16", "I;16"),
        (16, SIGNED): ("I", "I;16S"),
        (32, UNSIGNED): ("I", "I;32"),
        (32, SIGNED): ("I", "I;32S"),
        (32, FLOAT): ("F", "F;32F"),
        (64, FLOAT): ("F", "F;64F"),
    }
    for (bits, sample), (mode, rawmode) in kinds.items():
        for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
            for prefix, order in ((b"II", ""), (b"MM", "B")):
                own = (f"{mode}{order}" if mode == "I;16" else mode), _ordered(rawmode, order)
                yield (prefix, photometric, (sample,), 1, (bits,), ()), own


def _ordered(rawmode: str, order: str) -> str:
    """I;16S → I;16BS: the order of bytes follows the bits."""
    return re.sub(r"(?<=\d\d)", order, rawmode)


# Pillow reads 16 bits per colour channel as their upper eight. The unpackers on the right read the
# lower eight; LA has none, but read as RGBA its four bytes are the channels.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
LOWER_BYTES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in _OTHER.items()
} | {"LA;16B": "RGBA"}


def _rawmode(image: Image.Image) -> str:
    """How the bytes of a PNG or TIFF become pixels; empty once it is decoded."""
    tiles = getattr(image, "tile", None) if image.format in ("PNG", "TIFF") else None
    if not tiles:
        return ""
    args = tiles[0][3]
    return str(args[0] if isinstance(args, tuple) else args)


def _set_rawmode(image: Any, rawmode: str) -> None:
    tiles = []
    for codec, extents, offset, args in image.tile:
        args = (rawmode, *args[1:]) if isinstance(args, tuple) else rawmode
        tiles.append(type(image.tile[0])(codec, extents, offset, args))
    image.tile = tiles


def _in_native_order(image: Any) -> None:
    """Mends compressed big-endian TIFFs: libtiff swaps bytes itself, and then Pillow does again.

    For whole numbers of sixteen bits without a sign Pillow knows that.
    """
    rawmode = _rawmode(image)
    wide = rawmode.startswith(("I;16BS", "I;32B", "F;32B", "F;64B"))
    if wide and image.tile[0][0] == "libtiff":
        _set_rawmode(image, rawmode.replace("B", "N"))


def _sixteen_bit_channels(image: Any) -> np.ndarray | None:
    """(H, W, C) uint16 of a file with that many bits in several channels, else None."""
    rawmode = _rawmode(image)
    if rawmode not in LOWER_BYTES:
        return None
    place = image.fp.tell()
    image.fp.seek(0)
    with Image.open(image.fp, formats=[image.format]) as again:
        again.seek(image.tell())
        _set_rawmode(again, LOWER_BYTES[rawmode])
        low = np.array(again)
    image.fp.seek(place)
    high = np.asarray(image)
    if rawmode.startswith("LA"):
        high, low = low[..., ::2], low[..., 1::2]
    return high.astype(np.uint16) << 8 | low


def _of_channels(values: np.ndarray, key: Any) -> Pixels:
    """Of (H, W, C) uint16: grey and alpha, RGB or RGBA.

    Args:
        key: RGB colour that is transparent, if it is a tuple.
    """
    count, alpha = values.shape[2], None
    if count in (2, 4):
        alpha = np.rint(values[..., -1] / 257).astype(np.uint8)
    elif isinstance(key, tuple):
        alpha = np.where((values == key).all(axis=2), 0, 255).astype(np.uint8)
    return Pixels(None, values[..., 0] if count == 2 else values[..., :3], alpha)
