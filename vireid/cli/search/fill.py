"""The steps of the search tool that fill a gallery: build, add, update."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from vireid.engine.signals import StopFlag
from vireid.errors import DataError, StoppedError, UsageError, printable
from vireid.search.crops import unusual
from vireid.search.gallery import Gallery, GalleryModel
from vireid.search.ingest import (
    IN_GALLERY,
    NOT_IN_GALLERY,
    NOT_UTF8,
    SAME_CONTENT,
    Process,
    Progress,
    ingest,
)
from vireid.search.listing import AT_START, Listing, Skipped, list_images
from vireid.search.model import BatchExtractor, open_detector, open_model
from vireid.utils.io import replace_file, require_target
from vireid.utils.paths import HIDDEN

SHOWN_SKIPPED = 5  # of the images that cannot be read
KINDS = (*AT_START, NOT_UTF8, IN_GALLERY, SAME_CONTENT, NOT_IN_GALLERY)


def build(args: argparse.Namespace) -> None:
    """Makes a gallery, or continues one that was begun with the same images."""
    listing = _listing(args)
    there = Gallery.find(args.gallery)
    source, modality = str(listing.source), args.modality.name.lower()
    if there is not None:
        _require_source(there, args, source)
    extractor, place = open_model(args, there)
    model = GalleryModel(
        extractor.fingerprint, extractor.dim, place, extractor.size, source, modality
    )
    gallery = there or Gallery.create(args.gallery, model)
    _require_source(gallery, args, source)  # another process may have made it just now
    _fill(args, gallery, listing, extractor)


def _require_source(gallery: Gallery, args: argparse.Namespace, source: str) -> None:
    model = gallery.model
    if (model.source, model.modality) != (source, args.modality.name.lower()):
        raise UsageError(
            f"{args.gallery} holds a gallery of {len(gallery):,} images already, built from "
            f"{model.source or 'features'} ({model.modality or 'any modality'}): add to it, or "
            "name another place"
        )


def add(args: argparse.Namespace) -> None:
    """Adds images that are not there yet."""
    gallery = Gallery(args.gallery)  # whatever is wrong with it is said before the model is loaded
    listing = _listing(args)
    _fill(args, gallery, listing, open_model(args, gallery)[0])


def update(args: argparse.Namespace) -> None:
    """Replaces images that are there."""
    gallery = Gallery(args.gallery)
    listing = _listing(args)
    _fill(args, gallery, listing, open_model(args, gallery)[0], replace=True)


def _listing(args: argparse.Namespace) -> Listing:
    process = Process.from_environment()
    listing = list_images(args.images, args.modality)
    if args.skipped:
        args.skipped = process.own_file(args.skipped)
        require_target(args.skipped, inputs=[listing.source])
    return listing


def _fill(
    args: argparse.Namespace,
    gallery: Gallery,
    listing: Listing,
    extractor: BatchExtractor,
    *,
    replace: bool = False,
) -> None:
    detect = None if replace else open_detector(args, extractor)
    steps = ingest(gallery, listing, extractor, args.modality, replace=replace, detect=detect)
    progress = Progress(0)
    hidden = Process.from_environment().rank > 0 or None  # one bar; None: only on a terminal
    with StopFlag() as stop, tqdm(unit="image", desc="images", disable=hidden) as bar:
        for progress in steps:
            if progress.total != bar.total:
                bar.reset(progress.total)
            bar.update(progress.done - bar.n)
            if stop.received and progress.done < progress.total:
                steps.close()  # type: ignore[attr-defined]
                raise StoppedError(
                    f"stopped after {progress.done:,} of {progress.total:,} images, which are in "
                    f"{args.gallery}; the same command continues",
                    stop.received,
                )
    _report(args, gallery, progress, "updated" if replace else "added")


def _report(args: argparse.Namespace, gallery: Gallery, progress: Progress, done: str) -> None:
    """What came in and what did not.

    Raises:
        DataError: none of the images could be read, and this process is alone.
    """
    skipped = progress.skipped
    if args.skipped:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *skipped])
        content = text.getvalue().encode("utf-8", "surrogateescape")
        replace_file(args.skipped, lambda file: file.write(content))
    lines = _of_skipped(skipped, args) if skipped else []
    size = gallery.model.size
    unlike = unusual(progress.sizes, size).warning(progress.names) if size else ""
    if unlike:
        lines.insert(0, f"warning: {unlike}")
    process = Process.from_environment()
    unreadable = sum(reason not in KINDS for _, reason in skipped)
    nothing = f"none of the {progress.total:,} images of {args.images} can be read"
    if 0 < progress.total == unreadable and process.world > 1:
        lines.append(nothing)  # of this share: no reason to stop the other processes
    if lines:
        print(printable("\n".join(process.prefix + line for line in lines)), file=sys.stderr)
    if 0 < progress.total == unreadable and process.world == 1:
        raise DataError(nothing)
    gallery.refresh()
    print(
        f"{process.prefix}{done} {progress.added:,} {args.modality.name.lower()} images to "
        f"{args.gallery}, which holds {len(gallery):,}; skipped {len(skipped):,}"
    )


def _of_skipped(skipped: Sequence[Skipped], args: argparse.Namespace) -> list[str]:
    unreadable = [reason for _, reason in skipped if reason not in KINDS]
    kinds = Counter(reason for _, reason in skipped if reason in KINDS)
    lines = [f"skipped {number:,}: {reason}" for reason, number in kinds.items()]
    hidden = [path for path, reason in skipped if reason == HIDDEN]
    if hidden:
        more = ", …" if len(hidden) > SHOWN_SKIPPED else ""
        lines.append(f"  these are {', '.join(hidden[:SHOWN_SKIPPED])}{more}")
    if unreadable:
        lines.append(f"skipped {len(unreadable):,} that cannot be read:")
        lines += [f"  {reason}" for reason in unreadable[:SHOWN_SKIPPED]]
    whole = f"each is listed in {args.skipped}" if args.skipped else "--skipped FILE lists each"
    return [*lines, whole]
