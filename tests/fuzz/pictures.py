"""Images: every kind that Pillow writes, truncated, spoilt, enormous or of no size at all."""

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

from tests.fuzz.mutate import mutate_bytes, png_chunk
from vireid.data.images import read_image, require_readable
from vireid.data.transforms import resize
from vireid.data.verify import inspect_images
from vireid.errors import DataError

Use = Callable[[], object]
SIZE = (24, 40)  # width, height
HUGE = (20_000, 65_500, 2**31 - 1)
EPS = b"""%%!PS-Adobe-3.0 EPSF-3.0
%%%%BoundingBox: 0 0 8 8
(%s) (w) file closefile
showpage
"""


def image(folder: Path, random: Random) -> Use:
    """One file; what can be read is RGB, can be resized, and passes the look before training."""
    name = random.choice(("a.jpg", "a.png", "a.bmp"))
    path = folder / name
    how = random.randint(0, 7)
    if how == 0:
        content = random.choice(_odd())(random)
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
        found = read_image(path)
        assert found.mode == "RGB" and min(found.size) > 0
        assert resize((64, 32))(found).size == (32, 64)
        assert not inspect_images(folder, [name]).unreadable

    return use


def _must_refuse(path: Path, first: DataError) -> None:
    """What the look before training refuses must not be readable later."""
    try:
        read_image(path)
    except DataError:
        return
    raise AssertionError(f"refused before training, but readable: {first}")


@cache
def good() -> tuple[bytes, ...]:
    """A file of each kind."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    rgb = Image.fromarray(noise)
    grey16 = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    frames = [rgb, rgb.rotate(180), rgb.rotate(90, expand=True)]
    animated = {"save_all": True, "append_images": frames[1:2]}
    found = [
        _saved(rgb, "JPEG"),
        _saved(rgb, "JPEG", progressive=True, quality=30),
        _saved(rgb.convert("L"), "JPEG"),
        _saved(rgb.convert("CMYK"), "JPEG"),
        _saved(rgb, "PNG"),
        _saved(rgb, "PNG", **animated),
        *(_saved(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")),
        _saved(grey16, "PNG"),
        *(_saved(rgb.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")),
        *(_saved(rgb.convert(m), "TIFF") for m in ("L", "RGB", "CMYK", "YCbCr", "LAB", "F", "I")),
        *(_saved(rgb, "TIFF", compression=c) for c in ("tiff_lzw", "tiff_deflate", "jpeg")),
        _saved(grey16, "TIFF"),
        _saved(rgb.convert("P"), "GIF", **animated),
        _saved(rgb, "WEBP", **animated),
        _saved(rgb, "PPM"),
        _saved(rgb, "TGA"),
        _saved(rgb, "ICO"),
        _saved(rgb, "SGI"),
        _saved(rgb, "PCX"),
        _saved(rgb, "DDS"),
    ]
    return tuple(content for content in found if content)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (OSError, KeyError, ValueError):  # this Pillow was built without that codec
        return b""
    return file.getvalue()


def png(width: int, height: int, *, depth: int = 8, kind: int = 2, rows: bytes = b"") -> bytes:
    """A PNG file whose header says what it is told to, with right checksums."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def bmp(width: int, height: int, *, bits: int = 24) -> bytes:
    """A BMP file whose header says what it is told to."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + bytes(256)


def _huge(random: Random) -> bytes:
    """A few bytes that promise more pixels than memory holds; or that hold them, packed."""
    width, height = random.choice(HUGE), random.choice(HUGE)
    if not random.randint(0, 9):  # black, 9400 × 9400: a quarter of a gigabyte out of 90 kB
        return png(9400, 9400, kind=0, rows=bytes((9400 + 1) * 9400))
    return random.choice((png, bmp))(width, height)


def _odd() -> tuple[Callable[[Random], bytes], ...]:
    return (
        lambda r: b"",
        lambda r: bytes(r.choice((1, 2, 100))),
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
