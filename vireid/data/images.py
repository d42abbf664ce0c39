"""Images from their files: any mode becomes RGB, and unreadable files are named.

Every image that a model or a figure sees is read here or, when it is no file, in
``vireid.data.pixels``.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from vireid.data.pixels import (
    PLAIN,
    PixelRule,
    Pixels,
    UnknownRangeError,
    ValueRange,
    has_alpha,
    is_deep,
    more_tiffs,
    orientation_of,
    pixels_of,
    white_is_zero,
)
from vireid.errors import DataError
from vireid.utils.paths import exists_as
from vireid.utils.threads import threaded_map

# Formats that are opened, whatever a file is called; without EPS, for which Pillow would start
# Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG2000", "PPM", "TGA", "AVIF", "HEIF")
# What opens those that not every Pillow has, by the brand in a file's first bytes.
OPENERS = {
    (b"avif", b"avis"): "AVIF: it needs Pillow 11.3 or later",
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"): (
        "HEIC: it needs the package pillow-heif"
    ),
}
MOST_PIXELS = 50_000_000  # larger ones take gigabytes, and eight are decoded at a time
# The last bytes of a complete file, by Pillow's name of its format; others have no such mark.
ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 256  # bytes at a file's end that are read


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the beginning and the end of an image file show, mostly without its pixels.

    Args:
        path: relative to the data set's root.
        format, mode: Pillow's names, such as ``JPEG`` and ``RGB``.
        length: of the file in bytes.
        tail: CRC-32 of its last bytes; files of equal length that differ hardly ever share it.
        pixels: digest of the decoded image; empty where it was not decoded.
        turned: EXIF says that it is not stored upright.
        white_is_zero: a TIFF whose lowest value is white.
        alpha: it may have transparent pixels.
        transparent: it has some; known once it is decoded.
        deep: it has more than eight bits.
        values: of a deep image that was decoded.
    """

    path: str
    format: str
    mode: str
    length: int
    tail: int
    pixels: bytes = b""
    turned: bool = False
    white_is_zero: bool = False
    alpha: bool = False
    transparent: bool = False
    deep: bool = False
    values: ValueRange | None = None


def read_image(path: Path, rule: PixelRule = PLAIN) -> Image.Image:
    """An upright RGB image, whatever channels and bits the file has.

    Args:
        rule: what becomes of more than eight bits and of transparent pixels.
    Raises:
        DataError: names the file, which is missing, truncated, no image, or of more than eight bits
            without a range for them.
    """
    with _naming(path):
        return read_pixels(path).rgb(rule)


def read_pixels(path: Path) -> Pixels:
    """A decoded file, before any rule is applied; errors as of ``read_image``."""
    with _naming(path), opened(path) as image:
        return pixels_of(image)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns whatever an image raises into a DataError that names its file."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"image {path} does not exist{exists_as(path)}") from error
    except UnidentifiedImageError as error:
        reason = _why_unknown(path)
        raise DataError(f"image {path} cannot be decoded ({reason}): replace it") from error
    except UnknownRangeError as error:
        raise DataError(f"image {path} {error}") from error
    except Exception as error:  # Pillow raises a dozen types on damaged files
        reason = f"{error!s:.200}" or type(error).__name__
        raise DataError(f"image {path} cannot be decoded ({reason}): replace it") from error


def _why_unknown(path: Path) -> str:
    """Why Pillow does not know a file."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[4:8] == b"ftyp":
            for brands, needed in OPENERS.items():
                if start[8:12] in brands:
                    return needed
        if start.startswith(tuple(TiffImagePlugin.PREFIXES)):
            with suppress(Exception):  # a damaged one
                return _kind_of_tiff(file)
    return f"it is not an image of the kinds {', '.join(FORMATS)}"


def _kind_of_tiff(file: BinaryIO) -> str:
    """Why Pillow does not read a TIFF whose header is in order."""
    file.seek(0)
    head = file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if 43 in head[2:4] else b""))
    file.seek(tags.next)
    tags.load(file)
    names = {"bits": 258, "sample format": 339, "photometric interpretation": 262, "channels": 277}
    found = ", ".join(f"{name} {_short(tags[tag])}" for name, tag in names.items() if tag in tags)
    return f"Pillow does not read TIFF files of this kind: {found}"


def _short(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An image of which only the header was read.

    Raises:
        ValueError: it has no pixels, or more than any camera takes.
    """
    with path.open("rb") as file, _opened(file) as image:
        yield image


@contextmanager
def _opened(file: BinaryIO) -> Iterator[ImageFile.ImageFile]:
    with Image.open(file, formats=_formats()) as image:
        if not 0 < image.width * image.height <= MOST_PIXELS:
            raise ValueError(
                f"{image.width} × {image.height} pixels, where 1 to {MOST_PIXELS:,} are allowed"
            )
        yield image


@cache
def _formats() -> list[str]:
    """Formats of this build of Pillow, which refuses the names of others; HEIC where it can."""
    if find_spec("pillow_heif") is not None:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    for key, modes in more_tiffs():
        TiffImagePlugin.OPEN_INFO.setdefault(key, modes)
    return [name for name in FORMATS if name in Image.OPEN]


def read_header(root: Path, path: str) -> tuple[ImageHeader, bool]:
    """An image's header, and whether the file ends as a complete one of its format does.

    Raises:
        Exception: what Pillow raises on a damaged file; ``read_image`` says what is wrong.
    """
    with (root / path).open("rb") as file:
        with _opened(file) as image:
            kind = image.format or ""
            seen = ImageHeader(
                path,
                kind,
                image.mode,
                length=0,
                tail=0,
                turned=orientation_of(image) != 1,
                white_is_zero=white_is_zero(image),
                alpha=has_alpha(image),
                deep=is_deep(image),
            )
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL))
        tail = file.read()
    ending = ENDINGS.get(kind)
    complete = ending is not None and tail.endswith(ending)
    return replace(seen, length=length, tail=zlib.crc32(tail)), complete


def decoded_header(root: Path, path: str, *, digest: bool = False) -> ImageHeader:
    """The header, and what only the pixels show.

    Args:
        digest: of the pixels, too.
    Raises:
        DataError: as ``read_image``, but for an unknown range.
    """
    pixels = read_pixels(root / path)
    with _naming(root / path):
        header, _ = read_header(root, path)
        return replace(
            header,
            pixels=pixels.digest() if digest else b"",
            transparent=pixels.transparent,
            values=pixels.value_range(),
        )


def require_readable(root: Path, paths: Sequence[str]) -> list[ImageHeader]:
    """Looks at every image before hours are spent on some of them.

    Reads the header and the last bytes of each: 0.04 ms for a JPEG of 288 × 144 on two cores, where
    decoding takes 0.3 ms, so two seconds for SYSU-MM01. A JPEG or PNG file without the usual end,
    any file of another format, and images with alpha or of more than eight bits are decoded. Damage
    in the middle of a file is left to ``vireid.data.verify``.

    Args:
        paths: relative to ``root``.
    Returns:
        what was seen, in the order of the paths.
    Raises:
        DataError: how many images cannot be read, and why the first cannot.
    """
    headers, reasons = [], []
    for found in threaded_map(partial(_look, root), paths, doing="looking at images"):
        if isinstance(found, ImageHeader):
            headers.append(found)
        else:
            reasons.append(found)
    if len(reasons) == 1:
        raise DataError(reasons[0])
    if reasons:
        raise DataError(
            f"{len(reasons)} of {len(paths)} images cannot be read, the first: {reasons[0]}"
        )
    return headers


def _look(root: Path, path: str) -> ImageHeader | str:
    """The header, or the message of ``read_image``; decodes the image only if it must."""
    try:
        header, complete = read_header(root, path)
        if complete and not (header.deep or header.alpha):
            return header
    except Exception:  # read_image() says what is wrong
        pass
    try:
        return decoded_header(root, path)
    except DataError as error:
        return str(error)
