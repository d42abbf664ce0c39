"""A gallery's folder: what is in it, how it is read, and why half a file is never taken for one.

``gallery.json`` says how many rows of the other files count. They only grow: a block is written
behind the rows that count, brought to the disk, and then gallery.json is replaced, which makes it
count. What stands behind is left from a block that was cut off, and is written over. A removed row
keeps its place until the files are rewritten under another number (``generation``).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vireid.deploy.codes import encode
from vireid.errors import CheckpointError

FORMAT = 1
META, SKIPPED = "gallery.json", "skipped.csv"
DTYPES = ("float32", "float16")
UNKNOWN = -1  # of identities and cameras
ROW = np.dtype(
    [
        ("path_end", "<i8"),  # bytes of all paths up to this row's end
        ("pid", "<i8"),
        ("camid", "<i8"),
        ("source", "<i4"),
        ("crc", "<u4"),  # of the row's vector
        ("modality", "u1"),
    ]
)
CHECKED = 64  # vectors that are checked when a gallery is opened
CODING = ("utf-8", "surrogateescape")  # of paths, which may hold any bytes
RESTORE = "restore the folder from a copy, or build the gallery again"


@dataclass(frozen=True, slots=True)
class Job:
    """Images that are being added; a gallery without is whole.

    Args:
        images: folder or CSV file.
        modality: value of :class:`Modality`.
        first_row: rows before the job's own.
        skipped_from: bytes of skipped.csv before the job's own lines.
        total: images to add.
    """

    images: str
    modality: int
    first_row: int
    skipped_from: int
    total: int


@dataclass(frozen=True, slots=True)
class Meta:
    """gallery.json.

    Args:
        fingerprint: of the network; vectors of another one are refused.
        network: exported file or run folder that made the vectors.
        rows, path_bytes, skipped_bytes: what counts of the other files.
        generation: number in the files' names.
        removed, dead: file of the rows that were removed, empty for none, and their number.
        sources: folders that the paths begin in.
        job: what is being added.
    """

    fingerprint: str
    dim: int
    dtype: str = "float32"
    network: str = ""
    rows: int = 0
    path_bytes: int = 0
    skipped_bytes: int = 0
    generation: int = 0
    removed: str = ""
    dead: int = 0
    sources: tuple[str, ...] = ()
    job: Job | None = None


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
        codes, bounds: (N, D) int8, (N, 3) float32, as :func:`codes.encode` makes them.
        rows: (N,) of :data:`ROW`.
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
                    raise _damaged(Path(error.filename), "is missing") from error
        self._check_rows()

    def _map(self) -> None:
        meta, needed = self.meta, sizes(self.meta)
        files = {file_of(self.folder, meta, name): size for name, size in needed.items()}
        for path, size in (files | {self.folder / SKIPPED: meta.skipped_bytes}).items():
            found = path.stat().st_size
            if found < size:
                raise _damaged(path, f"is truncated: {found:,} of {size:,} bytes")
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
        numbers = np.fromfile(path, dtype="<i8")
        unique = np.unique(numbers)
        inside = not len(unique) or (unique[0] >= 0 and unique[-1] < self.meta.rows)
        whole = path.name == removed_name(self.meta, numbers) and len(numbers) == self.meta.dead
        if len(unique) != self.meta.dead or not whole or not inside:
            raise _damaged(path, f"does not hold the numbers of {self.meta.dead:,} rows")
        removed[numbers] = True
        return removed

    def _check_rows(self) -> None:
        ends = self.rows["path_end"]
        if len(ends) and (
            ends[-1] != self.meta.path_bytes or (np.diff(ends, prepend=0) <= 0).any()
        ):
            raise _damaged(file_of(self.folder, self.meta, "rows"), "does not fit its paths")
        sources = self.rows["source"]
        if len(ends) and not 0 <= sources.min() <= sources.max() < len(self.meta.sources):
            raise _damaged(file_of(self.folder, self.meta, "rows"), "names unknown folders")
        if len(ends):
            some = np.linspace(0, len(ends) - 1, CHECKED).astype(np.int64)
            self.check_vectors(np.unique(some))

    def check_vectors(self, rows: np.ndarray) -> None:
        """
        Raises:
            CheckpointError: a row's vector or its codes are not what was written.
        """
        for start in range(0, len(rows), CHECKED):
            part = rows[start : start + CHECKED]
            vectors = self.vectors[part]
            sums = np.array([zlib.crc32(vector) for vector in vectors], dtype=np.uint32)
            codes, bounds = encode(vectors)
            good = {
                "vectors": sums == self.rows["crc"][part],
                "codes": (codes == self.codes[part]).all(axis=1),
                "bounds": np.isclose(bounds, self.bounds[part], rtol=1e-5, atol=0).all(axis=1),
            }
            for name, same in good.items():
                if not same.all():
                    path, row = file_of(self.folder, self.meta, name), part[np.argmin(same)]
                    raise _damaged(path, f"is not as it was written (row {row:,})")

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
    """Copy-on-write, because torch warns of arrays that cannot be written; nobody writes."""
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)


def read_meta(folder: Path) -> Meta:
    """
    Raises:
        CheckpointError: there is no gallery, or gallery.json is damaged or of another version.
    """
    path = folder / META
    try:
        content = json.loads(path.read_bytes().decode(*CODING))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f"there is no gallery in {folder} (no {META}): build one, or name another folder"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else None
        raise CheckpointError(
            f"{path} has format {version!r:.40}; this version reads format {FORMAT}: build the "
            "gallery again"
        )
    try:
        return _meta_of(content)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"is damaged ({type(error).__name__}: {error})") from error


def _meta_of(content: Mapping[str, Any]) -> Meta:
    values = {field.name: content[field.name] for field in fields(Meta)}
    job, sources = values["job"], values["sources"]
    values["job"] = None if job is None else Job(**job)
    values["sources"] = tuple(sources)
    meta = Meta(**values)
    for one in (meta, *((meta.job,) if meta.job else ())):
        for field in fields(one):
            value = getattr(one, field.name)
            wanted = {"int": int, "str": str}.get(str(field.type), object)
            if not isinstance(value, wanted) or (wanted is int and value < 0):
                raise ValueError(f"{field.name} is {value!r}")
    if meta.dim < 1 or meta.dtype not in DTYPES or not all(isinstance(s, str) for s in sources):
        raise ValueError(f"{meta.dim} numbers of {meta.dtype}, from {sources}")
    return meta


def meta_bytes(meta: Meta) -> bytes:
    """What gallery.json holds."""
    content = {"format": FORMAT} | asdict(meta)
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(*CODING)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"gallery file {path} {what}: {RESTORE}")


def require_network(folder: Path, meta: Meta, fingerprint: str) -> None:
    """
    Raises:
        CheckpointError: the gallery was made by another network.
    """
    if meta.fingerprint != fingerprint:
        made = f" ({meta.network})" if meta.network else ""
        raise CheckpointError(
            f"the gallery {folder} was made by another network{made}: its fingerprint is "
            f"{meta.fingerprint:.16}, that of the given one {fingerprint:.16}; search it with its "
            "own, or build it again"
        )
