"""A data set of one's own: images anywhere under a folder, described by one CSV file."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from vireid.data.datasets.files import check_apart, hold_out, home_of, is_file, require_root
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

NAME = "dataset.csv"
TREE = """\
  ROOT/dataset.csv (or ROOT is a .csv file itself) with the columns
  path,pid,camid,modality,split
  images/a.jpg,7,1,visible,train      path relative to the file, camid may be left out"""
WHERE = "a CSV set is your own: docs/datasets.md describes its columns"
REQUIRED = ("path", "pid", "modality", "split")
COLUMNS = (*REQUIRED, "camid")
# What people also call a column: names near to these are taken for a mistake where it is absent.
LIKE = {
    "path": ("path", "file", "filename", "image"),
    "pid": ("pid", "id", "person", "personid", "identity"),
    "camid": ("camid", "cam", "camera"),
    "modality": ("modality", "spectrum"),
    "split": ("split", "part", "set"),
}
MODALITIES = {
    **dict.fromkeys(("visible", "vis", "rgb", "color", "colour"), Modality.VISIBLE),
    **dict.fromkeys(("infrared", "ir", "nir", "thermal", "tir", "lwir"), Modality.INFRARED),
}
PARTS = {"train": "training", "val": "validation", "test": "test"}
EXPECTED: dict[str, int] = {}  # nothing was published about a set of one's own
USUAL_SPLIT = "train+val"
LARGEST = 2**63 - 1  # of a number that features.npz can hold


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    part: str
    has_camera: bool
    record: ImageRecord


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads the CSV file; the images must exist but are not opened.

    Without camera ids (no ``camid`` column, or an empty one) every visible image is of camera 1
    and every infrared image of camera 2. A query and its gallery differ in modality, so they never
    share a camera then, and the rule of the csv protocols, which removes gallery images of the
    query's identity *and* camera, removes nothing. For the same reason the column is filled in all
    rows or in none: one given camera 1 must not meet a default one.

    Args:
        root: folder that holds ``dataset.csv``, or the path of a CSV file; the images' paths are
            relative to its folder and must not lead out of it.
        split: ``train+val`` (usual) trains on the rows of both; ``train`` keeps the identities of
            the ``val`` rows apart or, where there are none, every fifth training identity.
        split_trial: not used: a CSV file holds one split.
    Raises:
        DataError: names file, line, column and value of the first malformed row; an image is
            missing or named twice; an identity is in two parts.
    """
    path = _find(root)
    rows = _read(path)
    _check_files(path, rows)
    separate = (split or USUAL_SPLIT) == "train"
    parts: dict[str, list[ImageRecord]] = {part: [] for part in PARTS}
    for row in rows:
        merged = row.part == "val" and not separate
        parts["train" if merged else row.part].append(row.record)
    pids = {part: {record.pid for record in records} for part, records in parts.items()}
    check_apart({PARTS[part]: members for part, members in pids.items()}, path)
    train, val = tuple(parts["train"]), tuple(parts["val"])
    if separate and not val:
        train, val = hold_out(train)
    return Splits(root=path.parent, train=train, val=val, test=tuple(parts["test"]))


def _find(root: str | Path) -> Path:
    path = home_of(root)
    if path.suffix.lower() == ".csv" and is_file(path):
        return path
    folder = require_root(root, TREE, WHERE)
    if not (folder / NAME).is_file():
        found = sorted(entry.name for entry in folder.glob("*.csv"))
        remedy = f"name one of {', '.join(found[:5])} in DATA.ROOT" if found else "write one"
        raise DataError(f"{folder} lacks {NAME}: {remedy}\nexpected:\n{TREE}")
    return folder / NAME


def _read(path: Path) -> list[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = _columns(path, next(reader, []))
            rows = [
                _row(path, reader.line_num, columns, cells)
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    if not rows:
        raise DataError(f"{path} lists no image")
    for row in rows[1:]:
        if row.has_camera != rows[0].has_camera:
            without = row if rows[0].has_camera else rows[0]
            raise DataError(
                f"{path}, line {without.line}: camid is empty, but other rows have one: fill it "
                "in every row, or in none"
            )
    return rows


def _columns(path: Path, header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    meant = {column: names_like(column, names) for column in COLUMNS if column not in names}
    hints = "".join(f"; is {like[0]!r:.100} meant for {c}?" for c, like in meant.items() if like)
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; the first line must name "
            f"{','.join(COLUMNS)}, separated by commas, got {','.join(header)!r:.100}{hints}"
        )
    if hints:
        raise DataError(
            f"{path}, line 1: no column camid{hints} Rename it to camid, or to something less like "
            "it to train without camera ids"
        )
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]} is there twice: remove one")
    return names


def names_like(column: str, names: Sequence[str]) -> list[str]:
    """Names that are no column of ours, but may be meant for one that is absent."""
    plain = {name: re.sub(r"[^a-z]", "", name) for name in names if name not in COLUMNS}
    return [
        name for name, letters in plain.items() if get_close_matches(letters, LIKE[column], 1, 0.7)
    ]


def _row(path: Path, line: int, columns: list[str], cells: list[str]) -> _Row:
    where = f"{path}, line {line}"
    if len(cells) != len(columns):
        raise DataError(
            f"{where}: {len(cells)} values for the {len(columns)} columns of line 1: quote a value "
            "that holds a comma"
        )
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    modality = MODALITIES[_choice(where, values, "modality", MODALITIES)]
    part = _choice(where, values, "split", PARTS)
    pid = _number(where, values, "pid", at_least=0)
    has_camera = bool(values.get("camid"))
    camid = _number(where, values, "camid", at_least=1) if has_camera else int(modality) + 1
    record = ImageRecord(_relative(where, values["path"]), pid, camid, modality)
    return _Row(line, part, has_camera, record)


def _choice(
    where: str, values: Mapping[str, str], column: str, choices: Mapping[str, object]
) -> str:
    name = values[column].lower()
    if name not in choices:
        raise DataError(
            f"{where}, column {column}: {values[column]!r:.60} is unknown; choose one of "
            + ", ".join(choices)
        )
    return name


def _number(where: str, values: Mapping[str, str], column: str, *, at_least: int) -> int:
    text = values[column]
    digits = re.fullmatch(r"[0-9]{1,19}", text)  # int() would take 1_000 and other scripts' digits
    if digits is None or not at_least <= int(text) <= LARGEST:
        raise DataError(
            f"{where}, column {column}: must be a whole number from {at_least}, got {text!r:.60}"
        )
    return int(text)


def _relative(where: str, text: str) -> str:
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.name:
        raise DataError(f"{where}, column path: must name an image, got {text!r}")
    if path.is_absolute() or re.match(r"[A-Za-z]:", text) or ".." in path.parts:
        raise DataError(
            f"{where}, column path: must be relative to the CSV file's folder and stay in it, "
            f"got {text!r:.200}: move the CSV file to a folder above all images"
        )
    return str(path)


def _check_files(path: Path, rows: list[_Row]) -> None:
    """Raises :class:`DataError` for images that are named twice or missing."""
    first: dict[str, int] = {}
    for row in rows:
        before = first.setdefault(row.record.path, row.line)
        if before != row.line:
            raise DataError(
                f"{path}, line {row.line}, column path: {row.record.path!r} is in line {before} "
                "already: an image can be listed once"
            )
    missing = [row for row in rows if not is_file(path.parent / row.record.path)]
    if missing:
        named = ", ".join(f"{row.record.path} (line {row.line})" for row in missing[:3])
        raise DataError(
            f"{path} lists {len(missing)} images that are not under {path.parent}, the first: "
            + named
        )
