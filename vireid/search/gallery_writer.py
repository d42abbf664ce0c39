"""Changes of a gallery's files, each of which happens whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vireid.errors import CheckpointError, UsageError
from vireid.search.codes import encode
from vireid.search.gallery_disk import LOCK, commit, locked, sync, write_behind
from vireid.search.gallery_files import (
    CODING,
    ROW,
    SKIPPED,
    UNKNOWN,
    GalleryFiles,
    checksum,
    file_of,
    removed_name,
    sizes,
    widths,
)
from vireid.search.manifest import META, Job, Meta, meta_bytes, read_meta
from vireid.utils.paths import is_hidden

COPIED = 65_536  # rows rewritten at once
TOLERANCE = 0.01  # of a vector's length, which is 1
Skipped = tuple[str, str]  # path, reason


@dataclass(frozen=True, slots=True)
class Block:
    """Rows to be added.

    Args:
        vectors: (n, D) floats.
        paths: n, relative to ``root`` or absolute.
        modality: value of ``Modality``.
        pids, camids: (n,) whole numbers; None where they are not known.
    """

    vectors: np.ndarray
    paths: Sequence[str]
    root: Path
    modality: int
    pids: Sequence[int] | None = None
    camids: Sequence[int] | None = None


@contextmanager
def writing(folder: Path, *, new: Meta | None = None) -> Iterator[Writer]:
    """The one writer of a gallery.

    Args:
        new: begins an empty gallery by this, if there is none; the folder may not hold other files.
    Raises:
        CheckpointError: there is no gallery, or it is damaged.
        UsageError: another process is writing, or the folder cannot be written.
    """
    try:
        if new is not None:
            folder.mkdir(parents=True, exist_ok=True)
        elif not (folder / META).is_file():
            read_meta(folder)  # says that there is none
        with locked(folder):
            if new is not None and not (folder / META).exists():
                _begin(folder, new)
            yield Writer(folder)
    except OSError as error:
        raise UsageError(f"cannot write the gallery {folder}: {error.strerror or error}") from error


def _begin(folder: Path, meta: Meta) -> None:
    left = {SKIPPED, *(file_of(folder, meta, name).name for name in sizes(meta))}
    for entry in sorted(folder.iterdir()):  # a start that was cut off leaves some of ours
        own = entry.name in {LOCK, *left} or entry.name.startswith(META)
        if not own and not is_hidden(entry.name):
            raise UsageError(
                f"{folder} is not a gallery, but holds {entry.name}: name an empty or new folder"
            )
    for name in left:
        (folder / name).write_bytes(b"")
    commit(folder / META, meta_bytes(meta))


class Writer:
    """Appends to and removes from a gallery; made by ``writing``.

    Attributes:
        files: as they were when the writer began.
        meta: what counts now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, GalleryFiles(folder)
        self.meta = self.files.meta
        _remove_others(folder, self.meta)

    def reopened(self) -> GalleryFiles:
        """The files with all that was written so far."""
        if self.files.meta != self.meta:
            self.files = GalleryFiles(self.folder)
        return self.files

    def begin(self, job: Job, skipped: Sequence[Skipped] = ()) -> None:
        """From here on images are being added, until ``finish``."""
        self._append(None, skipped, replace(self.meta, job=job))

    def finish(self) -> None:
        self._append(None, (), replace(self.meta, job=None))

    def append(self, block: Block | None, skipped: Sequence[Skipped] = ()) -> None:
        """Adds rows, and lines of skipped.csv; when it returns they are on the disk.

        Raises:
            CheckpointError: a vector has other than the gallery's numbers, is not finite, or not of
                length 1.
        """
        self._append(block, skipped, self.meta)

    def _append(self, block: Block | None, skipped: Sequence[Skipped], meta: Meta) -> None:
        if block is not None and len(block.paths):
            meta, columns = self._columns(block, meta)
            before = sizes(self.meta)
            for name, data in columns.items():
                write_behind(file_of(self.folder, meta, name), before[name], data)
        lines = _lines(meta.job, skipped, heading=not meta.skipped_bytes)
        if lines:
            write_behind(self.folder / SKIPPED, meta.skipped_bytes, lines)
            meta = replace(meta, skipped_bytes=meta.skipped_bytes + len(lines))
        if meta != self.meta:
            commit(self.folder / META, meta_bytes(meta))
            self.meta = meta

    def _columns(self, block: Block, meta: Meta) -> tuple[Meta, dict[str, bytes]]:
        vectors = self._checked(block)
        codes, bounds = encode(vectors)
        paths = [path.encode(*CODING) for path in block.paths]
        root, sources = str(block.root), meta.sources
        if root not in sources:
            sources = (*sources, root)
        rows = np.zeros(len(paths), dtype=ROW)
        rows["path_end"] = meta.path_bytes + np.cumsum([len(path) for path in paths])
        rows["source"], rows["modality"] = sources.index(root), block.modality
        for name, values in (("pid", block.pids), ("camid", block.camids)):
            rows[name] = UNKNOWN if values is None else values
        known = zip(vectors, rows, paths, strict=True)
        rows["crc"] = [checksum(*one) for one in known]
        arrays = {"vectors": vectors, "codes": codes, "bounds": bounds, "rows": rows}
        columns = {
            name: arrays[name].astype(dtype, copy=False).tobytes()
            for name, (dtype, _) in widths(meta).items()
        }
        columns["paths"] = b"".join(paths)
        size = meta.path_bytes + len(columns["paths"])
        meta = replace(meta, rows=meta.rows + len(paths), path_bytes=size, sources=sources)
        return meta, columns

    def _checked(self, block: Block) -> np.ndarray:
        """(n, D) as the gallery stores them."""
        vectors = np.asarray(block.vectors)
        if vectors.shape != (len(block.paths), self.meta.dim):
            raise CheckpointError(
                f"{len(block.paths)} images have features of shape {vectors.shape}, but the "
                f"gallery {self.folder} holds {self.meta.dim} numbers per image"
            )
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise CheckpointError(
                f"the features of {block.paths[int(np.argmin(finite))]} are not finite numbers: "
                "the network is damaged, or computes in too few bits"
            )
        lengths = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1)
        worst = int(np.argmax(np.abs(lengths - 1)))
        if np.abs(lengths[worst] - 1) > TOLERANCE:
            raise CheckpointError(
                f"the features of {block.paths[worst]} have the length {lengths[worst]:.4g}, not "
                "1: divide all features by their lengths"
            )
        dtype, _ = widths(self.meta)["vectors"]
        return np.ascontiguousarray(vectors, dtype=dtype)

    def remove(self, rows: np.ndarray, *, rewrite_above: float = 0.25) -> None:
        """Removes rows. They keep their places until more than a part of all rows is removed;
        then the files are rewritten without them, in the same order.

        Args:
            rewrite_above: that part.
        """
        removed = self.reopened().removed.copy()
        removed[rows] = True
        numbers = np.flatnonzero(removed)
        if len(numbers) > rewrite_above * len(removed):
            self._rewrite(~removed)
            return
        name = removed_name(self.meta, numbers)
        with (self.folder / name).open("wb") as file:
            file.write(numbers.astype("<i8").tobytes())
            sync(file)
        self._switch(replace(self.meta, removed=name, dead=len(numbers)))

    def _rewrite(self, kept: np.ndarray) -> None:
        """Copies the rows that stay to files of the next generation."""
        files, old = self.files, self.meta
        meta = replace(old, generation=old.generation + 1, rows=0, path_bytes=0, removed="", dead=0)
        chosen = np.flatnonzero(kept)
        handles = {n: file_of(self.folder, meta, n).open("wb") for n in sizes(meta)}
        try:
            for start in range(0, len(chosen), COPIED):
                part = chosen[start : start + COPIED]
                paths = [files.path_bytes_of(int(row)) for row in part]
                rows = files.rows[part]
                rows["path_end"] = meta.path_bytes + np.cumsum([len(path) for path in paths])
                for name in ("vectors", "codes", "bounds"):
                    handles[name].write(getattr(files, name)[part].tobytes())
                handles["rows"].write(rows.tobytes())
                handles["paths"].write(b"".join(paths))
                meta = replace(
                    meta, rows=meta.rows + len(part), path_bytes=int(rows["path_end"][-1])
                )
            for handle in handles.values():
                sync(handle)
        finally:
            for handle in handles.values():
                handle.close()
        self._switch(meta)

    def _switch(self, meta: Meta) -> None:
        commit(self.folder / META, meta_bytes(meta))
        self.meta, self.files = meta, GalleryFiles(self.folder)
        _remove_others(self.folder, meta)


def _remove_others(folder: Path, meta: Meta) -> None:
    """Files of other generations, and half-written ones: of a change that was cut off, or that
    this one replaced."""
    current = {file_of(folder, meta, name).name for name in sizes(meta)} | {meta.removed}
    for name in (*sizes(meta), "removed"):
        for path in folder.glob(f"{name}.*.bin"):
            if path.name not in current:
                path.unlink(missing_ok=True)
    for name in (META, "approximate.*"):  # as output.replace_file() calls them
        for path in folder.glob(f"{name}.[0-9]*.tmp"):
            path.unlink(missing_ok=True)


def _lines(job: Job | None, skipped: Sequence[Skipped], *, heading: bool) -> bytes:
    if not skipped:
        return b""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if heading:
        rows.writerow(["images", "path", "reason"])
    rows.writerows([job.images if job else "", *one] for one in skipped)
    return text.getvalue().encode(*CODING)
