"""Fills a gallery with images, in commits of which a stop at any moment loses one.

Any number of processes and hosts fill one gallery: each takes its share of the images, and equal
content is added once, whichever process is first.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError
from vireid.search.columns import build_rows
from vireid.search.gallery import Gallery
from vireid.search.listing import Listed, Listing, Skipped
from vireid.structures import Modality
from vireid.utils.threads import threaded_map

BLOCK = 256  # images whose features are computed between two looks at the clock
COMMIT_SECONDS, COMMIT_IMAGES = 10.0, 4096  # a stop loses what was computed since
IN_GALLERY = "in the gallery already"
SAME_CONTENT = "equal to an image in the gallery"
ID_DIGITS = 32


class Extracts(Protocol):
    """What makes features of images; ``deploy.Extractor`` is one."""

    dim: int
    fingerprint: str
    modalities: tuple[str, ...]

    def __call__(self, images: Sequence[Path], modality: str) -> np.ndarray: ...


@dataclass
class Progress:
    """
    Args:
        done, total: images of this process's share, those among them that were skipped.
        added: images that are in the gallery now and were not before.
        skipped: what was passed over, and why.
    """

    total: int
    done: int = 0
    added: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass
class _Pending:
    """Rows that are not committed yet."""

    rows: list[pa.Table] = field(default_factory=list)
    count: int = 0
    since: float = field(default_factory=time.monotonic)


def share_of(listing: Listing) -> tuple[Listed, ...]:
    """The images of this process: all, or its part under torchrun."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return listing.images[rank::world]


def ingest(
    gallery: Gallery,
    listing: Listing,
    extractor: Extracts,
    modality: Modality,
    *,
    replace: bool = False,
) -> Iterator[Progress]:
    """Adds images, or replaces those that are there; continues where it was stopped.

    Args:
        replace: compute the features of images that are in the gallery again; add none.
    Yields:
        how far it came, after each block; closing the iterator commits what is computed.
    Raises:
        DataError: the extractor's own about an image that can be read.
        UsageError: the gallery cannot be written, or a column's type differs.
    """
    images = share_of(listing)
    known = {str(gallery.path_of(one)) for one in gallery.rows(["path"])["path"].to_pylist()}
    progress = Progress(len(images))
    if images[:1] == listing.images[:1]:  # the first process tells of them
        progress.skipped += listing.skipped
    todo = []
    for image in images:
        there = str(listing.full_path(image)) in known
        if there == replace:
            todo.append(image)
        else:
            reason = "not in the gallery" if replace else IN_GALLERY
            progress.skipped.append((image.path, reason))
    progress.done = len(images) - len(todo)
    yield progress
    pending = _Pending()
    try:
        for start in range(0, len(todo), BLOCK):
            part = todo[start : start + BLOCK]
            rows = _rows(gallery, listing, part, extractor, modality, progress, replace=replace)
            pending.rows += [rows] * bool(len(rows))
            pending.count += len(rows)
            progress.done += len(part)
            late = time.monotonic() - pending.since > COMMIT_SECONDS
            if late or pending.count >= COMMIT_IMAGES:
                _commit(gallery, pending, progress, replace=replace)
                pending = _Pending()
            yield progress
    finally:
        _commit(gallery, pending, progress, replace=replace)
    gallery.compact()
    yield progress


def _rows(
    gallery: Gallery,
    listing: Listing,
    images: Sequence[Listed],
    extractor: Extracts,
    modality: Modality,
    progress: Progress,
    *,
    replace: bool,
) -> pa.Table:
    """Rows of the images that can be read and whose content is new; notes what the others lack."""
    ids = image_ids([listing.full_path(image) for image in images])
    known = gallery.paths_of_ids([one for one in ids if one])
    chosen: dict[str, Listed] = {}
    for image, one in zip(images, ids, strict=True):
        stored = gallery.stored(listing.full_path(image))
        if one in chosen or (one in known and not (replace and known[one] == stored)):
            progress.skipped.append((image.path, SAME_CONTENT))
        else:
            chosen[one or f"unreadable {image.path}"] = image
    vectors, good, skipped = extract_readable(
        extractor, [(listing.full_path(image), image) for image in chosen.values()], modality
    )
    progress.skipped += skipped
    names = {image.path: one for one, image in chosen.items()}
    own: dict[str, list[object]] = {
        "id": [names[image.path] for image in good],
        "path": [gallery.stored(listing.full_path(image)) for image in good],
        "name": [image.path for image in good],
        "modality": [modality.name.lower()] * len(good),
        "pid": [image.pid for image in good],
        "camid": [image.camid for image in good],
        "time": [image.time for image in good],
    }
    return build_rows(own, vectors, listing.further_of(good))


def _commit(gallery: Gallery, pending: _Pending, progress: Progress, *, replace: bool) -> None:
    if pending.rows:
        rows = pa.concat_tables(pending.rows)
        pending.rows = []
        progress.added += gallery.update(rows) if replace else gallery.add(rows)


def image_ids(paths: Sequence[Path]) -> list[str]:
    """An id of each file's content; empty for a file that cannot be read."""
    return list(threaded_map(_image_id, paths, doing="reading images", progress=False))


def _image_id(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:ID_DIGITS]
    except OSError:  # its reason is found when it is decoded
        return ""


def extract_readable(
    extractor: Extracts, images: Sequence[tuple[Path, Listed]], modality: Modality
) -> tuple[np.ndarray, list[Listed], list[Skipped]]:
    """Features of the images that can be read, these images, and the others with the reason.

    Raises:
        DataError: the extractor's own about images that can be read.
    """
    name, paths = modality.name.lower(), [path for path, _ in images]
    listed = [image for _, image in images]
    empty = np.empty((0, extractor.dim), dtype=np.float32)
    if not images:
        return empty, [], []
    try:
        return extractor(paths, name), listed, []
    except DataError:  # some cannot be read: rare, so that they are looked for only now
        found = list(threaded_map(_why_unreadable, paths, doing="looking at images"))
        good = [k for k, reason in enumerate(found) if not reason]
        if len(good) == len(images):
            raise
        skipped = [
            (image.path, reason) for image, reason in zip(listed, found, strict=True) if reason
        ]
        vectors = extractor([paths[k] for k in good], name) if good else empty
        return vectors, [listed[k] for k in good], skipped


def _why_unreadable(path: Path) -> str:
    try:
        read_image(path, SHOWN)
    except DataError as error:
        return str(error)
    return ""
