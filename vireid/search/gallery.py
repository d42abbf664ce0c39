"""A gallery of a user's own images: their features on disk, searched by image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vireid.errors import CheckpointError, UsageError
from vireid.search.exact import SearchResults, search_exact
from vireid.search.gallery_files import UNKNOWN, GalleryFiles
from vireid.search.gallery_rows import rows_of
from vireid.search.gallery_writer import Block, writing
from vireid.search.manifest import DTYPES, Job, Meta, require_network
from vireid.structures import Modality
from vireid.utils.paths import expand

if TYPE_CHECKING:
    from vireid.search.approximate import Index


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of a gallery.

    Args:
        path: where it was when it was added.
        name: the same as its folder or CSV file has it.
        pid, camid: None where they are not known.
    """

    row: int
    path: Path
    name: str
    modality: Modality
    pid: int | None
    camid: int | None


class Gallery:
    """Features of images on disk, memory-mapped when opened; see docs/search.md for the files.

    What other processes add or remove later is not seen: open it again for that.

    Args:
        folder: of the gallery.
        fingerprint: of the network that is going to search; None to take any.
    Raises:
        CheckpointError: missing, damaged, truncated, of another version or of another network.
    """

    def __init__(self, folder: str | Path, *, fingerprint: str | None = None) -> None:
        self.folder = expand(folder)
        self._open()
        if fingerprint is not None:
            require_network(self.folder, self.files.meta, fingerprint)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        fingerprint: str,
        dim: int,
        dtype: str = "float32",
        network: str = "",
    ) -> Gallery:
        """An empty gallery, for features that you add.

        Args:
            dtype: ``float32`` or ``float16``, which halves the disk space.
            network: where the network is, for the search tool.
        Raises:
            UsageError: the folder holds a gallery or other files, or cannot be written.
        """
        if dtype not in DTYPES or dim < 1:
            raise UsageError(f"a gallery holds numbers of {' or '.join(DTYPES)}, got {dim} {dtype}")
        path = expand(folder)
        with writing(path, new=Meta(fingerprint, dim, dtype, network)) as writer:
            if writer.meta != Meta(fingerprint, dim, dtype, network):
                raise UsageError(f"{path} holds a gallery already: name another folder")
        return cls(path)

    def _open(self) -> None:
        self.files = GalleryFiles(self.folder)
        self.index: Index | None = None  # of approximate search, once it was needed

    @property
    def fingerprint(self) -> str:
        """Of the network that made the features."""
        return self.files.meta.fingerprint

    @property
    def dim(self) -> int:
        """Numbers per image."""
        return self.files.meta.dim

    @property
    def unfinished(self) -> Job | None:
        """What is being added, or was when that was stopped."""
        return self.files.meta.job

    def __len__(self) -> int:
        return self.files.meta.rows - self.files.meta.dead

    def entry(self, row: int) -> Entry:
        """The image in a row, as ``search`` finds it.

        Raises:
            IndexError: there is no such row; -1 is what approximate search has in place of one.
        """
        if not 0 <= row < self.files.meta.rows:
            raise IndexError(f"row {row} of {self.files.meta.rows}")
        files, values = self.files, self.files.rows[row]
        known = [
            None if values[name] == UNKNOWN else int(values[name]) for name in ("pid", "camid")
        ]
        modality = Modality(int(values["modality"]))
        return Entry(int(row), files.full_path(row), files.path_of(row), modality, *known)

    def entries(self) -> Iterator[Entry]:
        """All images but the removed ones, in the order in which they were added."""
        yield from (self.entry(int(row)) for row in np.flatnonzero(~self.files.removed))

    def add(
        self,
        vectors: np.ndarray,
        paths: Sequence[str],
        *,
        root: str | Path,
        modality: Modality,
        pids: Sequence[int] | None = None,
        camids: Sequence[int] | None = None,
    ) -> None:
        """Adds features that were made elsewhere, all of them or, if it is stopped, none.

        Args:
            vectors: (n, D) finite floats of length 1, of the gallery's network.
            paths: n, relative to ``root`` or absolute.
            pids, camids: (n,) whole numbers from 0, -1 where not known.
        Raises:
            CheckpointError: the vectors do not fit, or are not of length 1.
            UsageError: another process is writing.
        """
        block = Block(vectors, paths, Path(root).resolve(), int(modality), pids, camids)
        with writing(self.folder) as writer:
            _require_whole(writer.folder, writer.meta)
            writer.append(block)
        self._open()

    def remove(self, names: Sequence[str | Path]) -> int:
        """Removes images, or none where one of the names is unknown.

        Args:
            names: files, as their source has them or as paths, or folders that hold some.
        Returns:
            how many images were removed.
        Raises:
            DataError: the gallery holds no such image.
            UsageError: another process is writing, or images are still to be added.
        """
        with writing(self.folder) as writer:
            _require_whole(writer.folder, writer.meta)
            rows = rows_of(writer.reopened(), names)
            writer.remove(rows)
        self._open()
        return len(rows)

    def search(
        self,
        queries: np.ndarray,
        top: int = 10,
        *,
        threads: int | None = None,
        approximate: bool = False,
    ) -> SearchResults:
        """The images nearest to each query; all of them where there are fewer than ``top``.

        Approximate search may find fewer: the ends of such rows are -1, with scores of -inf.

        Args:
            queries: (Q, D) finite floats of length 1, of the gallery's network.
            threads: of the processor; None for torch's own number.
            approximate: by the index that ``approximate_build.build_index`` made.
        Raises:
            CheckpointError: the queries are of another length, or not finite.
            UsageError: ``top`` is below 1; there is no index, or one of an earlier gallery.
        """
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise CheckpointError(
                f"queries have the shape {queries.shape}, but the gallery {self.folder} holds "
                f"{self.dim} numbers per image: they are of another network"
            )
        if not np.isfinite(queries).all():
            raise CheckpointError("features of a query are not finite numbers")
        if top < 1:
            raise UsageError(f"top must be at least 1, got {top}")
        if approximate:
            from vireid.search.approximate import open_index  # needs faiss, which is optional

            self.index = self.index or open_index(self)
            return self.index.search(queries, top, threads=threads)
        return search_exact(self.files, queries, top, threads=threads)

    def digest(self) -> str:
        """Of the vectors and of which of them are removed; an index holds it."""
        digest = hashlib.sha256(f"{self.fingerprint} {self.dim} {self.files.meta.dtype}".encode())
        digest.update(np.ascontiguousarray(self.files.rows["crc"]).tobytes())
        digest.update(np.packbits(self.files.removed).tobytes())
        return digest.hexdigest()[:32]

    def verify(self) -> None:
        """Reads every vector.

        Raises:
            CheckpointError: one, or what is derived from it, is not as it was written.
        """
        self.files.check_rows(np.arange(self.files.meta.rows))


def _require_whole(folder: Path, meta: Meta) -> None:
    if meta.job is not None:
        raise UsageError(
            f"the gallery {folder} is not finished: {meta.job.images} is being added; continue "
            "that first"
        )
