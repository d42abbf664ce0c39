"""Reads and writes files of features."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.feature_files.array_files import array_files, read_arrays, require_modest
from vireid.evaluation.feature_files.array_names import is_known
from vireid.evaluation.feature_files.columns import read_columns
from vireid.evaluation.feature_files.contents import FeatureFile, to_feature_file
from vireid.evaluation.protocols import SYSU_CAMERAS, SYSU_INFRARED
from vireid.structures import FeatureSet, Modality
from vireid.utils.io import read_ids, replace_file
from vireid.utils.matlab import read_cells
from vireid.utils.paths import is_hidden

# arrays of features.npz → fields of FeatureSet
FIELDS = {"pids": "pids", "camids": "camids", "modality": "modality"}
OPTIONAL_FIELDS = {"role": "role", "subset": "test_list", "tracks": "tracks"}


def read_features(
    path: Path,
    test_ids: Collection[int] | None = None,
    *,
    query_modality: Modality | None = None,
) -> FeatureSet:
    """The images of a file with their features; see ``read_feature_file``.

    Args:
        test_ids: identities to keep; all of them by default.
        query_modality: where the file has a query list and does not name its modality.
    Raises:
        DataError: what is wrong with the file, and how to save it.
    """
    held = read_feature_file(path)
    return (held if test_ids is None else held.subset(test_ids)).for_figures(query_modality)


def read_feature_file(path: Path) -> FeatureFile:
    """Features, and distances, as any code base saved them.

    Args:
        path: a ``features.npz``; a file or folder of arrays under the names of ``array_names``; or
            a folder of official ``*_cam1.mat`` … ``*_cam6.mat``.
    Raises:
        DataError: what is wrong with the file, and how to save it.
    """
    if path.is_dir() and not _has_arrays(path):
        return FeatureFile(path, _read_official(path))
    return to_feature_file(path, *read_arrays(path))


def holds_features(folder: Path) -> bool:
    """Whether a folder is meant as features: official .mat files, or an .npy for each array."""
    official = folder.glob("*_cam1.mat")
    return any(not is_hidden(file.name) for file in official) or _has_arrays(folder)


def _has_arrays(folder: Path) -> bool:
    return any(is_known(file.stem) for file in array_files(folder))


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
        source: what the features were made of, for ``read_source``; values of JSON.
    Raises:
        DataError: the features could not be read back.
        UsageError: the file cannot be written.
    """
    arrays: dict[str, Any] = {"features": features.features, "paths": features.paths.astype(str)}
    for name, field in (FIELDS | OPTIONAL_FIELDS).items():
        if (values := getattr(features, field)) is not None:
            arrays[name] = values
    columns = read_columns(path, arrays, dict(zip(arrays, arrays, strict=True)))
    arrays = {name: columns[name] for name in arrays}
    if source is not None:
        arrays["source"] = np.array(json.dumps(source))
    replace_file(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_source(path: Path) -> dict[str, Any] | None:
    """What the features of a file were made of; None where the file does not say."""
    try:
        require_modest(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(json.loads(str(file["source"])))
    except Exception:  # a damaged file does not say, either
        return None


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
        rows.append(
            cell.astype(cell.dtype.newbyteorder("="))
            if cell.dtype.kind == "f"
            else cell.astype(np.float64)
        )
    return rows
