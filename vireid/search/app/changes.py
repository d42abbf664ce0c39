"""The gallery page's actions: what is in the gallery, images added, removed and restored."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vireid.errors import DataError, UsageError
from vireid.search.app.form import time_of
from vireid.search.app.render import render, thumbnails
from vireid.search.app.service import Service
from vireid.search.app.uploads import Upload, store
from vireid.search.filters import any_of, quoted
from vireid.search.gallery import Version
from vireid.search.index import read_settings
from vireid.search.ingest import ingest
from vireid.search.listing import Listed, Listing
from vireid.structures import modality_named

VERSIONS = 10  # the last ones, in the table
CHOICES = 50  # versions that can be chosen
SHOWN = 100  # images to be removed at once


def overview(service: Service) -> str:
    """Counts, model and versions, as HTML."""
    with service.lock:
        gallery = service.gallery
        gallery.refresh()
        frame = gallery.rows(["modality", "pid", "camid"]).to_pandas()
        settings, versions = read_settings(gallery), gallery.versions()
        columns = [f"{name} ({kind})" for name, kind in gallery.columns.items() if name != "vector"]
    model = gallery.model
    facts = [
        ("gallery", gallery.place),
        ("images", f"{len(frame):,}, {frame['pid'].nunique():,} identities"),
        ("model", f"{service.model} (fingerprint {model.fingerprint[:12]}, {model.dim} numbers)"),
        ("index", str(settings or "none: exact search")),
        ("columns", ", ".join(columns)),
    ]
    counts = pd.crosstab(frame["camid"].fillna("not known"), frame["modality"])
    cameras = [(camera, [f"{n:,}" for n in row]) for camera, row in counts.iterrows()]
    last = versions[: -VERSIONS - 1 : -1]
    return render("overview", facts=facts, modalities=list(counts), cameras=cameras, versions=last)


def add(
    service: Service, uploads: Sequence[Upload], modality: str, pid: str, camid: str, time: str
) -> list[str]:
    """Copies uploads below the gallery's folder and adds them; says what was done.

    Args:
        pid, camid, time: of all of them; empty where not known.
    Raises:
        UsageError: nothing to add, or the folder holds too much already.
    """
    if not uploads:
        raise UsageError("there is no image to add: upload some first")
    text = time_of(time, "time")
    known = pd.Timestamp(text) if text else None
    with service.lock:
        folder, names = store(service.gallery, uploads)
        images = [Listed(one, pid.strip() or None, camid.strip() or None, known) for one in names]
        listing = Listing(folder, folder, tuple(images))
        steps = ingest(service.gallery, listing, service.extractor, modality_named(modality))
        try:
            *_, progress = steps
        finally:
            _forget_others(service, folder, names, uploads)
    lines = [f"Added {progress.added:,} of {len(uploads):,} images."]
    titles = dict(zip(names, (one.name for one in uploads), strict=True))
    lines += [f"{titles.get(path, path)}: {reason}" for path, reason in progress.skipped]
    return [line.replace(f"{folder}/", "") for line in lines]


def _forget_others(
    service: Service, folder: Path, names: Sequence[str], uploads: Sequence[Upload]
) -> None:
    """Deletes the copies of images that did not come into the gallery from there."""
    there = service.gallery.paths_of_ids([one.id for one in uploads])
    kept = {str(service.gallery.path_of(path)) for path in there.values()}
    for name in names:
        if str(folder / name) not in kept:
            (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds another name of the same content
                (folder / name).parent.rmdir()


def look_up(service: Service, names: str, where: str) -> list[tuple[str, str]]:
    """The ids and names of images that may be removed.

    Args:
        names: one a line: ids, or the images' names with or without their folders.
        where: SQL condition, instead of names.
    Raises:
        DataError: an image is not there, or none fits.
        UsageError: neither names nor a condition, or more images than can be looked at.
    """
    given = [one.strip() for one in names.splitlines() if one.strip()]
    where = where.strip()
    if bool(given) == bool(where):
        raise UsageError("write names of images, or a filter, and not both")
    with service.lock:
        service.gallery.refresh()
        found = service.gallery.rows(["id", "name"], where or _named(given)).to_pylist()
    known = {text for one in found for text in (one["id"], one["name"], Path(one["name"]).name)}
    if missing := [one for one in given if one not in known]:
        raise DataError(f"the gallery holds no image {missing[0]!r:.100}")
    if not found:
        raise DataError("no image fits the filter")
    if len(found) > SHOWN:
        raise UsageError(
            f"{len(found):,} images, more than the {SHOWN} that can be looked at here: use a "
            "narrower filter, or search.py remove"
        )
    return [(one["id"], one["name"]) for one in found]


def _named(given: Sequence[str]) -> str:
    ends = [f"ends_with(name, {quoted('/' + one)})" for one in given]
    return " OR ".join([any_of("id", given), any_of("name", given), *ends])


def preview(service: Service, found: Sequence[tuple[str, str]]) -> str:
    """The images that ``look_up`` found, as HTML."""
    with service.lock:
        stored = service.gallery.paths_of_ids([one for one, _ in found])
    paths = [service.gallery.path_of(stored[one]) for one, _ in found if one in stored]
    uploads = [
        {"thumbnail": url, "name": name}
        for (_, name), (url, _) in zip(found, thumbnails(paths, (96, 128)), strict=True)
    ]
    return render("uploads", uploads=uploads, label="image")


def remove(service: Service, ids: Sequence[str]) -> str:
    """Takes images out of the gallery; their files stay.

    Raises:
        UsageError: none is chosen.
    """
    if not ids:
        raise UsageError("no image is chosen: look some up first")
    with service.lock:
        there = service.gallery.paths_of_ids(list(ids))
        service.gallery.delete(list(there))
        service.gallery.compact()
        left = len(service.gallery)
    return (
        f"Removed {len(there):,} images; the gallery holds {left:,}. Restore an earlier version to "
        "undo it."
    )


def versions(service: Service) -> list[Version]:
    """The last ones, the newest first; the first of them is the present state."""
    with service.lock:
        service.gallery.refresh()
        return service.gallery.versions()[: -CHOICES - 1 : -1]


def restore(service: Service, number: int | None) -> str:
    """Makes an earlier version the present one.

    Raises:
        UsageError: none is chosen, or there is no such version.
    """
    if number is None:
        raise UsageError("no version is chosen")
    with service.lock:
        service.gallery.refresh()
        service.gallery.restore(int(number))
        service.gallery.refresh()
        left = len(service.gallery)
    return f"Restored version {number}: the gallery holds {left:,} images."
