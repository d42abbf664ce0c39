"""A gallery of one's own images: their features on disk, searched by image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid.deploy.exact import Found, search_exact
from vireid.deploy.gallery_files import DTYPES, UNKNOWN, GalleryFiles, Job, Meta
from vireid.deploy.gallery_images import BLOCK, Extracts, Listing, fill, list_images
from vireid.deploy.gallery_writer import Block, writing
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.structures import Modality


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
        self.folder = Path(folder).expanduser()
        self.files = GalleryFiles(self.folder)
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
        """An empty gallery, for features of one's own.

        Args:
            dtype: ``float32`` or ``float16``, which halves the disk space.
            network: where the network is, for the search tool.
        Raises:
            UsageError: the folder holds a gallery or other files, or cannot be written.
        """
        if dtype not in DTYPES or dim < 1:
            raise UsageError(f"a gallery holds numbers of {' or '.join(DTYPES)}, got {dim} {dtype}")
        path = Path(folder).expanduser()
        with writing(path, new=Meta(fingerprint, dim, dtype, network)) as writer:
            if writer.meta != Meta(fingerprint, dim, dtype, network):
                raise UsageError(f"{path} holds a gallery already: name another folder")
        return cls(path)

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
        """The image in a row, as :meth:`search` finds it."""
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
            CheckpointError: the vectors do not fit.
            UsageError: another process is writing.
        """
        block = Block(vectors, paths, Path(root).resolve(), int(modality), pids, camids)
        with writing(self.folder) as writer:
            _require_whole(writer.folder, writer.meta)
            writer.append(block)
        self.files = GalleryFiles(self.folder)

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
            rows = _rows_of(writer.reopened(), names)
            writer.remove(rows)
        self.files = GalleryFiles(self.folder)
        return len(rows)

    def search(
        self,
        queries: np.ndarray,
        top: int = 10,
        *,
        threads: int | None = None,
        approximate: bool = False,
    ) -> Found:
        """The images nearest to each query; all of them where there are fewer than ``top``.

        Args:
            queries: (Q, D) finite floats of length 1, of the gallery's network.
            threads: of the processor; None for torch's own number.
            approximate: by the index that :func:`approximate.build_index` made.
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
            from vireid.deploy.approximate import open_index  # needs faiss, which is optional

            return open_index(self).search(queries, top, threads=threads)
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
            CheckpointError: one is not as it was written.
        """
        self.files.check_vectors(range(self.files.meta.rows))


def fill_gallery(
    folder: str | Path,
    images: str | Path | Listing,
    extractor: Extracts,
    modality: Modality,
    *,
    new: bool,
    dtype: str = "float32",
    network: str = "",
    block: int = BLOCK,
) -> Iterator[tuple[int, int]]:
    """Builds a gallery of images, or adds some to it; continues where it was stopped.

    Args:
        images: folder or CSV file; see :func:`gallery_images.list_images`.
        new: build, in a folder that holds no gallery yet or one that is not finished.
        dtype, network: see :meth:`Gallery.create`.
        block: images per block, after each of which the gallery is whole on the disk.
    Yields:
        images done and images in all.
    Raises:
        CheckpointError: the gallery is missing, damaged, or of another network.
        DataError: there are no such images.
        UsageError: it holds images already, others are being added, or another process is writing.
    """
    path = Path(folder).expanduser()
    if modality.name.lower() not in extractor.modalities:
        raise UsageError(
            f"the network takes {' and '.join(extractor.modalities)} images, "
            f"not {modality.name.lower()} ones"
        )
    listing = images if isinstance(images, Listing) else list_images(images, modality)
    start = Meta(extractor.fingerprint, extractor.dim, dtype, network) if new else None
    with writing(path, new=start) as writer:
        require_network(path, writer.meta, extractor.fingerprint)
        if new and writer.meta.rows and writer.meta.job is None:
            raise UsageError(
                f"{path} holds a gallery of {writer.meta.rows - writer.meta.dead:,} images "
                "already: add to it, or name another folder"
            )
        yield from fill(writer, listing, extractor, modality, block=block)


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


def _require_whole(folder: Path, meta: Meta) -> None:
    if meta.job is not None:
        raise UsageError(
            f"the gallery {folder} is not finished: {meta.job.images} is being added; continue "
            "that first"
        )


def _rows_of(files: GalleryFiles, names: Sequence[str | Path]) -> np.ndarray:
    """Rows of images by their paths or by folders above them."""
    live = np.flatnonzero(~files.removed)
    found: set[int] = set()
    by_path: dict[str, list[int]] = {}
    for row in live.tolist():
        full, name = str(files.full_path(row)), files.path_of(row)
        for text in {full, name}:
            by_path.setdefault(text, []).append(row)
    for given in names:
        text = os.path.normpath(given)
        full = str(Path(given).expanduser().absolute())
        full = os.path.normpath(full)
        rows = (
            by_path.get(full)
            or by_path.get(text)
            or [
                row
                for path, some in by_path.items()
                if path.startswith(full + os.sep)
                for row in some
            ]
        )
        if not rows:
            raise DataError(
                f"the gallery {files.folder} holds no image {given}: nothing is removed"
            )
        found.update(rows)
    return np.array(sorted(found))
