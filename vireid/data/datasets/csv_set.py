"""A user's own data set: images anywhere under a folder, described by one CSV file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vireid.data.datasets.files import check_apart, hold_out, is_file, require_root
from vireid.data.datasets.info import DatasetInfo
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.paths import expand

if TYPE_CHECKING:  # pandas takes a second to import, and the other data sets do not need it
    import pandas as pd

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
MODALITY_NAMES = {
    **dict.fromkeys(("visible", "vis", "rgb", "color", "colour"), Modality.VISIBLE),
    **dict.fromkeys(("infrared", "ir", "nir", "thermal", "tir", "lwir"), Modality.INFRARED),
}
PARTS = {"train": "training", "val": "validation", "test": "test"}
LARGEST = 2**63 - 1  # number that features.npz can hold


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the CSV file; the images must exist but are not opened.

    Without camera ids (no ``camid`` column, or an empty one) every visible image is of camera 1
    and every infrared image of camera 2. A query and its gallery differ in modality, so they never
    share a camera then, and the rule of the csv protocols, which removes gallery images of the
    query's identity *and* camera, removes nothing. The column is filled in all rows or in none,
    because a given camera 1 must not be mixed up with the default.

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
    parts: dict[str, list[ImageRecord]] = {part: [] for part in PARTS}
    for part, record in _read(path):
        parts["train" if part == "val" and split == "train+val" else part].append(record)
    pids = {PARTS[part]: {record.pid for record in records} for part, records in parts.items()}
    check_apart(pids, path)
    train, val = tuple(parts["train"]), tuple(parts["val"])
    if split == "train" and not val:
        train, val = hold_out(train, split)
    return Splits(root=path.parent, train=train, val=val, test=tuple(parts["test"]))


def _find(root: str | Path) -> Path:
    path = expand(root)
    if path.suffix.lower() == ".csv" and is_file(path):
        return path
    folder = require_root(root, INFO)
    if not (folder / NAME).is_file():
        found = sorted(entry.name for entry in folder.glob("*.csv"))
        remedy = f"name one of {', '.join(found[:5])} in DATA.ROOT" if found else "write one"
        raise DataError(f"{folder} lacks {NAME}: {remedy}\nexpected:\n{INFO.tree}")
    return folder / NAME


def _read(path: Path) -> Iterator[tuple[str, ImageRecord]]:
    """(part, record) of every row, in the file's order; nothing before all rows are checked."""
    table = _read_cells(path)
    parts, modalities = table["split"].str.lower(), table["modality"].str.lower()
    for column, names, known in (("split", parts, PARTS), ("modality", modalities, MODALITY_NAMES)):
        problem = f"{{}} is unknown; choose one of {', '.join(known)}"
        _require(path, table[column], names.isin(list(known)), problem)
    pids = _numbers(path, table["pid"], at_least=0)
    spectra = [MODALITY_NAMES[name] for name in modalities]
    camids = [int(modality) + 1 for modality in spectra]
    if "camid" in table and (given := table["camid"] != "").any():
        if not given.all():
            raise DataError(
                f"{path}, line {given.idxmin()}: camid is empty, but other rows have one: fill it "
                "in every row, or in none"
            )
        camids = _numbers(path, table["camid"], at_least=1)
    images = _relative_paths(path, table["path"])
    _check_images(path, images)
    return zip(parts, map(ImageRecord, images, pids, camids, spectra), strict=True)


def _read_cells(path: Path) -> pd.DataFrame:
    """Every cell as text without spaces around it; columns by name, rows by line number.

    Pandas fills a short row with empty cells, which the columns that must not be empty refuse.
    """
    import pandas as pd

    def read(rows: int | None = None) -> pd.DataFrame:
        file.seek(0)
        return pd.read_csv(
            file, header=None, dtype=str, na_filter=False, skip_blank_lines=False, nrows=rows
        )

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = _check_columns(path, read(1).iloc[0].tolist())
            cells = read()
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}, line 1: no columns; {WANTED}") from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"{path} cannot be read as a CSV file ({str(error).strip()}): quote every value that "
            "holds a comma"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    breaks = cells.apply(lambda column: column.str.count("\n")).sum(axis=1)  # in quoted cells
    cells.index = cells.index + 1 + breaks.cumsum()
    cells = cells.apply(lambda column: column.str.strip())
    cells.columns = pd.Index(columns)
    rows = cells.iloc[1:]
    rows = rows[(rows != "").any(axis=1)]
    if rows.empty:
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
        raise DataError(f"{path}, line 1: column {twice[0]} is there twice: remove one")
    return names


def names_like(column: str, names: Sequence[str]) -> list[str]:
    """Names that are no column of ours, but may be meant for one that is absent."""
    plain = {name: re.sub(r"[^a-z]", "", name) for name in names if name not in COLUMNS}
    return [
        name for name, letters in plain.items() if get_close_matches(letters, LIKE[column], 1, 0.7)
    ]


def _require(path: Path, column: pd.Series[str], good: pd.Series[bool], problem: str) -> None:
    """Raises :class:`DataError` for the first value that is not good, which replaces ``{}``."""
    for line, value in column[~good].items():
        shown = f"{value!r:.200}"
        raise DataError(f"{path}, line {line}, column {column.name}: {problem.format(shown)}")


def _numbers(path: Path, column: pd.Series[str], *, at_least: int) -> list[int]:
    good = column.str.fullmatch("[0-9]{1,19}")  # int() would take 1_000 and other scripts' digits
    good &= column.where(good, "-1").map(int).between(at_least, LARGEST)
    _require(path, column, good, f"must be a whole number from {at_least}, got {{}}")
    return column.map(int).tolist()


def _relative_paths(path: Path, column: pd.Series[str]) -> pd.Series[str]:
    """The images' paths, with ``/``."""
    found = column.map(lambda text: PurePosixPath(text.replace("\\", "/")))
    _require(path, column, found.map(lambda image: image.name != ""), "must name an image, got {}")
    inside = ~column.str.match("[A-Za-z]:") & found.map(
        lambda image: not image.is_absolute() and ".." not in image.parts
    )
    problem = (
        "must be relative to the CSV file's folder and stay in it, got {}: move the CSV file to a "
        "folder above all images"
    )
    _require(path, column, inside, problem)
    return found.map(str)


def _check_images(path: Path, images: pd.Series[str]) -> None:
    """Raises :class:`DataError` for images that are named twice or missing."""
    for line, name in images[images.duplicated()].items():
        raise DataError(
            f"{path}, line {line}, column path: {name!r} is in line {(images == name).idxmax()} "
            "already: an image can be listed once"
        )
    missing = [(name, line) for line, name in images.items() if not is_file(path.parent / name)]
    if missing:
        raise DataError(
            f"{path} lists {len(missing)} images that are not under {path.parent}, the first: "
            + ", ".join(f"{name} (line {line})" for name, line in missing[:3])
        )


INFO = DatasetInfo(
    name="csv",
    load=load,
    tree="""\
  ROOT/dataset.csv (or ROOT is a .csv file itself) with the columns
  path,pid,camid,modality,split
  images/a.jpg,7,1,visible,train      path relative to the file, camid may be left out""",
    where_to_get="a CSV set is your own: docs/datasets.md describes its columns",
)
