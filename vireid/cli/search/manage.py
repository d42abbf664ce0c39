"""The steps of the search tool that look after a gallery: remove, info, restore, relocate."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from vireid.errors import DataError, printable
from vireid.search.columns import VECTOR
from vireid.search.gallery import Gallery
from vireid.search.index import read_settings
from vireid.search.listing import list_images
from vireid.structures import Modality
from vireid.utils.tables import markdown

SHOWN = 10  # versions


def remove(args: argparse.Namespace) -> None:
    """Removes images, or none where one of the names is unknown."""
    gallery = Gallery(args.gallery)
    if args.where is not None:
        ids = gallery.rows(["id"], args.where)["id"].to_pylist()
        if not ids:
            raise DataError(f"the gallery {args.gallery} holds no image that fits --where")
    else:
        ids = gallery.ids_of([name for given in args.images for name in _named(given)])
    gallery.delete(ids)
    gallery.compact()
    print(f"removed {len(ids):,} images from {args.gallery}, which holds {len(gallery):,}")


def _named(given: str) -> list[str | Path]:
    """The images of a CSV file, or the given name itself."""
    if Path(given).suffix.lower() != ".csv" or not Path(given).is_file():
        return [given]
    found: list[str | Path] = []
    reason: DataError | None = None
    for modality in Modality:
        try:
            listing = list_images(given, modality)
            found += [listing.full_path(image) for image in listing.images]
        except DataError as error:  # its rows may all be of the other modality
            reason = error
    if not found and reason is not None:
        raise reason
    return found


def info(args: argparse.Namespace) -> None:
    """Prints what a gallery holds."""
    gallery = Gallery(args.gallery)
    model, settings = gallery.model, read_settings(gallery)
    frame = gallery.rows(["modality", "pid", "camid"]).to_pandas()
    lines = [
        f"gallery     {gallery.place}: {len(frame):,} images, {frame['pid'].nunique():,} identities"
        f", {int(frame['pid'].isna().sum()):,} images without one",
        f"model       {model.place or 'not known'} ({model.fingerprint[:12]}), {model.dim} numbers "
        "per image",
        f"built from  {model.source or 'features made elsewhere'}",
        f"index       {settings or 'none: exact search'}",
        "columns     "
        + ", ".join(f"{name} ({kind})" for name, kind in gallery.columns.items() if name != VECTOR),
    ]
    counts = pd.crosstab(frame["camid"].fillna("not known"), frame["modality"]).reset_index()
    lines += ["", markdown(counts.rename(columns={"camid": "camera"})), ""]
    versions = gallery.versions()
    lines += [f"versions    {len(versions):,}, the last:"]
    lines += [
        f"  {one.number:>6}  {one.time:%Y-%m-%d %H:%M:%S}  {one.rows:,} images"
        for one in versions[-SHOWN:]
    ]
    print(printable("\n".join(lines)))


def restore(args: argparse.Namespace) -> None:
    """Goes back to an earlier version."""
    gallery = Gallery(args.gallery)
    before = len(gallery)
    gallery.restore(args.version)
    print(
        f"restored version {args.version} of {args.gallery}: {len(gallery):,} images (before: "
        f"{before:,})"
    )


def relocate(args: argparse.Namespace) -> None:
    """Changes the paths of images that were moved."""
    gallery = Gallery(args.gallery)
    count = gallery.relocate(args.old, args.new)
    there = Path(args.new).exists()
    more = "" if there else f"; there is no {args.new} here"
    print(f"{args.gallery}: {count:,} images are in {args.new} now{more}")
