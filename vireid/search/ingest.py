"""Fills a gallery with images, in commits of which a stop at any moment loses one.

Any number of processes and hosts fill one gallery: each takes its share of the images, and equal
content is added once, whichever process is first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from vireid.errors import UsageError
from vireid.search.columns import BOX, build_rows
from vireid.search.crops import image_sizes
from vireid.search.gallery import SMALL_FILES_FILLING, Gallery
from vireid.search.lance_errors import lance_errors
from vireid.search.listing import Listed, Listing, Skipped
from vireid.search.people import Detect, Extracts, PersonImage, features_of, find_people
from vireid.structures import Modality

BLOCK = 256  # images whose features are computed between two looks at the clock
COMMIT_SECONDS, COMMIT_IMAGES = 10.0, 4096  # a stop loses what was computed since
IN_GALLERY, NOT_IN_GALLERY = "in the gallery already", "not in the gallery"
SAME_CONTENT = "equal to an image in the gallery"
NOT_UTF8 = "its path is not UTF-8"


@dataclass
class Progress:
    """
    Args:
        done, total: images of this process's share, those among them that were skipped.
        added: images that are in the gallery now and were not before.
        skipped: what was passed over, and why.
        names, sizes: of the images read so far, if they should be crops of one person.
    """

    total: int
    done: int = 0
    added: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int] | None] = field(default_factory=list)


@dataclass
class _Pending:
    """Rows that are not committed yet."""

    rows: list[pa.Table] = field(default_factory=list)
    count: int = 0
    paths: dict[str, str] = field(default_factory=dict)  # by id, as the table has them
    since: float = field(default_factory=time.monotonic)

    def put(self, rows: pa.Table) -> None:
        self.rows += [rows] * bool(len(rows))
        self.count += len(rows)
        ids, paths = (rows[name].to_pylist() for name in ("id", "path"))
        self.paths |= dict(zip(ids, paths, strict=True))

    @property
    def is_due(self) -> bool:
        late = time.monotonic() - self.since > COMMIT_SECONDS
        return late or self.count >= COMMIT_IMAGES


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that fill a gallery together.

    Args:
        rank: from 0 on.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> Process:
        """What torchrun, or another starter, says in ``RANK`` and ``WORLD_SIZE``.

        Raises:
            UsageError: only one of them is set, or they do not fit each other.
        """
        found = [os.environ.get(name, "").strip() for name in ("RANK", "WORLD_SIZE")]
        if not any(found):
            return cls()
        if all(one.isdecimal() for one in found) and int(found[0]) < int(found[1]):
            return cls(*map(int, found))
        raise UsageError(
            "RANK and WORLD_SIZE must be a process's number, from 0 on, and how many there are: "
            f"got RANK={found[0]!r} WORLD_SIZE={found[1]!r}"
        )

    @property
    def prefix(self) -> str:
        """What its lines begin with; empty where it is alone."""
        return f"process {self.rank}: " if self.world > 1 else ""

    def share_of(self, listing: Listing) -> tuple[Listed, ...]:
        """Its images; empty if there are fewer than processes."""
        return listing.images[self.rank :: self.world]

    def own_file(self, path: Path) -> Path:
        """``skipped.csv`` for process 0, ``skipped-1.csv`` for process 1 …"""
        return path.with_stem(f"{path.stem}-{self.rank}") if self.rank else path


def ingest(
    gallery: Gallery,
    listing: Listing,
    extractor: Extracts,
    modality: Modality,
    *,
    replace: bool = False,
    detect: Detect | None = None,
) -> Iterator[Progress]:
    """Adds images, or replaces those that are there; continues where it was stopped.

    Args:
        replace: compute the features of images that are in the gallery again; add none.
        detect: finds the persons in an image; None: each image is a crop of one.
    Yields:
        how far it came, after each block; closing the iterator commits what is computed.
    Raises:
        DataError: the extractor's own about an image that can be read.
        UsageError: the gallery cannot be written, or a column's type differs.
    """
    process = Process.from_environment()
    images = process.share_of(listing)
    progress = Progress(len(images))
    if process.rank == 0:  # which reports them for all
        progress.skipped += listing.skipped
    todo = list(_to_do(gallery, listing, images, progress, replace=replace))
    progress.done = len(images) - len(todo)
    yield progress
    kept = _unknown(listing) if replace else []
    pending = _Pending()
    try:
        for start in range(0, len(todo), BLOCK):
            part = todo[start : start + BLOCK]
            people = _people(listing, part, detect, progress)
            known = gallery.paths_of_ids([one.id for one in people if one.id]) | pending.paths
            people = _new(gallery, people, known, progress, replace=replace)
            rows = _rows(gallery, listing, people, extractor, modality, progress)
            pending.put(rows.drop_columns(kept))
            progress.done += len(part)
            if pending.is_due:
                _commit(gallery, pending, progress, replace=replace)
                gallery.compact(SMALL_FILES_FILLING)
                pending = _Pending()
            yield progress
    finally:
        _commit(gallery, pending, progress, replace=replace)
    gallery.compact()
    yield progress


def _to_do(
    gallery: Gallery,
    listing: Listing,
    images: Sequence[Listed],
    progress: Progress,
    *,
    replace: bool,
) -> Iterator[Listed]:
    """The images that are not in the gallery, or with ``replace`` those that are.

    Persons that were detected in photos are not replaced: one path has several rows.
    """
    wanted = {str(listing.full_path(image)) for image in images}
    known: set[str] = set()
    with lance_errors(gallery.place):
        paths = gallery.table.search().select(["path"]).limit(None)
        if replace and BOX in gallery.schema.names:
            paths = paths.where(f"{BOX} IS NULL")
        for batch in paths.to_batches():  # all paths of a large gallery fill the memory
            known |= wanted & {str(gallery.path_of(one)) for one in batch["path"].to_pylist()}
    for image in images:
        there = str(listing.full_path(image)) in known
        if not _is_utf8(listing.full_path(image)):
            progress.skipped.append((image.path, NOT_UTF8))
        elif there == replace:
            yield image
        else:
            progress.skipped.append((image.path, NOT_IN_GALLERY if replace else IN_GALLERY))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(listing: Listing) -> list[str]:
    """The columns that a listing does not know of any image: an update leaves them as they are."""
    return [
        name
        for name in ("pid", "camid", "time")
        if all(getattr(image, name) is None for image in listing.images)
    ]


def _people(
    listing: Listing, images: Sequence[Listed], detect: Detect | None, progress: Progress
) -> list[PersonImage]:
    """The persons in images; notes those without any, and the sizes of images that are crops."""
    people, without = find_people(listing, images, detect)
    progress.skipped += without
    if detect is None:
        progress.sizes += image_sizes([one.path for one in people], progress=False)
        progress.names += [one.listed.path for one in people]
    return people


def _new(
    gallery: Gallery,
    people: Sequence[PersonImage],
    known: Mapping[str, str],
    progress: Progress,
    *,
    replace: bool,
) -> list[PersonImage]:
    """The images whose content is new; notes the others.

    Args:
        known: stored paths by id.
    """
    chosen: dict[str, PersonImage] = {}
    for one in people:
        stored = gallery.stored(one.path)
        if one.id in chosen or (one.id in known and not (replace and known[one.id] == stored)):
            progress.skipped.append((one.listed.path, SAME_CONTENT))
        else:
            chosen[one.id or f"unreadable {one.listed.path}"] = one
    return list(chosen.values())


def _rows(
    gallery: Gallery,
    listing: Listing,
    people: Sequence[PersonImage],
    extractor: Extracts,
    modality: Modality,
    progress: Progress,
) -> pa.Table:
    """Rows of the images that can be read; notes what the others lack."""
    vectors, good, skipped = features_of(extractor, people, modality)
    progress.skipped += skipped
    own: dict[str, list[object]] = {
        "id": [one.id for one in good],
        "path": [gallery.stored(one.path) for one in good],
        "name": [one.listed.path for one in good],
        "modality": [modality.name.lower()] * len(good),
        "pid": [one.listed.pid for one in good],
        "camid": [one.listed.camid for one in good],
        "time": [one.listed.time for one in good],
    }
    further = listing.further_of([one.listed for one in good])
    if any(one.box for one in good):
        boxes = pa.array([one.box_text for one in good], pa.string())
        further = pa.table({BOX: boxes}) if further is None else further.append_column(BOX, boxes)
    return build_rows(own, vectors, further)


def _commit(gallery: Gallery, pending: _Pending, progress: Progress, *, replace: bool) -> None:
    if pending.rows:
        rows = pa.concat_tables(pending.rows)
        pending.rows = []
        progress.added += gallery.update(rows) if replace else gallery.add(rows)
