"""Image files that Pillow does not write: TIFFs of any number type, PNGs of sixteen bits."""

import struct
import zlib
from pathlib import Path

import numpy as np

SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}


def write_tiff(
    path: Path,
    array: np.ndarray,
    *,
    order: str = "<",
    photometric: int | None = None,
    compressed: bool = False,
    orientation: int = 1,
) -> Path:
    """One strip of (H, W) grey or (H, W, C) colour values of the array's type.

    Args:
        order: of bytes, ``<`` or ``>``.
        photometric: 0: the lowest value is white; None: black, or RGB.
        compressed: by zlib.
    """
    height, width, *more = array.shape
    channels = more[0] if more else 1
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compressed else data
    bits, kind = 8 * array.dtype.itemsize, SAMPLE_FORMATS[array.dtype.kind]
    usual = 2 if channels > 1 else 1
    tags = {256: width, 257: height, 259: 8 if compressed else 1, 273: 8}
    tags |= {262: usual if photometric is None else photometric, 274: orientation}
    tags |= {277: channels, 278: height, 279: len(data)}
    start, more_bytes = 8 + len(data) + len(data) % 2, b""
    entries = []
    for tag in sorted([*tags, 258, 339]):
        many = {258: bits, 339: kind}.get(tag)
        if many is None:
            entries.append(struct.pack(order + "HHII", tag, 4, 1, tags[tag]))
        elif channels == 1:
            entries.append(struct.pack(order + "HHIHxx", tag, 3, 1, many))
        else:
            place = start + 2 + 12 * (len(tags) + 2) + 4 + len(more_bytes)
            more_bytes += struct.pack(order + f"{channels}H", *[many] * channels)
            entries.append(struct.pack(order + "HHII", tag, 3, channels, place))
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, start)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(head + data + bytes(len(data) % 2) + directory + more_bytes)
    return path


def write_png16(path: Path, array: np.ndarray, key: tuple[int, ...] = ()) -> Path:
    """(H, W, C) uint16: grey, grey and alpha, RGB or RGBA.

    Args:
        key: grey value or colour that is transparent.
    """
    height, width, channels = array.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    parts = [b"\x89PNG\r\n\x1a\n"]
    parts.append(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)))
    if key:
        parts.append(chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"".join(parts))
    return path
