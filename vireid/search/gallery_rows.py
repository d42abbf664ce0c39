"""Rows of a gallery by what users call its images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.errors import DataError
from vireid.search.gallery_files import GalleryFiles
from vireid.utils.paths import expand


def rows_of(files: GalleryFiles, names: Sequence[str | Path]) -> np.ndarray:
    """(n,) ascending rows of images, without removed ones.

    Args:
        names: files by their path (links to their folder are followed), or as their folder or CSV
            file has them; folders stand for all images in them.
    Raises:
        DataError: there is no such image, or several of one name.
    """
    by_path: dict[str, int] = {}
    by_name: dict[str, list[int]] = {}
    for row in np.flatnonzero(~files.removed).tolist():
        by_path[str(files.full_path(row))] = row
        by_name.setdefault(files.path_of(row), []).append(row)
    found: set[int] = set()
    for given in names:
        full = Path(os.path.normpath(expand(given).absolute()))
        ways = str(full), str(full.parent.resolve() / full.name)
        rows = [by_path[way] for way in ways if way in by_path][:1]
        rows = rows or by_name.get(os.path.normpath(given), [])
        if len(rows) > 1:
            raise DataError(
                f"the gallery {files.folder} holds {len(rows)} images {given}, the first: "
                f"{files.full_path(rows[0])}; name it by its whole path"
            )
        inside = tuple(str(way).rstrip(os.sep) + os.sep for way in (full, full.resolve()))
        rows = rows or [row for path, row in by_path.items() if path.startswith(inside)]
        if not rows:
            raise DataError(
                f"the gallery {files.folder} holds no image {given}: nothing was removed"
            )
        found.update(rows)
    return np.array(sorted(found), dtype=np.int64)
