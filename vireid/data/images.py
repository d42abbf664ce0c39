"""Images from their files: any mode becomes RGB, and unreadable files are named."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vireid.errors import DataError
from vireid.utils.paths import exists_as
from vireid.utils.threads import threaded_map

# Formats that are opened, whatever a file is called; without EPS, for which Pillow would start
# Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG2000", "PPM", "TGA")
MOST_PIXELS = 50_000_000  # larger ones take gigabytes, and eight are decoded at a time
# The last bytes of a complete file, by Pillow's name of its format; others have no such mark.
ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 256  # bytes at a file's end that are read


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the beginning and the end of an image file show, without its pixels.

    Args:
        path: relative to the data set's root.
        format, mode: Pillow's names, such as ``JPEG`` and ``RGB``.
        length: of the file in bytes.
        tail: CRC-32 of its last bytes; files of equal length that differ hardly ever share it.
        pixels: digest of the decoded RGB image; empty where it was not decoded.
    """

    path: str
    format: str
    mode: str
    length: int
    tail: int
    pixels: bytes = b""


def read_image(path: Path) -> Image.Image:
    """An RGB image, whatever channels and bits the file has.

    Grey values of more than eight bits are brought to 0 … 255 by :func:`grey_of_eight_bits`.

    Raises:
        DataError: names the file, which is missing, truncated, no image, or of an unknown range.
    """
    try:
        with opened(path) as image:
            return as_rgb(image)
    except FileNotFoundError as error:
        raise DataError(f"image {path} does not exist{exists_as(path)}") from error
    except UnidentifiedImageError as error:
        reason = f"it is no image of the kinds {', '.join(FORMATS)}"
        raise DataError(f"image {path} cannot be decoded ({reason}): replace it") from error
    except Exception as error:  # Pillow raises a dozen types on damaged files
        reason = f"{error!s:.200}" or type(error).__name__
        raise DataError(f"image {path} cannot be decoded ({reason}): replace it") from error


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
    """Formats of this build of Pillow, which refuses the names of others."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB; errors as :func:`grey_of_eight_bits` has them."""
    if image.mode.startswith(("I", "F")):  # convert() would clip them to white or black
        return Image.fromarray(grey_of_eight_bits(np.asarray(image))).convert("RGB")
    return image.convert("RGB")


def grey_of_eight_bits(values: np.ndarray) -> np.ndarray:
    """(H, W) grey values of more than eight bits → (H, W) uint8, rounded.

    Neither a file nor Pillow's mode says which value is white (an eight-bit image is often saved
    in sixteen, and versions of Pillow differ in the mode), so the largest value decides:

    - whole numbers up to 255: eight bits, as they are;
    - whole numbers up to 65,535: sixteen bits, divided by 257, so that 65,535 becomes 255;
    - fractions up to 1: times 255; up to 255: as they are.

    This misjudges only a sixteen-bit image that is darker than 0.4 % all over.

    Raises:
        ValueError: a value is negative, larger, or not finite.
    """
    low, high = values.min(), values.max()
    whole = values.dtype.kind in "iu"
    if not 0 <= low <= high <= (65_535 if whole else 255):  # false for what is not a number
        wanted = "whole grey values from 0 to 65535" if whole else "grey values from 0 to 1 or 255"
        raise ValueError(f"{values.dtype} values from {low} to {high}, which are not {wanted}")
    white = (255 if high <= 255 else 65_535) if whole else (1 if high <= 1 else 255)
    return np.rint(values * (255 / white)).astype(np.uint8)


def read_header(root: Path, path: str, *, pixels: bytes = b"") -> tuple[ImageHeader, bool]:
    """An image's header, and whether the file ends as a complete one of its format does.

    Args:
        pixels: digest of the decoded image, if that is at hand.
    Raises:
        Exception: what Pillow raises on a damaged file; :func:`read_image` says what is wrong.
    """
    with (root / path).open("rb") as file:
        with _opened(file) as image:
            kind, mode = image.format or "", image.mode
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL))
        tail = file.read()
    ending = ENDINGS.get(kind)
    return ImageHeader(path, kind, mode, length, zlib.crc32(tail), pixels), (
        ending is not None and tail.endswith(ending)
    )


def require_readable(root: Path, paths: Sequence[str]) -> list[ImageHeader]:
    """Looks at every image before hours are spent on some of them.

    Reads the header and the last bytes of each: 0.04 ms for a JPEG of 288 × 144 on two cores, where
    decoding takes 0.3 ms, so two seconds for SYSU-MM01. A JPEG or PNG file without the usual end,
    and any file of another format, is decoded. Damage in the middle of a file is left to
    :mod:`vireid.data.verify`.

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
    """The header, or the message of :func:`read_image`; decodes the image only if it must."""
    try:
        header, complete = read_header(root, path)
    except Exception:  # read_image() says what is wrong
        header, complete = None, False
    try:
        # values of more than eight bits may be refused
        if not complete or header is None or header.mode.startswith(("I", "F")):
            read_image(root / path)
            header = header or read_header(root, path)[0]
    except DataError as error:
        return str(error)
    return header
