"""The parts of the search tool that change a gallery."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from vireid.cli.common import printable
from vireid.cli.search_network import open_network
from vireid.deploy.gallery import Gallery
from vireid.deploy.gallery_files import SKIPPED, GalleryFiles
from vireid.deploy.gallery_fill import Progress, fill_gallery, read_skipped
from vireid.deploy.gallery_images import AT_START, IN_GALLERY, list_images
from vireid.deploy.gallery_meta import read_meta
from vireid.deploy.gallery_writer import Skipped
from vireid.engine.signals import StopFlag
from vireid.errors import DataError, StoppedError
from vireid.structures import Modality

SHOWN = 5  # of the images that cannot be read


def build(args: argparse.Namespace) -> None:
    _fill(args, new=True, dtype=args.store)


def add(args: argparse.Namespace) -> None:
    GalleryFiles(args.gallery)  # whatever is wrong with it is told before the network is loaded
    _fill(args, new=False)


def _fill(args: argparse.Namespace, *, new: bool, dtype: str = "float32") -> None:
    listing = list_images(args.images, args.modality)
    extractor, network = open_network(args)
    steps = fill_gallery(
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
    if unreadable:
        lines.append(f"skipped {len(unreadable):,} that cannot be read:")
        lines += [f"  {reason}" for reason in unreadable[:SHOWN]]
    return [*lines, f"each is listed in {folder / SKIPPED}"]


def remove(args: argparse.Namespace) -> None:
    gallery = Gallery(args.gallery)
    names: list[str | Path] = []
    for given in args.images:
        if Path(given).suffix.lower() == ".csv" and Path(given).is_file():
            for modality in Modality:
                names += _named(given, modality)
        else:
            names.append(given)
    number = gallery.remove(names)
    print(f"removed {number:,} images from {args.gallery}, which holds {len(gallery):,}")


def _named(path: str, modality: Modality) -> list[Path]:
    try:
        return list_images(path, modality).full_paths()
    except DataError:
        if modality == Modality.VISIBLE:  # its rows may all be of the other
            return []
        raise
