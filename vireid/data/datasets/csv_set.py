"""A user's own data set: images anywhere under a folder, described by one CSV file."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from vireid.data.datasets.files import check_apart, hold_out, is_file, require_root
from vireid.data.datasets.info import DatasetInfo
from vireid.data.datasets.names import (
    alike,
    composed,
    label_of,
    nameless,
    names_by_number,
    number_cameras,
    unidentified_notes,
)
from vireid.errors import DataError
from vireid.structures import MODALITY_NAMES, ImageRecord, Modality, Splits
from vireid.utils.identities import number_identities, unidentified
from vireid.utils.paths import exists_as, expand, is_hidden

NAME = "dataset.csv"
REQUIRED = ("path", "pid", "modality", "split")
COLUMNS = (*REQUIRED, "camid")
WANTED = f"the first line must name {','.join(COLUMNS)}, separated by commas"
# Other names that people give these columns. A column with a similar name is probably a mistake.
LIKE = {
    "path": ("path", "file", "filename", "image"),
    "pid": ("pid", "id", "person", "personid", "identity"),
    "camid": ("camid", "cam", "camera"),
    "modality": ("modality", "spectrum"),
    "split": ("split", "part", "set"),
}
PARTS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class _Row:
    """One image as the file names it; the camera is empty in a file without cameras."""

    part: str
    path: str
    identity: str
    camera: str
    modality: Modality


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the CSV file; the images must exist but are not opened.

    Without camera ids (no ``camid`` column, or an empty one) every visible image is of camera 1
    and every infrared image of camera 2. A query and its gallery differ in modality, so they never
    share a camera then, and the rule of the csv protocols, which removes gallery images of the
    query's identity *and* camera, removes nothing. The column is filled in all rows or in none,
    because a given camera 1 must not be mixed up with the default.

    Identities and cameras may have any names. Those of a column that holds whole numbers only are
    these numbers; ``vireid.data.datasets.names`` has the rule for others. Junk and distractors
    (``vireid.utils.identities.unidentified``) train nothing.

    Args:
        root: folder that holds ``dataset.csv``, or the path of a CSV file; the images' paths are
            relative to its folder and must not lead out of it.
        split: ``train`` keeps the identities of the ``val`` rows apart or, if there are none,
            every fifth training identity.
    Raises:
        DataError: names file, line, column and value of a malformed row; an image is missing or
            named twice; an identity is in two parts.
    """
    path = _find(root)
    rows = _read(path)
    identities, _ = number_identities([row.identity for row in rows])
    cameras = number_cameras([row.camera for row in rows if row.camera])
    names, apart = names_by_number(identities), unidentified(identities.values())
    parts: dict[str, list[ImageRecord]] = {part: [] for part in PARTS}
    left_out: list[ImageRecord] = []
    for row in rows:
        camid = cameras[row.camera] if row.camera else int(row.modality) + 1
        record = ImageRecord(row.path, identities[row.identity], camid, row.modality)
        part = "train" if row.part == "val" and split == "train+val" else row.part
        untrained = part != "test" and record.pid in apart
        (left_out if untrained else parts[part]).append(record)
    check_apart(
        {PARTS[part]: {label_of(r.pid, names) for r in records} for part, records in parts.items()},
        path,
    )
    train, val = tuple(parts["train"]), tuple(parts["val"])
    if split == "train" and not val:
        train, val = hold_out(train, split)
    notes = (
        *alike(identities, "identity"),
        *alike(cameras, "camera"),
        *nameless(identities),
        *unidentified_notes([*left_out, *parts["test"]]),
    )
    return Splits(
        root=path.parent,
        train=train,
        val=val,
        test=tuple(parts["test"]),
        identities=names,
        cameras=names_by_number(cameras),
        left_out=tuple(left_out),
        notes=notes,
    )


def _find(root: str | Path) -> Path:
    path = expand(root)
    if path.suffix.lower() == ".csv" and is_file(path):
        return path
    folder = require_root(root, INFO)
    if not (folder / NAME).is_file():
        found = sorted(e.name for e in folder.glob("*.csv") if not is_hidden(e.name))
        remedy = f"name one of {', '.join(found[:5])} in DATA.ROOT" if found else "write one"
        other = exists_as(folder / NAME)
        raise DataError(f"{folder} lacks {NAME}{other}: {remedy}\nexpected:\n{INFO.tree}")
    return folder / NAME


def _read(path: Path) -> list[_Row]:
    """Every row, in the file's order."""
    rows = _read_rows(path)
    cameras = any(row.get("camid") for row in rows.values())
    found: list[_Row] = []
    lines: dict[str, int] = {}
    for line, row in rows.items():
        where = f"{path}, line {line}"
        if cameras and not row["camid"]:
            remedy = "fill it in every row, or in none"
            raise DataError(f"{where}: camid is empty, but other rows have one: {remedy}")
        part = _word(row, "split", PARTS, where)
        modality = MODALITY_NAMES[_word(row, "modality", MODALITY_NAMES, where)]
        if not row["pid"]:
            raise DataError(f"{where}, column pid: it is empty: name the identity")
        image = _relative_path(row["path"], where)
        if image in lines:
            raise DataError(
                f"{where}, column path: {image!r} is in line {lines[image]} already: an image can "
                "be listed once"
            )
        lines[image] = line
        camera = composed(row["camid"]) if cameras else ""
        found.append(_Row(part, image, composed(row["pid"]), camera, modality))
    missing = [name for name in lines if not is_file(path.parent / name)]
    if missing:
        shown = ", ".join(f"{name} (line {lines[name]})" for name in missing[:3])
        raise DataError(
            f"{path} lists {len(missing)} images that are not under {path.parent}, the first: "
            f"{shown}{exists_as(path.parent / missing[0])}"
        )
    return found


def _read_rows(path: Path) -> dict[int, dict[str, str]]:
    """Cells without spaces around them, by column, of every row that has any; by line number.

    Pandas fills a short row with empty cells, which the required columns refuse.
    """
    import pandas as pd  # takes half a second, and no other data set needs it

    as_text: dict[str, Any] = {"header": None, "dtype": str, "na_filter": False}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = pd.read_csv(file, nrows=1, skip_blank_lines=False, **as_text)
            columns = _check_columns(path, header.iloc[0].tolist())
            file.seek(0)
            cells = pd.read_csv(file, skip_blank_lines=False, **as_text)
    except pd.errors.EmptyDataError:
        _check_columns(path, [])
        raise
    except pd.errors.ParserError as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            f"{path} cannot be read as a CSV file ({reason}): quote every value that holds a comma"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    breaks = cells.apply(lambda column: column.str.count("\n")).sum(axis=1)  # in quoted cells
    lines = (cells.index + 1 + breaks.cumsum()).tolist()
    rows = {
        line: dict(zip(columns, map(str.strip, row), strict=True))
        for line, row in zip(lines, cells.to_numpy().tolist(), strict=True)
        if any(map(str.strip, row))
    }
    del rows[next(iter(rows))]  # the header
    if not rows:
        raise DataError(f"{path} lists no image")
    return rows


def _check_columns(path: Path, header: Sequence[str]) -> list[str]:
    """The names of the columns in small letters."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    meant = {column: names_like(column, names) for column in COLUMNS if column not in names}
    hints = "".join(f"; is {like[0]!r:.100} meant for {c}?" for c, like in meant.items() if like)
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; {WANTED}, "
            f"got {','.join(header)!r:.100}{hints}"
        )
    if hints:
        raise DataError(
            f"{path}, line 1: no column camid{hints} Rename it to camid, or to something less like "
            "it to train without camera ids"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]} appears twice: remove one")
    return names


def names_like(column: str, names: Sequence[str]) -> list[str]:
    """Names that are no column of ours, but may be meant for one that is absent."""
    plain = {name: re.sub(r"[^a-z]", "", name) for name in names if name not in COLUMNS}
    return [
        name for name, letters in plain.items() if get_close_matches(letters, LIKE[column], 1, 0.7)
    ]


def _word(row: Mapping[str, str], column: str, known: Collection[str], where: str) -> str:
    word = row[column].lower()
    if word not in known:
        raise DataError(
            f"{where}, column {column}: {row[column]!r:.200} is unknown; choose one of "
            + ", ".join(known)
        )
    return word


def _relative_path(text: str, where: str) -> str:
    """The image's path, with ``/``."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.name:
        raise DataError(f"{where}, column path: must name an image, got {text!r:.200}")
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", text):
        raise DataError(
            f"{where}, column path: must be relative to the CSV file's folder and stay in it, got "
            f"{text!r:.200}: move the CSV file to a folder above all images"
        )
    return str(path)


INFO = DatasetInfo(
    name="csv",
    load=load,
    tree="""\
  ROOT/dataset.csv (or ROOT is a .csv file itself) with the columns
  path,pid,camid,modality,split
  images/a.jpg,7,1,visible,train      path relative to the file, camid may be left out""",
    where_to_get="A CSV set is your own: docs/datasets.md describes its columns",
)
