"""How images come into a gallery, block by block, so that a stop at any moment loses one block."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError, UsageError
from vireid.search.gallery_files import CODING, SKIPPED
from vireid.search.gallery_images import AT_START, IN_GALLERY, Listed, Listing, list_images
from vireid.search.gallery_writer import Block, Skipped, Writer, writing
from vireid.search.manifest import Job, Meta, damaged, require_network
from vireid.structures import Modality
from vireid.utils.paths import expand
from vireid.utils.threads import threaded_map

BLOCK = 256  # images that are lost at most by a stop


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Args:
        done, total: images, those among them that could not be read.
        job: what is being added.
    """

    done: int
    total: int
    job: Job


class Extracts(Protocol):
    """What makes features of images; ``extractor.Extractor`` is one."""

    dim: int
    fingerprint: str
    modalities: tuple[str, ...]

    def __call__(self, images: Sequence[Path], modality: str) -> np.ndarray: ...


def ingest(
    folder: str | Path,
    images: str | Path | Listing,
    extractor: Extracts,
    modality: Modality,
    *,
    new: bool,
    dtype: str = "float32",
    network: str = "",
    block: int = BLOCK,
) -> Generator[Progress, None, None]:
    """Builds a gallery of images, or adds some to it; continues where it was stopped.

    Args:
        images: folder or CSV file; see ``gallery_images.list_images``.
        new: build, in a folder that holds no gallery yet or one that is not finished.
        dtype, network: see ``gallery.Gallery.create``.
        block: images per block, after each of which the gallery is whole on the disk.
    Yields:
        how far it came, after each block.
    Raises:
        CheckpointError: the gallery is missing, damaged, or of another network.
        DataError: there are no such images.
        UsageError: it holds images already, others are being added, or another process is writing.
    """
    path = expand(folder)
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
        if new and writer.meta.dtype != dtype:
            raise UsageError(
                f"{path} was begun with numbers of {writer.meta.dtype}, not {dtype}: continue it "
                "with these, or name another folder"
            )
        yield from _fill(writer, listing, extractor, modality, block=block)


def _fill(
    writer: Writer,
    listing: Listing,
    extractor: Extracts,
    modality: Modality,
    *,
    block: int = BLOCK,
) -> Iterator[Progress]:
    """Adds a listing's images, and continues where an earlier call was stopped, however it was.

    Blocks of a continued call begin where those of an undisturbed one would, so that the network
    sees the same batches and the gallery becomes the same bit for bit.

    Yields:
        images done and images in all, after each block, which is on the disk by then.
    Raises:
        DataError: the extractor's own about an image that can be read.
        UsageError: other images are being added, and were not finished.
    """
    root, job = listing.root, writer.meta.job
    wanted = str(listing.source)
    if job is None:
        before = _live_paths(writer, writer.meta.rows)
        known = [image for image in listing.images if _full(root, image.path) in before]
        total = len(listing.images) - len(known)
        job = Job(wanted, int(modality), writer.meta.rows, writer.meta.skipped_bytes, total)
        writer.begin(job, (*listing.skipped, *((image.path, IN_GALLERY) for image in known)))
    elif (job.images, job.modality) != (wanted, int(modality)):
        raise UsageError(
            f"the gallery {writer.folder} is not finished: {job.images} "
            f"({Modality(job.modality).name.lower()}) is being added; continue that first"
        )
    done = _live_paths(writer, writer.meta.rows) | _skipped_paths(writer, job, root)
    todo = [image for image in listing.images if _full(root, image.path) not in done]
    total = max(job.total, len(todo))
    yield Progress(total - len(todo), total, job)
    for start in range(0, len(todo), block):
        part = todo[start : start + block]
        vectors, good, skipped = extract_readable(extractor, root, part, modality)
        pids, camids = [image.pid for image in good], [image.camid for image in good]
        paths = [image.path for image in good]
        writer.append(Block(vectors, paths, root, int(modality), pids, camids), skipped)
        yield Progress(total - len(todo) + start + len(part), total, job)
    writer.finish()


def extract_readable(
    extractor: Extracts, root: Path, images: Sequence[Listed], modality: Modality
) -> tuple[np.ndarray, list[Listed], list[Skipped]]:
    """Features of the images that can be read, these images, and the others.

    Raises:
        DataError: the extractor's own about images that can be read.
    """
    name, paths = modality.name.lower(), [root / image.path for image in images]
    try:
        return extractor(paths, name), list(images), []
    except DataError:  # some cannot be read: rare, so that they are looked for only now
        found = list(threaded_map(_why_unreadable, paths, doing="looking at images"))
        good = [image for image, reason in zip(images, found, strict=True) if not reason]
        if len(good) == len(images):
            raise
        skipped = [(i.path, reason) for i, reason in zip(images, found, strict=True) if reason]
        empty = np.empty((0, extractor.dim), dtype=np.float32)
        chosen = [root / image.path for image in good]
        return (extractor(chosen, name) if good else empty), good, skipped


def _why_unreadable(path: Path) -> str:
    try:
        read_image(path, SHOWN)
    except DataError as error:
        return str(error)
    return ""


def _full(root: Path, path: str) -> str:
    """As ``gallery_files.GalleryFiles.full_paths`` has it."""
    return os.path.normpath(root / path)


def _live_paths(writer: Writer, rows: int) -> set[str]:
    """Full paths of the first rows but for removed ones."""
    files = writer.reopened()
    return set(files.full_paths(np.flatnonzero(~files.removed[:rows])))


def _skipped_paths(writer: Writer, job: Job, root: Path) -> set[str]:
    """Full paths of the listed images that the job could not read."""
    found = read_skipped(writer.folder, job.skipped_from, writer.meta.skipped_bytes)
    return {_full(root, path) for path, reason in found if reason not in AT_START}


def read_skipped(folder: Path, start: int, stop: int) -> list[Skipped]:
    """Paths and reasons of a gallery's skipped.csv, from one byte to another.

    Raises:
        CheckpointError: it is damaged.
    """
    with (folder / SKIPPED).open("rb") as file:
        text = file.read(stop)[start:].decode(*CODING)
    try:
        rows = [cells for cells in csv.reader(io.StringIO(text, newline="")) if len(cells) == 3]
    except csv.Error as error:
        raise damaged(folder / SKIPPED, f"is damaged ({error})") from error
    return [(path, reason) for images, path, reason in rows if images != "images"]
