"""The parts of the search tool that search."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vireid.analysis.style import require_figure
from vireid.cli.common import printable
from vireid.cli.search_network import Network, open_network
from vireid.cli.search_output import Answer, draw, lines_of, write_json
from vireid.deploy.approximate import Setting, read_setting, require_faiss
from vireid.deploy.gallery import Gallery
from vireid.deploy.gallery_fill import BLOCK, extract_readable
from vireid.deploy.gallery_images import Listed, Listing, list_images
from vireid.deploy.gallery_meta import META
from vireid.deploy.gallery_writer import Skipped
from vireid.errors import DataError, UsageError
from vireid.evaluation.output import require_target
from vireid.structures import Modality

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
    network, _ = open_network(args)
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
    print("\n".join(lines_of(answers)))
    for path, reason in skipped:
        print(printable(f"skipped {path}: {reason}"), file=sys.stderr)
    if args.json:
        options = {"modality": args.modality, "top": args.top, "setting": setting}
        write_json(args.json, answers, gallery, **options)
        print(f"wrote {args.json}")
    if args.figure:
        print(draw(args.figure, answers, modality=args.modality))


def index(args: argparse.Namespace) -> None:
    from vireid.deploy.approximate_build import build_index

    if (args.image is None) != (args.modality is None):
        raise UsageError("--image and --modality go together: queries, and their modality")
    if args.top < 1:
        raise UsageError(f"--top must be at least 1, got {args.top}")
    gallery, queries = _open(args), None
    if args.image:
        listing = list_images(args.image, args.modality)
        network, _ = open_network(args)
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


def _prepare(gallery: Gallery, queries: np.ndarray, args: argparse.Namespace) -> Setting:
    """Makes the index if there is none of this gallery; what it was measured to find."""
    require_faiss()
    setting = read_setting(gallery)
    if setting is None:
        from vireid.deploy.approximate_build import build_index

        print("making the index of approximate search", file=sys.stderr)
        many = queries if len(queries) >= ENOUGH else None
        setting = build_index(gallery, queries=many, threads=args.threads).setting
    print(f"approximate: {setting}", file=sys.stderr)
    return setting
