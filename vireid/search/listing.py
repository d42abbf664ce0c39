"""Which images a folder or a CSV file names, for a gallery or for a search."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from vireid.data.datasets.csv_set import names_like
from vireid.data.datasets.files import is_image
from vireid.errors import DataError
from vireid.search.columns import BOX, OWN, VECTOR, further_columns
from vireid.structures import Modality, modality_named
from vireid.utils.paths import (
    BROKEN_LINK,
    HIDDEN,
    LINK,
    exists_as,
    expand,
    list_files,
    path_problem,
)

COLUMNS = ("path", "pid", "camid", "time", "modality")
RESERVED = (*(name for name in OWN if name not in COLUMNS), VECTOR, BOX)
UNKNOWN = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]  # in further columns
TWICE, OTHER_FILE = "listed twice", "no image by its name"
OTHER_MODALITY = "of another modality"
JUNK = "junk (a negative pid)"
# known before an image is opened
AT_START = (TWICE, OTHER_FILE, HIDDEN, LINK, BROKEN_LINK, OTHER_MODALITY, JUNK)
Skipped = tuple[str, str]  # path, reason


@dataclass(frozen=True, slots=True)
class Listed:
    """An image that a folder or a CSV file names.

    Args:
        path: relative to the listing's root, or absolute.
        pid, camid, time: None where they are not known.
        row: of the listing's further columns; -1 without any.
    """

    path: str
    pid: str | None = None
    camid: str | None = None
    time: pd.Timestamp | None = None
    row: int = -1


@dataclass(frozen=True, slots=True)
class Listing:
    """Images in their order.

    Args:
        source: folder, image or CSV file.
        root: folder that paths begin in.
        skipped: what was passed over, and why.
        further: other columns of the CSV file, a row for each of its lines.
    """

    source: Path
    root: Path
    images: tuple[Listed, ...]
    skipped: tuple[Skipped, ...] = ()
    further: pa.Table | None = None

    def full_path(self, image: Listed) -> Path:
        return Path(os.path.normpath(self.root / image.path))

    def further_of(self, images: Sequence[Listed]) -> pa.Table | None:
        """Rows of the further columns."""
        return None if self.further is None else self.further.take([one.row for one in images])


def list_images(source: str | Path, modality: Modality) -> Listing:
    """The images of a folder, at any depth by their paths, or of a CSV file in its order.

    Hidden files and folders below the folder are passed over, see
    ``vireid.utils.paths.is_hidden``; a CSV file may name such files.
    A CSV file has the column ``path``, relative to the file or absolute, and may have ``pid``,
    ``camid`` and ``time`` (empty where not known), ``modality``, of which other rows are passed
    over, and further columns.

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
    frame = _read(path)
    images: dict[str, Listed] = {}
    skipped: list[Skipped] = []
    text = frame[[name for name in COLUMNS if name in frame]].to_dict("records")
    for row, (line, values) in enumerate(zip(frame.index, text, strict=True)):
        where = f"{path}, line {line}"
        image, passed_over = _row(where, values, modality, row)
        full = os.path.normpath(path.parent / image.path)
        if passed_over:
            skipped.append((image.path, passed_over))
        elif full in images:
            skipped.append((image.path, TWICE))
        else:
            images[full] = image
    others = frame[[name for name in frame if name not in COLUMNS]]
    further = further_columns(others, str(path))
    further = further if further.num_columns else None
    return Listing(path, path.parent, tuple(images.values()), tuple(skipped), further)


def _read(path: Path) -> pd.DataFrame:
    """The rows that hold anything, by line number; columns that this project knows as text."""
    options: dict[str, Any] = {
        "skip_blank_lines": False,
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
        "keep_default_na": False,
    }
    try:
        header = pd.read_csv(path, nrows=0, header=0, **options)
        # Pandas renames columns that appear twice.
        first = pd.read_csv(path, nrows=1, header=None, dtype=str, na_filter=False, **options)
        names = _checked_header(path, first.iloc[0].tolist())
        kinds = {column: str for column, name in zip(header, names, strict=True) if name in COLUMNS}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row that is too long
            # An identity or a camera may be called NA.
            unknown = {column: [""] if column in kinds else UNKNOWN for column in header}
            options |= {"dtype": kinds, "na_values": unknown, "dtype_backend": "numpy_nullable"}
            frame = pd.read_csv(path, index_col=False, **options)
    except pd.errors.EmptyDataError:
        _checked_header(path, [])
        raise
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        if isinstance(error, pd.errors.ParserWarning):
            reason = "line 2 has more values than the first line has names"
        raise DataError(
            f"{path} cannot be read as a CSV file ({reason}): quote a value that holds a comma"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    frame.columns = pd.Index(names)
    frame.index = frame.index + 2
    return frame.dropna(how="all")


def _checked_header(path: Path, header: Sequence[object]) -> list[str]:
    names = [str(name).strip() for name in header]
    names = [name.lower() if name.lower() in (*COLUMNS, *RESERVED) else name for name in names]
    wrong = [f"column {name} appears twice" for name in names if names.count(name) > 1][:1]
    wrong += ["no column path"] * ("path" not in names)
    absent = [name for name in COLUMNS[:3] if name not in names] + ["modality"]
    like = {
        name: others[0]
        for name in absent
        if name not in names and (others := names_like(name, [one.lower() for one in names]))
    }
    wrong += [
        f"is {other!r:.100} meant for {name}? Rename it, to that or to something less like it"
        for name, other in like.items()
    ]
    wrong += [f"a gallery has its own column {name}: rename it" for name in names
              if name in RESERVED]  # fmt: skip
    if wrong:
        raise DataError(
            f"{path}, line 1: {'; '.join(wrong)}; the first line must name path, may name pid, "
            f"camid, time, modality and others, separated by commas, got "
            f"{','.join(map(str, header))!r:.100}"
        )
    return names


def _row(where: str, values: dict[Any, Any], modality: Modality, row: int) -> tuple[Listed, str]:
    """The image, and why it is passed over, if it is."""
    text = {name: "" if pd.isna(v) else str(v).strip() for name, v in values.items()}
    path = text["path"].replace("\\", "/")
    if not path or path.endswith("/"):
        raise DataError(f"{where}, column path: must name an image, got {text['path']!r:.100}")
    if problem := path_problem(path):
        raise DataError(f"{where}, column path: {path!r:.100} {problem}")
    name = text.get("modality", "")
    try:
        own = not name or modality_named(name) is modality
    except ValueError as error:
        raise DataError(f"{where}, column modality: {error}") from error
    junk = re.fullmatch(r"-0*[1-9][0-9]*", text.get("pid", "")) is not None
    passed_over = "" if own and not junk else JUNK if junk else OTHER_MODALITY
    image = Listed(
        os.path.normpath(path),
        pid=text.get("pid") or None,
        camid=text.get("camid") or None,
        time=_time(where, text.get("time", "")),
        row=row,
    )
    return image, passed_over


def _time(where: str, text: str) -> pd.Timestamp | None:
    """Date and time in UTC; numbers are seconds since 1970."""
    if not text:
        return None
    try:
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            found = pd.Timestamp(float(text), unit="s")
        elif text[0].isdigit():
            found = pd.Timestamp(text)
        else:
            raise ValueError("it is a word, such as now")
        found = found.tz_convert("UTC").tz_localize(None) if found.tzinfo else found
        found.to_pydatetime()  # refuses years that Python cannot show
        return found
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{where}, column time: must be a date and time such as 2026-11-29 14:05:00, or "
            f"seconds since 1970, got {text!r:.60}"
        ) from error
