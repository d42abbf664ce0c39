"""A gallery's folder: what is in it, how it is read, and why half a file is never taken for one.

``gallery.json`` says how many rows of the other files count. They only grow: a block is written
behind the rows that count, brought to the disk, and then gallery.json is replaced, which makes it
count. What stands behind is left from a block that was cut off, and is written over. A removed row
keeps its place until the files are rewritten under another number (``generation``).
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.search.codes import encode
from vireid.search.manifest import Meta, damaged, read_meta
from vireid.structures import Modality

SKIPPED = "skipped.csv"
UNKNOWN = -1  # of identities and cameras
LABELS = ("pid", "camid", "source", "modality")  # fields of a row that its checksum covers
ROW = np.dtype(
    [
        ("path_end", "<i8"),  # bytes of all paths up to this row's end
        ("pid", "<i8"),
        ("camid", "<i8"),
        ("source", "<i4"),
        ("crc", "<u4"),  # of the row's vector, path and other fields
        ("modality", "u1"),
    ]
)
CHECKED = 64  # vectors that are checked when a gallery is opened
CODING = ("utf-8", "surrogateescape")  # of paths, which may hold any bytes


def widths(meta: Meta) -> dict[str, tuple[np.dtype, int]]:
    """The files with one entry per row: type, and numbers per row."""
    return {
        "vectors": (np.dtype(meta.dtype).newbyteorder("<"), meta.dim),
        "codes": (np.dtype("i1"), meta.dim),
        "bounds": (np.dtype("<f4"), 3),
        "rows": (ROW, 1),
    }


def file_of(folder: Path, meta: Meta, name: str) -> Path:
    return folder / f"{name}.{meta.generation}.bin"


def checksum(vector: np.ndarray, row: np.void, path: bytes) -> int:
    """Of all that a gallery knows of an image."""
    labels = " ".join(str(row[name]) for name in LABELS).encode()
    return zlib.crc32(labels, zlib.crc32(path, zlib.crc32(vector.tobytes())))


def removed_name(meta: Meta, numbers: np.ndarray) -> str:
    """Of the file with the numbers of the removed rows; tells whether they are whole."""
    return f"removed.{zlib.crc32(numbers.astype('<i8').tobytes()):08x}.{meta.generation}.bin"


def sizes(meta: Meta) -> dict[str, int]:
    """Bytes that count of each file of a generation."""
    found = {name: meta.rows * dtype.itemsize * n for name, (dtype, n) in widths(meta).items()}
    return found | {"paths": meta.path_bytes}


class GalleryFiles:
    """A gallery's files, memory-mapped; never written through this.

    Attributes:
        vectors: (N, D) float32 or float16.
        codes, bounds: (N, D) int8, (N, 3) float32, as ``codes.encode`` makes them.
        rows: (N,) of ``ROW``.
        removed: (N,) bool.
    Raises:
        CheckpointError: missing, damaged, truncated or of another version; says which file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for attempt in range(3):
            self.meta = read_meta(folder)
            try:
                self._map()
                break
            except FileNotFoundError as error:  # perhaps another process rewrote it just now
                if attempt == 2 or read_meta(folder) == self.meta:
                    raise damaged(Path(error.filename), "is missing") from error
        self._check_shape()

    def _map(self) -> None:
        meta, needed = self.meta, sizes(self.meta)
        files = {file_of(self.folder, meta, name): size for name, size in needed.items()}
        for path, size in (files | {self.folder / SKIPPED: meta.skipped_bytes}).items():
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise damaged(path, "is not a file")
            if status.st_size < size:
                raise damaged(path, f"is truncated: {status.st_size:,} of {size:,} bytes")
        found = {
            name: _mapped(file_of(self.folder, meta, name), dtype, (meta.rows, numbers))
            for name, (dtype, numbers) in widths(meta).items()
        }
        self.vectors, self.codes, self.bounds = found["vectors"], found["codes"], found["bounds"]
        self.rows = found["rows"].reshape(-1)
        self._text = _mapped(
            file_of(self.folder, meta, "paths"), np.dtype("u1"), (needed["paths"],)
        )
        self.removed = self._read_removed()

    def _read_removed(self) -> np.ndarray:
        removed = np.zeros(self.meta.rows, dtype=bool)
        if not self.meta.removed:
            return removed
        path = self.folder / self.meta.removed
        if path.stat().st_size != 8 * self.meta.dead:
            raise damaged(path, f"does not hold the numbers of {self.meta.dead:,} rows")
        numbers = np.fromfile(path, dtype="<i8")
        unique = np.unique(numbers)
        inside = not len(unique) or (unique[0] >= 0 and unique[-1] < self.meta.rows)
        whole = path.name == removed_name(self.meta, numbers) and len(numbers) == self.meta.dead
        if len(unique) != self.meta.dead or not whole or not inside:
            raise damaged(path, f"does not hold the numbers of {self.meta.dead:,} rows")
        removed[numbers] = True
        return removed

    def _check_shape(self) -> None:
        ends = self.rows["path_end"]
        grow = not len(ends) or (ends[0] > 0 and (ends[1:] > ends[:-1]).all())
        if not grow or (ends[-1:] != self.meta.path_bytes).any():
            raise damaged(file_of(self.folder, self.meta, "rows"), "does not fit its paths")
        sources = self.rows["source"]
        if len(ends) and not 0 <= sources.min() <= sources.max() < len(self.meta.sources):
            raise damaged(file_of(self.folder, self.meta, "rows"), "names unknown folders")
        if not np.isin(self.rows["modality"], list(Modality)).all():
            raise damaged(file_of(self.folder, self.meta, "rows"), "names unknown modalities")
        if len(ends):
            some = np.linspace(0, len(ends) - 1, CHECKED).astype(np.int64)
            self.check_rows(np.unique(some))

    def check_rows(self, rows: np.ndarray) -> None:
        """
        Raises:
            CheckpointError: a row's vector, codes, labels or path are not what was written.
        """
        for start in range(0, len(rows), CHECKED):
            part = rows[start : start + CHECKED]
            vectors = self.vectors[part]
            known = [(self.rows[row], self.path_bytes_of(int(row))) for row in part]
            sums = [checksum(v, *one) for v, one in zip(vectors, known, strict=True)]
            codes, bounds = encode(vectors)
            good = {
                "rows": self.rows["crc"][part] == sums,
                "codes": (codes == self.codes[part]).all(axis=1),
                "bounds": np.isclose(bounds, self.bounds[part], rtol=1e-5, atol=0).all(axis=1),
            }
            for name, same in good.items():
                if not same.all():
                    path, row = file_of(self.folder, self.meta, name), part[np.argmin(same)]
                    what = (
                        "does not fit the vectors and paths beside it"
                        if name == "rows"
                        else ("is not as it was written")
                    )
                    raise damaged(path, f"{what} (row {row:,})")

    def path_bytes_of(self, row: int) -> bytes:
        start = int(self.rows["path_end"][row - 1]) if row else 0
        return bytes(self._text[start : int(self.rows["path_end"][row])])

    def path_of(self, row: int) -> str:
        """As the source has it: relative to its folder, or absolute."""
        return self.path_bytes_of(row).decode(*CODING)

    def full_path(self, row: int) -> Path:
        source = self.meta.sources[int(self.rows["source"][row])]
        return Path(os.path.normpath(Path(source, self.path_of(row))))

    def full_paths(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return [str(self.full_path(int(row))) for row in rows]


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Copy-on-write, because torch warns of read-only arrays; the array is never written."""
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)
