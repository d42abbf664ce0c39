"""Which images a folder or a CSV file holds, for a gallery or for a search."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.data.datasets.csv_set import names_like
from vireid.data.datasets.files import is_image
from vireid.errors import DataError
from vireid.search.gallery_files import UNKNOWN
from vireid.search.gallery_writer import Skipped
from vireid.structures import Modality, modality_named
from vireid.utils.paths import BROKEN_LINK, HIDDEN, LINK, exists_as, expand, list_files

LARGEST = 2**63 - 1
COLUMNS = ("path", "pid", "camid", "modality")
TWICE, OTHER_FILE = "listed twice", "no image by its name"
IN_GALLERY, OTHER_MODALITY = "in the gallery already", "of another modality"
JUNK = "junk (a negative pid)"
# known before an image is opened
AT_START = (TWICE, OTHER_FILE, HIDDEN, LINK, BROKEN_LINK, IN_GALLERY, OTHER_MODALITY, JUNK)


@dataclass(frozen=True, slots=True)
class Listed:
    """An image that a folder or a CSV file names.

    Args:
        path: relative to the listing's root, or absolute.
        pid, camid: -1 where they are not known.
    """

    path: str
    pid: int = UNKNOWN
    camid: int = UNKNOWN


@dataclass(frozen=True, slots=True)
class Listing:
    """Images in their order.

    Args:
        source: folder or CSV file.
        root: folder that paths begin in.
        skipped: what was passed over, and why.
    """

    source: Path
    root: Path
    images: tuple[Listed, ...]
    skipped: tuple[Skipped, ...] = ()

    def full_paths(self) -> list[Path]:
        return [self.root / image.path for image in self.images]


def list_images(source: str | Path, modality: Modality) -> Listing:
    """The images of a folder, at any depth by their paths, or of a CSV file in its order.

    Hidden files and folders below the folder are passed over, see
    ``vireid.utils.paths.is_hidden``; a CSV file may name such files.
    A CSV file has the column ``path``, relative to the file or absolute, and may have ``pid`` and
    ``camid`` (empty where not known) and ``modality``, of which other rows are passed over.

    Raises:
        DataError: there is no such folder or file, it names no image, or a row is malformed.
    """
    path = expand(source).resolve()
    if path.is_dir():
        listing = _of_folder(path)
    elif path.is_file() and path.suffix.lower() == ".csv":
        listing = _of_csv(path, modality)
    elif path.is_file() and is_image(path):
        listing = Listing(path, path.parent, (Listed(path.name),))
    else:
        there = "a file of another kind" if path.exists() else "nothing"
        raise DataError(
            f"images {source}: must be a folder, an image or a .csv file; there is {there}"
            f"{exists_as(path)}"
        )
    if not listing.images:
        raise DataError(f"{source} holds no image ({len(listing.skipped)} other files or rows)")
    return listing


def _of_folder(folder: Path) -> Listing:
    found = list_files(folder)
    images = tuple(Listed(path) for path in found.files if is_image(Path(path)))
    others = [(path, OTHER_FILE) for path in found.files if not is_image(Path(path))]
    return Listing(folder, folder, images, (*others, *found.skipped))


def _of_csv(path: Path, modality: Modality) -> Listing:
    images: dict[str, Listed] = {}
    skipped: list[Skipped] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            columns = _columns(path, next(rows, []))
            for cells in rows:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path}, line {rows.line_num}"
                image, passed_over = _row(where, columns, cells, modality)
                full = os.path.normpath(path.parent / image.path)
                if passed_over:
                    skipped.append((image.path, passed_over))
                elif full in images:
                    skipped.append((image.path, TWICE))
                else:
                    images[full] = image
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    return Listing(path, path.parent, tuple(images.values()), tuple(skipped))


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    wrong = [f"column {name} appears twice" for name in COLUMNS if names.count(name) > 1]
    wrong += ["no column path"] * ("path" not in names)
    absent = [name for name in COLUMNS if name not in names]
    like = {name: others[0] for name in absent if (others := names_like(name, names))}
    wrong += [
        f"is {other!r:.100} meant for {name}? Rename it, to that or to something less like it"
        for name, other in like.items()
    ]
    if wrong:
        raise DataError(
            f"{path}, line 1: {'; '.join(wrong)}; the first line must name path, may name pid, "
            f"camid and modality, separated by commas, got {','.join(header)!r:.100}"
        )
    return names


def _row(
    where: str, columns: Sequence[str], cells: Sequence[str], modality: Modality
) -> tuple[Listed, str]:
    """The image, and why it is passed over, if it is."""
    if len(cells) != len(columns):
        raise DataError(
            f"{where}: {len(cells)} values for the {len(columns)} columns of line 1: quote a value "
            "that holds a comma"
        )
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    path = values["path"].replace("\\", "/")
    if not path or path.endswith("/") or "\0" in path:
        raise DataError(f"{where}, column path: must name an image, got {values['path']!r:.100}")
    name = values.get("modality", "")
    try:
        own = not name or modality_named(name) is modality
    except ValueError as error:
        raise DataError(f"{where}, column modality: {error}") from error
    if junk := re.fullmatch(r"-0*[1-9][0-9]*", values.get("pid", "")) is not None:
        values["pid"] = ""
    numbers = [_number(where, values, column) for column in ("pid", "camid")]
    passed_over = "" if own and not junk else JUNK if junk else OTHER_MODALITY
    return Listed(os.path.normpath(path), *numbers), passed_over


def _number(where: str, values: dict[str, str], column: str) -> int:
    text = values.get(column, "")
    if not text:
        return UNKNOWN
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > LARGEST:
        raise DataError(
            f"{where}, column {column}: must be a whole number from 0, or empty, got {text!r:.60}"
        )
    return int(text)
