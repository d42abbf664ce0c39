"""The steps of the search tool that search a gallery: query and index."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vireid.engine.precision import resolve_device
from vireid.errors import DataError, UsageError, printable
from vireid.figures.style import require_figure
from vireid.search.crops import image_sizes, unusual
from vireid.search.gallery import Gallery
from vireid.search.index import IndexSettings, build_index, read_settings
from vireid.search.ingest import BLOCK
from vireid.search.listing import Listing, Skipped, list_images
from vireid.search.model import open_detector, open_model
from vireid.search.output import (
    QueryImages,
    describe_search,
    draw,
    expected_lines,
    lines_of,
    results_as_json,
    write_json,
)
from vireid.search.people import PersonImage, features_of, find_people
from vireid.search.query import Query, SearchOptions, default_method, fused, search
from vireid.utils.io import require_target

ENOUGH = 50  # queries to measure an index with


def query(args: argparse.Namespace) -> None:
    """Searches, writes what was asked for, then prints."""
    options = _options(args)
    if args.figure:
        require_figure(args.figure, inputs=[Path(args.image)])
    if args.json:
        require_target(args.json, inputs=[Path(args.image)])
    gallery = _open(args)
    listing = list_images(args.image, args.modality)
    _require_no_image(args, gallery, listing)
    queries, images, skipped = _read_queries(args, gallery, listing)
    if args.fuse:
        queries, images = [fused(queries)], [_fused_images(images)]
    method = _method(args, gallery, options)
    if method == "approximate":
        method = _prepare(args, gallery, np.stack([one.vector for one in queries]))
    results = search(gallery, queries, options, method=method, device=resolve_device(args.device))
    written = []  # before anything is printed: the reader of a pipe may go away (| head)
    if args.json:
        content = results_as_json(images, results, options, gallery, modality=args.modality)
        write_json(args.json, content)
        written.append(f"wrote {args.json}")
    try:
        if args.figure:
            written.append(draw(args.figure, images, results, modality=args.modality))
    finally:  # what was found is printed even if it cannot be drawn
        for path, reason in skipped:
            print(printable(f"skipped {path}: {reason}"), file=sys.stderr)
        model = Path(args.run or args.model or gallery.model.place)
        how = [
            describe_search(results, options, len(gallery)),
            *expected_lines(gallery, options, model=model, modality=args.modality),
        ]
        print("\n".join([*how, "", *lines_of(images, results, options), *written]))


def _require_no_image(args: argparse.Namespace, gallery: Gallery, listing: Listing) -> None:
    """
    Raises:
        UsageError: a file to be written is an image of the queries or of the gallery.
    """
    for target in filter(None, (args.json, args.figure)):
        if not target.exists():
            continue
        require_target(target, inputs=[listing.full_path(image) for image in listing.images])
        try:
            gallery.ids_of([target])
        except DataError:
            continue
        raise UsageError(f"cannot write {target}: it is an image of the gallery; name another file")


def _options(args: argparse.Namespace) -> SearchOptions:
    return SearchOptions(
        top=args.top,
        where=args.where,
        min_score=args.min_score,
        exclude_same_camera=args.exclude_same_camera,
        by=args.by,
        rerank=args.rerank,
        include_self=args.include_self,
    )


def _open(args: argparse.Namespace) -> Gallery:
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, got {args.top}")
    gallery = Gallery(args.gallery)
    if not len(gallery):
        raise UsageError(f"the gallery {args.gallery} holds no image: add some")
    return gallery


def _read_queries(
    args: argparse.Namespace, gallery: Gallery, listing: Listing
) -> tuple[list[Query], list[QueryImages], list[Skipped]]:
    """
    Raises:
        DataError: none can be read.
    """
    model, _ = open_model(args, gallery)
    detect = open_detector(args, model)
    vectors: list[np.ndarray] = []
    people: list[PersonImage] = []
    skipped: list[Skipped] = []
    starts = range(0, len(listing.images), BLOCK)
    for start in tqdm(starts, desc="queries", unit="block", disable=None, leave=False):
        part, without = find_people(listing, listing.images[start : start + BLOCK], detect)
        found, good, bad = features_of(model, part, args.modality)
        vectors.append(found)
        people += good
        skipped += without + bad
    if not people:
        more = f" (and {len(skipped) - 1} others)" if len(skipped) > 1 else ""
        raise DataError(skipped[0][1] + more)
    if detect is None:
        sizes, names = image_sizes([one.path for one in people]), [o.listed.path for o in people]
        if unlike := unusual(sizes, model.size).warning(names):
            print(printable(f"warning: {unlike}"), file=sys.stderr)
    queries = [
        Query(vector, (one.id,), tuple(filter(None, [one.listed.camid or args.camera])))
        for vector, one in zip(np.concatenate(vectors), people, strict=True)
    ]
    images = [
        QueryImages([one.path], one.listed.path, one.listed.pid, one.listed.camid, one.box_text)
        for one in people
    ]
    return queries, images, skipped


def _fused_images(images: list[QueryImages]) -> QueryImages:
    """
    Raises:
        UsageError: they are known to show different identities.
    """
    pids = {one.pid for one in images} - {None}
    if len(pids) > 1:
        raise UsageError(
            f"--fuse takes all query images as one person, but the CSV file names "
            f"{len(pids)} identities: {', '.join(sorted(map(str, pids))[:5])}"
        )
    cameras = {one.camid for one in images}
    return QueryImages(
        [path for one in images for path in one.paths],
        images[0].name,
        next(iter(pids), None),
        cameras.pop() if len(cameras) == 1 else None,
    )


def _method(args: argparse.Namespace, gallery: Gallery, options: SearchOptions) -> str:
    if args.exact or args.approximate:
        return "exact" if args.exact else "approximate"
    return default_method(gallery, options.where)


def _prepare(args: argparse.Namespace, gallery: Gallery, vectors: np.ndarray) -> str:
    """Makes the index if there is none; exact search where it cannot be made and may be."""
    if read_settings(gallery) is not None:
        return "approximate"
    print("making the index for approximate search", file=sys.stderr)
    try:
        _report(build_index(gallery, queries=vectors if len(vectors) >= ENOUGH else None))
    except UsageError as error:
        if args.approximate:
            raise
        print(f"no index, so exact search: {error}", file=sys.stderr)
        return "exact"
    return "approximate"


def index(args: argparse.Namespace) -> None:
    """Makes the index and prints what it finds."""
    if (args.image is None) != (args.modality is None):
        raise UsageError("--image and --modality go together: queries, and their modality")
    gallery, vectors = _open(args), None
    if args.image:
        listing = list_images(args.image, args.modality)
        queries, _, _ = _read_queries(args, gallery, listing)
        vectors = np.stack([one.vector for one in queries])
    _report(build_index(gallery, queries=vectors, recall=args.recall, top=args.top), args.recall)


def _report(settings: IndexSettings, recall: float = 0.0) -> None:
    print(f"index made: {settings}", file=sys.stderr)
    if settings.recall < recall:
        print(f"no setting reaches recall {recall}; --exact finds all", file=sys.stderr)
