"""The names of a data set's identities and cameras, and the numbers that stand for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from vireid.errors import DataError
from vireid.structures import SPLITS, Modality, Splits
from vireid.utils.io import write_text

IDENTITIES, CAMERAS = "identities.csv", "cameras.csv"
UNNAMED_CAMERAS = {int(modality) + 1: modality.name.lower() for modality in Modality}


def write_names(folder: Path, splits: Splits, stem: str = "") -> list[Path]:
    """Writes which number stands for which identity and camera, for sets that name them.

    ``identities.csv`` has the columns ``identity,pid,split``, ``cameras.csv`` ``camera,camid``;
    ``pid`` and ``camid`` are those of features.npz.

    Args:
        stem: what the files' names begin with.
    Returns:
        the files; none for a set whose identities have no names.
    """
    if not splits.identities:
        return []
    split_of = {record.pid: part for part in SPLITS for record in getattr(splits, part)}
    identities = [
        (name, pid, split_of[pid]) for pid, name in splits.identities.items() if pid in split_of
    ]
    cameras = [(name, camid) for camid, name in (splits.cameras or UNNAMED_CAMERAS).items()]
    paths = [folder / f"{stem}{IDENTITIES}", folder / f"{stem}{CAMERAS}"]
    write_text(paths[0], _table(("identity", "pid", "split"), identities))
    write_text(paths[1], _table(("camera", "camid"), cameras))
    return paths


def read_identity_names(path: Path) -> dict[int, str]:
    """Number → name of the identities in a file of :func:`write_names`; empty without the file.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {int(row["pid"]): row["identity"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} does not list identities (columns identity, pid; {error}): restore it from a "
            "copy, or delete it"
        ) from error


def read_training_names(run: Path) -> set[str]:
    """Names of the identities that trained or validated a run; empty where none are written."""
    try:
        with (run / IDENTITIES).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["identity"] for row in rows if row["split"] != "test"}
    except (OSError, ValueError, KeyError, csv.Error):
        return set()


def names_beside(features: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Names of identities and cameras by number, from what lies beside a file of features.

    These are ``<stem>_identities.csv`` of ``extract``, or ``identities.csv`` of a run's folder.
    """
    own = features.with_name(f"{features.stem}_{IDENTITIES}")
    stem = f"{features.stem}_" if own.is_file() else ""
    return (
        _by_number(features.with_name(stem + IDENTITIES), "pid", "identity"),
        _by_number(features.with_name(stem + CAMERAS), "camid", "camera"),
    )


def _by_number(path: Path, number: str, name: str) -> dict[int, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {int(row[number]): row[name] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}


def _table(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
