"""The parts of the search tool that change a gallery."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vireid.engine.signals import StopFlag
from vireid.errors import DataError, StoppedError, UsageError, printable
from vireid.figures.style import require_figure
from vireid.search.approximate import IndexSettings, read_index_settings, require_faiss
from vireid.search.gallery import Gallery
from vireid.search.gallery_files import SKIPPED, GalleryFiles
from vireid.search.gallery_images import AT_START, IN_GALLERY, Listed, Listing, list_images
from vireid.search.gallery_writer import Skipped
from vireid.search.ingest import BLOCK, Progress, extract_readable, ingest, read_skipped
from vireid.search.manifest import META, read_meta
from vireid.search.model import Network, open_model
from vireid.search.output import Answer, draw, lines_of, write_json
from vireid.structures import Modality
from vireid.utils.io import require_target
from vireid.utils.paths import HIDDEN

SHOWN_SKIPPED = 5  # of the images that cannot be read


def build(args: argparse.Namespace) -> None:
    _fill(args, new=True, dtype=args.store)


def add(args: argparse.Namespace) -> None:
    GalleryFiles(args.gallery)  # whatever is wrong with it is told before the network is loaded
    _fill(args, new=False)


def _fill(args: argparse.Namespace, *, new: bool, dtype: str = "float32") -> None:
    listing = list_images(args.images, args.modality)
    extractor, network = open_model(args)
    steps = ingest(
        args.gallery,
        listing,
        extractor,
        args.modality,
        new=new,
        dtype=dtype,
        network=network,
    )
    progress = None
    with StopFlag() as stop, tqdm(unit="image", desc="adding images", disable=None) as bar:
        for progress in steps:
            if progress.total != bar.total:
                bar.reset(progress.total)
            bar.update(progress.done - bar.n)
            if stop.received and progress.done < progress.total:
                steps.close()
                raise StoppedError(
                    f"stopped after {progress.done:,} of {progress.total:,} images, which are in "
                    f"{args.gallery}; the same command continues",
                    stop.received,
                )
    assert progress is not None  # the first step comes before the first image
    _report(args.gallery, progress)


def _report(folder: Path, progress: Progress) -> None:
    """What came in and what did not.

    Raises:
        DataError: none of the images could be read, and none was there already.
    """
    meta, job = read_meta(folder), progress.job
    added = meta.rows - job.first_row
    skipped = read_skipped(folder, job.skipped_from, meta.skipped_bytes)
    if skipped:
        print(printable("\n".join(_of_skipped(skipped, folder))), file=sys.stderr)
    known = any(reason == IN_GALLERY for _, reason in skipped)
    if job.total and not added and not known:
        raise DataError(f"none of the {job.total:,} images of {job.images} can be read")
    name = Modality(job.modality).name.lower()
    print(
        f"added {added:,} {name} images to {folder}, which holds {meta.rows - meta.dead:,}; "
        f"skipped {len(skipped):,}"
    )


def _of_skipped(skipped: Sequence[Skipped], folder: Path) -> list[str]:
    unreadable = [reason for _, reason in skipped if reason not in AT_START]
    kinds = Counter(reason for _, reason in skipped if reason in AT_START)
    lines = [f"skipped {number:,}: {reason}" for reason, number in kinds.items()]
    hidden = [path for path, reason in skipped if reason == HIDDEN]
    if hidden:
        more = ", …" if len(hidden) > SHOWN_SKIPPED else ""
        lines.append(f"  these are {', '.join(hidden[:SHOWN_SKIPPED])}{more}")
    if unreadable:
        lines.append(f"skipped {len(unreadable):,} that cannot be read:")
        lines += [f"  {reason}" for reason in unreadable[:SHOWN_SKIPPED]]
    return [*lines, f"each is listed in {folder / SKIPPED}"]


def remove(args: argparse.Namespace) -> None:
    gallery = Gallery(args.gallery)
    names: list[str | Path] = []
    for given in args.images:
        if Path(given).suffix.lower() == ".csv" and Path(given).is_file():
            for modality in Modality:
                names += _named_paths(given, modality)
        else:
            names.append(given)
    number = gallery.remove(names)
    print(f"removed {number:,} images from {args.gallery}, which holds {len(gallery):,}")


def _named_paths(path: str, modality: Modality) -> list[Path]:
    try:
        return list_images(path, modality).full_paths()
    except DataError:
        if modality == Modality.VISIBLE:  # its rows may all be of the other
            return []
        raise


ENOUGH = 50  # queries to measure an index with


def query(args: argparse.Namespace) -> None:
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, got {args.top}")
    if args.figure:
        require_figure(args.figure, inputs=[Path(args.image)])
    if args.json:
        require_target(args.json, inputs=[Path(args.image), args.gallery / META])
    gallery = _open(args)
    listing = list_images(args.image, args.modality)
    network, _ = open_model(args)
    vectors, images, skipped = _features(network, listing, args.modality)
    setting = _prepare(gallery, vectors, args) if args.approximate else None
    found = gallery.search(vectors, args.top, threads=args.threads, approximate=args.approximate)
    gallery.files.check_rows(np.unique(found.rows[found.rows >= 0]))  # what is told must be true
    answers = [
        Answer(
            image,
            listing.root / image.path,
            [gallery.entry(int(row)) for row in rows[rows >= 0]],
            scores[rows >= 0].tolist(),
        )
        for image, rows, scores in zip(images, found.rows, found.scores, strict=True)
    ]
    written = []  # before anything is printed: the reader of a pipe may go away (| head)
    if args.json:
        options = {"modality": args.modality, "top": args.top, "setting": setting}
        write_json(args.json, answers, gallery, **options)
        written.append(f"wrote {args.json}")
    try:
        if args.figure:
            written.append(draw(args.figure, answers, modality=args.modality))
    finally:  # what was found is printed even if it cannot be drawn
        for path, reason in skipped:
            print(printable(f"skipped {path}: {reason}"), file=sys.stderr)
        print("\n".join([*lines_of(answers), *written]))


def index(args: argparse.Namespace) -> None:
    from vireid.search.approximate_build import build_index

    if (args.image is None) != (args.modality is None):
        raise UsageError("--image and --modality go together: queries, and their modality")
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, got {args.top}")
    gallery, queries = _open(args), None
    if args.image:
        listing = list_images(args.image, args.modality)
        network, _ = open_model(args)
        queries, _, _ = _features(network, listing, args.modality)
    options = {"recall": args.recall, "top": args.top, "threads": args.threads}
    print(build_index(gallery, queries=queries, **options).setting)


def _open(args: argparse.Namespace) -> Gallery:
    gallery = Gallery(args.gallery)
    if not len(gallery):
        raise UsageError(f"the gallery {args.gallery} holds no image: add some")
    job = gallery.unfinished
    if job is not None:
        print(
            f"the gallery is not finished: {len(gallery):,} images so far; {job.images} is being "
            "added",
            file=sys.stderr,
        )
    return gallery


def _features(
    network: Network, listing: Listing, modality: Modality
) -> tuple[np.ndarray, list[Listed], list[Skipped]]:
    """Features of the queries that can be read, and what the others lack.

    Raises:
        DataError: none can be read.
    """
    vectors, images, skipped = [], [], []
    starts = range(0, len(listing.images), BLOCK)
    for start in tqdm(starts, desc="queries", unit="block", disable=None, leave=False):
        part = listing.images[start : start + BLOCK]
        found, good, bad = extract_readable(network, listing.root, part, modality)
        vectors.append(found)
        images += good
        skipped += bad
    if not images:
        more = f" (and {len(skipped) - 1} others)" if len(skipped) > 1 else ""
        raise DataError(skipped[0][1] + more)
    return np.concatenate(vectors), images, skipped


def _prepare(gallery: Gallery, queries: np.ndarray, args: argparse.Namespace) -> IndexSettings:
    """Makes the index if there is none of this gallery; what it was measured to find."""
    require_faiss()
    setting = read_index_settings(gallery)
    if setting is None:
        from vireid.search.approximate_build import build_index

        print("making the index of approximate search", file=sys.stderr)
        many = queries if len(queries) >= ENOUGH else None
        setting = build_index(gallery, queries=many, threads=args.threads).setting
    print(f"approximate: {setting}", file=sys.stderr)
    return setting
