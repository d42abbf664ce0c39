"""Features on disk: ``features.npz``, and SYSU-MM01's official folders of ``.mat`` files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.protocols import SYSU_CAMERAS, SYSU_INFRARED
from vireid.structures import TEST_LISTS, FeatureSet, Role
from vireid.utils.io import read_ids, replace_file
from vireid.utils.matlab import read_cells
from vireid.utils.paths import is_hidden

# Arrays of whole numbers: name → field of FeatureSet, type
REQUIRED = {
    "pids": ("pids", "int64"),
    "camids": ("camids", "int64"),
    "modality": ("modality", "uint8"),
}
OPTIONAL = {"role": ("role", "uint8"), "subset": ("test_list", "int64")}
NAMES = ("features", *REQUIRED, "paths")
LARGEST = 2**63 - 1  # of int64
ALWAYS_UNPACKED = 2**28  # bytes: an archive may unpack to so many, whatever its size
LARGEST_RATIO = 20  # unpacked to packed bytes of a larger archive
# array → whether each value may be in it, and the rule in words
VALUES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "features": (lambda rows: np.isfinite(rows).all(axis=1), "finite numbers"),
    "pids": (lambda pids: pids <= LARGEST, "below 2^63"),
    "camids": (lambda camids: (camids >= 1) & (camids <= LARGEST), "1 or more"),
    "modality": (lambda values: np.isin(values, (0, 1)), "0 (visible) or 1 (infrared)"),
    "paths": (
        lambda paths: np.array(
            [bool(p) and "\\" not in p and not p.startswith("/") for p in paths.tolist()]
        ),
        "relative to the data set's folder, with / between folders",
    ),
    "role": (lambda values: np.isin(values, list(Role)), "0 (both), 1 (query) or 2 (gallery)"),
    "subset": (
        lambda values: np.isin(values, (0, *TEST_LISTS)),
        f"the smallest test list of the image: {', '.join(map(str, TEST_LISTS))}, 0 for none",
    ),
}
NPY = b"\x93NUMPY"  # first bytes of a file with one array
REMEDY = (
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
        DataError: missing, empty, or it holds something else than numbers.
    """
    ids = read_ids(path, blanks=True)
    if not ids:
        raise DataError(
            f"{path} must hold identity numbers, as exp/test_id.txt does: it is empty; leave it "
            "out to score all identities"
        )
    return sorted(set(ids))


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
    for name, (field, dtype) in (REQUIRED | OPTIONAL).items():
        if (values := getattr(features, field)) is not None:
            arrays[name] = values.astype(dtype)
    _check(path, arrays)
    if source is not None:
        arrays["source"] = np.array(json.dumps(source))
    replace_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_source(path: Path) -> dict[str, Any] | None:
    """What the features of a file were made of; None where the file does not say."""
    try:
        _require_modest(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(json.loads(str(file["source"])))
    except Exception:  # a damaged file does not say, either
        return None


def _read_npz(path: Path) -> FeatureSet:
    cannot = f"{path} cannot be read as features.npz"
    try:
        with path.open("rb") as raw:
            if raw.read(len(NPY)) == NPY:
                raise DataError(f"{cannot}: it is an .npy file, which holds one array; {REMEDY}")
        if not zipfile.is_zipfile(path):
            raise DataError(f"{cannot}: it is no .npz archive, or not a whole one; {REMEDY}")
        _require_modest(path)
        with np.load(path, allow_pickle=False) as file:
            held = list(file.files)
            arrays = {name: _native(file[name]) for name in (*NAMES, *OPTIONAL) if name in held}
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{cannot} ({reason}): {REMEDY}") from error
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(held) or 'nothing'}, and "
            f"needs {', '.join(NAMES)} (docs/scoring_features.md)"
        )
    _check(path, arrays)
    columns = {
        field: arrays[name].astype(dtype, copy=False)
        for name, (field, dtype) in (REQUIRED | OPTIONAL).items()
        if name in arrays
    }
    return FeatureSet(features=arrays["features"], paths=arrays["paths"], **columns)


def _require_modest(path: Path) -> None:
    """Raises :class:`DataError` for an archive that would unpack to many times its size.

    Features hardly shrink when they are packed, labels by a hundred times and more.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > max(ALWAYS_UNPACKED, LARGEST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path} would unpack to {size / 1e9:.1f} GB, {size / path.stat().st_size:.0f} times "
            "its size: no features shrink so; write it with numpy.savez, which does not pack"
        )


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raises :class:`DataError` at the first thing that the format forbids."""
    features = arrays["features"]
    if features.ndim != 2 or not features.size or features.dtype not in ("float32", "float64"):
        raise DataError(
            f"{path}: features must be (images, dimensions) of float32 or float64, with at least "
            f"one of each, got {features.shape} of {features.dtype}"
        )
    kinds = dict.fromkeys((*REQUIRED, *OPTIONAL), "iu") | {"paths": "U"}  # of any width
    found = {name: arrays[name] for name in kinds if name in arrays}
    wrong = [
        f"{name} is {array.shape} of {array.dtype}"
        for name, array in found.items()
        if array.shape != features.shape[:1] or array.dtype.kind not in kinds[name]
    ]
    if wrong:
        raise DataError(
            f"{path}: {'; '.join(wrong)}; with {len(features)} features all must be "
            f"({len(features)},), paths of text (str), the others of whole numbers"
        )
    _check_values(path, arrays)


def _check_values(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raises :class:`DataError` that names the first row of a wrong value, or a path twice."""
    paths = arrays["paths"]
    for name, (is_good, rule) in VALUES.items():
        good = is_good(arrays[name]) if name in arrays else np.ones(1, dtype=bool)
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
            f"{path}: paths holds {unique[counts > 1][0]} {counts.max()} times: one row per image"
        )


def _read_official(folder: Path) -> FeatureSet:
    features, pids, camids, paths = [], [], [], []
    for camera in SYSU_CAMERAS:
        for pid, rows in enumerate(_read_camera(folder, camera), start=1):
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


def _read_camera(folder: Path, camera: int) -> list[np.ndarray]:
    """(n, D) float rows of each identity, from 1; an absent one has a cell without rows."""
    found, rows = sorted(folder.glob(f"*_cam{camera}.mat")), []
    files = [path for path in found if not is_hidden(path.name)]
    if len(files) != 1:
        raise DataError(
            f"{folder} must hold one *_cam{camera}.mat (one file for each camera, 1 to "
            f"{max(SYSU_CAMERAS)}), found {', '.join(file.name for file in files) or 'none'}"
        )
    for pid, cell in enumerate(read_cells(files[0], "feature"), start=1):
        if not isinstance(cell, np.ndarray) or cell.ndim != 2 or cell.dtype.kind not in "fiu":
            raise DataError(f"{files[0]}: feature{{{pid}}} must be a matrix with one row per image")
        rows.append(_native(cell) if cell.dtype.kind == "f" else cell.astype(np.float64))
    return rows
