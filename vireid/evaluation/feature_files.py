"""Features on disk: ``features.npz``, and SYSU-MM01's official folders of ``.mat`` files."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.protocols import SYSU_CAMERAS, SYSU_INFRARED
from vireid.structures import TEST_LISTS, FeatureSet, Role
from vireid.utils.io import replace_file
from vireid.utils.matlab import read_mat

DTYPES = {"pids": "int64", "camids": "int64", "modality": "uint8"}
LARGEST = 2**63 - 1
SMALL, MOST_PACKED = 2**28, 20  # bytes that any archive may unpack to; times its size
NAMES = ("features", *DTYPES, "paths")
OPTIONAL = {"role": ("role", "uint8"), "subset": ("test_list", "int64")}  # array → field, type
NPY = b"\x93NUMPY"  # how a file of one array begins
HOW = (
    f"write {', '.join(NAMES)} with numpy.savez, as arrays of numbers and text without objects "
    "(docs/scoring_features.md), or name a folder of *_cam1.mat … *_cam6.mat"
)


def read_features(path: Path, test_ids: Collection[int] | None = None) -> FeatureSet:
    """A ``features.npz``, or a folder of official ``*_cam1.mat`` … ``*_cam6.mat``.

    Args:
        test_ids: identities to keep; all of them by default.
    Raises:
        DataError: what is wrong with the file, and how to save it.
    """
    features = _read_official(path) if path.is_dir() else _read_npz(path)
    if test_ids is None:
        return features
    absent = sorted(set(test_ids) - set(features.pids.tolist()))
    if absent:
        raise DataError(
            f"{path} holds no image of {len(absent)} of the {len(test_ids)} test identities, first "
            f"{absent[:3]}: the identities of another data set, or features of only a part of it"
        )
    return features.subset(np.isin(features.pids, list(test_ids)))


def read_test_ids(path: Path) -> list[int]:
    """Identities in a text file, separated by commas or blanks.

    Raises:
        DataError: missing, or something else than numbers stands in it.
    """
    wanted = f"{path} must hold identities separated by commas, as exp/test_id.txt does"
    try:
        words = re.split(r"[\s,]+", path.read_text(encoding="utf-8-sig").strip(" \t\r\n,"))
    except UnicodeDecodeError as error:
        raise DataError(f"{wanted}: it is no text file (test_id.mat is not read)") from error
    except OSError as error:
        raise DataError(f"{wanted} ({error.strerror})") from error
    if words == [""]:
        raise DataError(f"{wanted}: it is empty; leave it out to score all identities")
    wrong = [word for word in words if not re.fullmatch(r"[0-9]{1,18}", word)]
    if wrong:
        raise DataError(f"{wanted}, got {wrong[0]!r:.60}")
    return sorted({int(word) for word in words})


def write_features(
    path: Path, features: FeatureSet, *, source: Mapping[str, Any] | None = None
) -> None:
    """Writes ``features.npz``.

    Args:
        source: what the features were made of, for :func:`read_source`; values of JSON.
    Raises:
        DataError: the features could not be read back.
        UsageError: the file cannot be written.
    """
    arrays: dict[str, Any] = {"features": features.features, "paths": features.paths.astype(str)}
    arrays |= {name: getattr(features, name).astype(dtype) for name, dtype in DTYPES.items()}
    optional = {name: getattr(features, field) for name, (field, _) in OPTIONAL.items()}
    arrays |= {name: array for name, array in optional.items() if array is not None}
    _check(path, arrays)
    if source is not None:
        arrays["source"] = np.array(json.dumps(source))
    replace_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_source(path: Path) -> dict[str, Any] | None:
    """What the features of a file were made of, if it says so and can be read."""
    try:
        _require_modest(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(json.loads(str(file["source"])))
    except Exception:  # whatever is wrong with it: it does not say
        return None


def _read_npz(path: Path) -> FeatureSet:
    cannot = f"{path} cannot be read as features.npz"
    try:
        with path.open("rb") as raw:
            if raw.read(len(NPY)) == NPY:
                raise DataError(f"{cannot}: it is an .npy file, which holds one array; {HOW}")
        if not zipfile.is_zipfile(path):
            raise DataError(f"{cannot}: it is no .npz archive, or not a whole one; {HOW}")
        _require_modest(path)
        with np.load(path, allow_pickle=False) as file:
            held = list(file.files)
            arrays = {name: _native(file[name]) for name in (*NAMES, *OPTIONAL) if name in held}
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{cannot} ({reason}): {HOW}") from error
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(held) or 'nothing'}, and "
            f"needs {', '.join(NAMES)} (docs/scoring_features.md)"
        )
    _check(path, arrays)
    known = {name: (name, DTYPES.get(name, arrays[name].dtype)) for name in NAMES} | OPTIONAL
    return FeatureSet(**{known[k][0]: v.astype(known[k][1], copy=False) for k, v in arrays.items()})


def _require_modest(path: Path) -> None:
    """Raises :class:`DataError` for an archive that would unpack to what nobody packs.

    Features hardly shrink when they are packed, labels by a hundred times and more.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    most = max(SMALL, MOST_PACKED * path.stat().st_size)
    if size > most:
        raise DataError(
            f"{path} would unpack to {size / 1e9:.1f} GB, {size / path.stat().st_size:.0f} times "
            "its size: no features shrink so; write it with numpy.savez, which does not pack"
        )


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raises :class:`DataError` at the first thing that the format forbids."""
    features, paths = arrays["features"], arrays["paths"]
    if features.ndim != 2 or not features.size or features.dtype not in ("float32", "float64"):
        raise DataError(
            f"{path}: features must be (images, dimensions) of float32 or float64, with at least "
            f"one of each, got {features.shape} of {features.dtype}"
        )
    wrong = [
        f"{name} is {arrays[name].shape} of {arrays[name].dtype}"
        for name in (*DTYPES, "paths", *(name for name in OPTIONAL if name in arrays))
        if arrays[name].shape != features.shape[:1]
        or (
            arrays[name].dtype.kind != "U"
            if name == "paths"
            else arrays[name].dtype.kind not in "iu"  # other widths hold the same numbers
        )
    ]
    if wrong:
        raise DataError(
            f"{path}: {'; '.join(wrong)}; with {len(features)} features all must be "
            f"({len(features)},), paths of text (str), the others of whole numbers"
        )
    _check_values(path, arrays, paths)


def _check_values(path: Path, arrays: dict[str, np.ndarray], paths: np.ndarray) -> None:
    relative = np.array(
        [bool(p) and "\\" not in p and not p.startswith("/") for p in paths.tolist()]
    )
    rules: tuple[tuple[str, np.ndarray, str], ...] = (
        ("features", np.isfinite(arrays["features"]).all(axis=1), "finite numbers"),
        ("pids", arrays["pids"] <= LARGEST, "below 2^63"),
        ("camids", (arrays["camids"] >= 1) & (arrays["camids"] <= LARGEST), "1 or more"),
        ("modality", np.isin(arrays["modality"], (0, 1)), "0 (visible) or 1 (infrared)"),
        ("paths", relative, "relative to the data set's folder, with / between folders"),
    )
    lists = ", ".join(map(str, TEST_LISTS))
    for name, values, rule in (
        ("role", [int(role) for role in Role], "0 (both), 1 (query) or 2 (gallery)"),
        ("subset", (0, *TEST_LISTS), f"the smallest test list of the image: {lists}, 0 for none"),
    ):
        if name in arrays:
            rules += ((name, np.isin(arrays[name], values), rule),)
    for name, good, rule in rules:
        if not good.all():
            row = int(np.argmin(good))
            shown = "not finite" if name == "features" else repr(arrays[name][row].item())
            others = int((~good).sum()) - 1
            raise DataError(
                f"{path}: {name} must be {rule}; row {row} ({paths[row]!s}) is {shown}"
                + (f"; wrong rows beside it: {others}" if others else "")
            )
    unique, counts = np.unique(paths, return_counts=True)
    if len(unique) < len(paths):
        raise DataError(
            f"{path}: {unique[counts > 1][0]} stands there {counts.max()} times: one row per image"
        )


def _read_official(folder: Path) -> FeatureSet:
    features, pids, camids, paths = [], [], [], []
    for camera in SYSU_CAMERAS:
        file = _one_file(folder, camera)
        for pid, rows in enumerate(_read_cells(file), start=1):
            if rows.size:
                features.append(rows)
                pids += [pid] * len(rows)
                camids += [camera] * len(rows)
                paths += [f"cam{camera}/{pid:04d}/{k:04d}.jpg" for k in range(1, len(rows) + 1)]
    widths = sorted({rows.shape[1] for rows in features})
    if len(widths) != 1:
        raise DataError(f"{folder}: features must have one length, found {widths or 'no feature'}")
    infrared = np.isin(camids, SYSU_INFRARED).astype(np.uint8)
    found = FeatureSet(
        np.concatenate(features), np.array(pids), np.array(camids), infrared, np.array(paths)
    )
    broken = found.paths[~np.isfinite(found.features).all(axis=1)]
    if len(broken):
        raise DataError(f"{folder}: features of {len(broken)} images are not finite: {broken[0]}")
    return found


def _one_file(folder: Path, camera: int) -> Path:
    files = sorted(folder.glob(f"*_cam{camera}.mat"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(
            f"{folder} must hold one *_cam{camera}.mat (one file for each camera, 1 to "
            f"{max(SYSU_CAMERAS)}), found {found}"
        )
    return files[0]


def _read_cells(file: Path) -> list[np.ndarray]:
    """(n, D) float rows of each identity, from 1; a cell without rows for an absent one."""
    cells = read_mat(file, "feature")
    if cells is None or cells.dtype != object or cells.size != max(cells.shape, default=0):
        raise DataError(f"{file} must hold a cell array 'feature' with a cell for every identity")
    rows = list(cells.ravel())
    for pid, cell in enumerate(rows, start=1):
        if cell is None or cell.ndim != 2 or cell.dtype.kind not in "fiu":
            raise DataError(f"{file}: feature{{{pid}}} must be a matrix with one row per image")
    return [_native(cell) if cell.dtype.kind == "f" else cell.astype(np.float64) for cell in rows]
