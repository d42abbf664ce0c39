"""Images from their files: any mode becomes RGB, and unreadable files are named."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vireid.errors import DataError
from vireid.utils.threads import threaded_map

# Formats that are opened, whatever a file is called; without EPS, for which Pillow would start
# Ghostscript.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG2000", "PPM", "TGA")
MOST_PIXELS = 50_000_000  # larger ones take gigabytes, and eight are decoded at a time
# The last bytes of a complete file, by Pillow's name of its format; others have no such mark.
ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


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
        raise DataError(f"image {path} does not exist") from error
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
    with path.open("rb") as file, Image.open(file, formats=_formats()) as image:
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


def require_readable(root: Path, paths: Sequence[str]) -> None:
    """Looks at every image before hours are spent on some of them.

    Reads the header and the last bytes of each: 0.04 ms for a JPEG of 288 × 144 on two cores, where
    decoding takes 0.3 ms, so two seconds for SYSU-MM01. A JPEG or PNG file without the usual end,
    and any file of another format, is decoded. Damage in the middle of a file is left to
    :mod:`vireid.data.verify`.

    Args:
        paths: relative to ``root``.
    Raises:
        DataError: how many images cannot be read, and why the first cannot.
    """
    found = threaded_map(partial(_why_unreadable, root), paths, doing="looking at images")
    reasons = [reason for reason in found if reason]
    if len(reasons) == 1:
        raise DataError(reasons[0])
    if reasons:
        raise DataError(
            f"{len(reasons)} of {len(paths)} images cannot be read, the first: {reasons[0]}"
        )


def _why_unreadable(root: Path, path: str) -> str:
    """The message of :func:`read_image`, or nothing; decodes the image only if it must."""
    try:
        if not _has_usual_end(root / path):
            read_image(root / path)
    except DataError as error:
        return str(error)
    return ""


def _has_usual_end(path: Path) -> bool:
    try:
        with opened(path) as image:
            ending = ENDINGS.get(image.format or "")
            if ending is None or image.mode.startswith(("I", "F")):  # their values may be refused
                return False
            assert image.fp is not None  # Pillow reads pixels only when they are asked for
            image.fp.seek(-len(ending), 2)
            return image.fp.read() == ending
    except Exception:  # read_image() says what is wrong
        return False
