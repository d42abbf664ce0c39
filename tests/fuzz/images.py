"""Images: every kind that Pillow writes, truncated, changed, enormous or of no size at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.harness import Use
from tests.fuzz.mutate import mutate_bytes
from vireid.data.images import read_image, require_readable
from vireid.data.pixels import SHOWN
from vireid.data.transforms import resize
from vireid.data.verify import inspect_images
from vireid.errors import DataError

SIZE = (24, 40)  # width, height
HUGE = (20_000, 65_500, 2**31 - 1)
EPS = b"""%%!PS-Adobe-3.0 EPSF-3.0
%%%%BoundingBox: 0 0 8 8
(%s) (w) file closefile
showpage
"""
# format: modes; animated where more than one image is possible
MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "1", "L", "LA", "P", "RGBA", "I;16"),
    "BMP": ("RGB", "1", "L", "P"),
    "TIFF": ("RGB", "L", "CMYK", "YCbCr", "LAB", "F", "I", "I;16"),
    "GIF": ("P",),
    "WEBP": ("RGB",),
    **dict.fromkeys(("PPM", "TGA", "ICO", "SGI", "PCX", "DDS"), ("RGB",)),
}


def image(folder: Path, random: Random) -> Use:
    """One file; what can be read is RGB, can be resized, and passes the check before training."""
    name = random.choice(("a.jpg", "a.png", "a.bmp"))
    path = folder / name
    how = random.randint(0, 7)
    if how == 0:
        content = random.choice(_ODD)(random)
    elif how == 1:
        content = _huge(random)
    elif how == 2:
        content = EPS % str(folder / "sentinel").encode()
    else:
        content = mutate_bytes(random.choice(good()), random, times=4)
    path.write_bytes(content)

    def use() -> None:
        try:
            require_readable(folder, [name])
        except DataError as first:
            _must_refuse(path, first)
            raise
        found = read_image(path, SHOWN)
        assert found.mode == "RGB" and min(found.size) > 0
        assert resize((64, 32))(found).size == (32, 64)
        assert not inspect_images(folder, [name]).unreadable

    return use


def _must_refuse(path: Path, first: DataError) -> None:
    """What the check before training refuses must not be readable later."""
    try:
        read_image(path, SHOWN)
    except DataError:
        return
    raise AssertionError(f"refused before training, but readable: {first}")


@cache
def good() -> tuple[bytes, ...]:
    """A file of each format and mode, and of the compressions and animations that they know."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    rgb = Image.fromarray(noise)
    animated = {"save_all": True, "append_images": [rgb.rotate(180)]}
    found = [_saved(rgb, kind, mode) for kind, modes in MODES.items() for mode in modes]
    found += [_saved(rgb, kind, **animated) for kind in ("PNG", "GIF", "WEBP")]
    found += [_saved(rgb, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_deflate", "jpeg")]
    found.append(_saved(rgb, "JPEG", progressive=True, quality=30))
    return tuple(content for content in found if content)


def _saved(rgb: Image.Image, kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(rgb)[..., 0].astype(np.uint16) * 257)
    else:
        image = rgb.convert(mode)
    try:
        image.save(file, kind, **options)
    except (OSError, KeyError, ValueError):  # this Pillow was built without that codec
        return b""
    return file.getvalue()


def png(width: int, height: int, *, depth: int = 8, kind: int = 2, rows: bytes = b"") -> bytes:
    """A PNG file with the given header, and right checksums."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def bmp(width: int, height: int, *, bits: int = 24) -> bytes:
    """A BMP file with the given header."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + bytes(256)


def _huge(random: Random) -> bytes:
    """A few bytes that promise more pixels than memory holds; or that hold them, compressed."""
    if not random.randint(0, 9):  # black, 9400 × 9400: a quarter of a gigabyte out of 90 kB
        return png(9400, 9400, kind=0, rows=bytes((9400 + 1) * 9400))
    return random.choice((png, bmp))(random.choice(HUGE), random.choice(HUGE))


_ODD: tuple[Callable[[Random], bytes], ...] = (
    lambda r: bytes(r.choice((0, 1, 100))),
    lambda r: b"hello",
    lambda r: png(r.choice((0, 1)), r.choice((0, 1, 2**31))),
    lambda r: bmp(r.choice((0, 1, -1, -5)), r.choice((0, 1, -1, -(2**31)))),
    lambda r: bmp(8, 8, bits=r.choice((0, 1, 2, 3, 16, 32, 64, 65_535))),
    lambda r: png(8, 8, depth=r.choice((1, 2, 3, 16)), kind=r.choice((0, 1, 2, 3, 4, 6))),
    lambda r: r.choice(good())[:-2],
    lambda r: r.choice(good()) + bytes(10),
    lambda r: b"P6\n" + r.choice((b"0 0 255\n", b"-1 5 255\n", b"9 9 70000\n", b"9 9 0\n")),
    lambda r: r.choice(good())[:30] + r.choice(good()),
)
