"""Labels and features of images as people save them, made into those of a ``FeatureSet``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.structures import (
    MODALITY_NAMES,
    TEST_LISTS,
    Role,
    modality_named,
)
from vireid.utils.identities import number_identities

LARGEST = 2**63 - 1  # of int64
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
# column → kinds of arrays that it may be made of, its type
KINDS = {
    "pids": ("iufU", "int64"),
    "camids": ("iufU", "int64"),
    "modality": ("iufUb", "uint8"),
    "paths": ("US", "str"),
    "role": ("iuf", "uint8"),
    "subset": ("iuf", "int64"),
    "tracks": ("iuf", "int64"),
}
# column → whether each value may be in it, and the rule in words
RULES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
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
    "tracks": (lambda tracks: (tracks >= 0) & (tracks <= LARGEST), "0 or more"),
}
# of a query list or a gallery list, where cameras may count from 0 and paths are only names
LIST_RULES = RULES | {
    "camids": (lambda camids: (camids >= 0) & (camids <= LARGEST), "0 or more"),
    "paths": (lambda paths: np.char.str_len(paths) > 0, "no empty texts"),
}
MODES = (
    "1 and 2 are modes of AGW-style code, and which is which differs: save 0 for visible and 1 for "
    f"infrared, or one of {', '.join(MODALITY_NAMES)}"
)


def read_columns(
    path: Path, arrays: Mapping[str, np.ndarray], names: Mapping[str, str], *, listed: bool = False
) -> dict[str, np.ndarray]:
    """The columns of some images, each checked.

    Features become float32 or float64, identities, cameras, roles and test lists whole numbers
    (identities may stay text: ``numbered_identities``), modalities 0 and 1, paths text.

    Args:
        path: of the file, for messages.
        arrays: the file's arrays by their names in it.
        names: column → name of its array; has ``pids``, and ``features`` unless there are none.
        listed: the images are a query list or a gallery list.
    Raises:
        DataError: the first thing that is wrong, by the array's name in the file.
    """
    rules = LIST_RULES if listed else RULES
    raw = {column: arrays[name] for column, name in names.items()}
    columns: dict[str, np.ndarray] = {}
    if "features" in raw:
        columns["features"] = _features(f"{path}: {names['features']}", raw.pop("features"))
    flat = {column: _flat(array) for column, array in raw.items()}
    count = len(columns["features"]) if "features" in columns else flat["pids"].size
    if "modality" in flat and flat["modality"].size == 1:  # of all images
        flat["modality"] = np.repeat(flat["modality"], count)
    _require_shapes(path, flat, names, count, columns.get("features"))
    where = {column: f"{path}: {name}" for column, name in names.items()}
    columns |= _checked(flat, where, np.arange(count).astype(str), listed=listed)
    shown = columns.get("paths", np.arange(count).astype(str))
    for column, array in columns.items():
        if column == "paths" or array.dtype.kind != "U":
            is_good, rule = rules[column]
            _require(where[column], array, is_good(array), rule, shown)
    if "paths" in columns:
        _require_unique(where["paths"], columns["paths"])
    return {column: _typed(column, array) for column, array in columns.items()}


def _checked(
    flat: Mapping[str, np.ndarray], where: Mapping[str, str], shown: np.ndarray, *, listed: bool
) -> dict[str, np.ndarray]:
    """Columns in types that their rules compare.

    Args:
        where: column → file and name of its array, for messages.
        shown: names of the rows without paths.
    """
    columns: dict[str, np.ndarray] = {}
    if "paths" in flat:
        shown = columns["paths"] = _texts(where["paths"], flat["paths"], listed=listed)
    for column, array in flat.items():
        if column != "paths":
            columns[column] = _values(where[column], column, array, shown)
    return columns


def _typed(column: str, array: np.ndarray) -> np.ndarray:
    """A column in its type; identities that are text, paths and features as they are."""
    if column == "features" or array.dtype.kind == "U":
        return array
    return array.astype(KINDS[column][1], copy=False)


def numbered_identities(
    parts: Sequence[np.ndarray],
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Identities of text as whole numbers, the same in all parts.

    Returns:
        the numbers of each part, and the names that were counted (``number_identities``).
    """
    if not any(part.dtype.kind == "U" for part in parts):
        return list(parts), ()
    texts = [part.astype(str).tolist() for part in parts]
    numbers, named = number_identities(text for part in texts for text in part)
    return [np.array([numbers[text] for text in part], dtype=np.int64) for part in texts], named


def read_matrix(where: str, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A (Q, G) matrix of distances or similarities as float32 or float64.

    Args:
        where: file and name of the matrix, for messages.
        shape: numbers of query and of gallery labels.
    Raises:
        DataError: of another shape or type, or not finite.
    """
    if array.dtype.kind not in "iuf" or array.ndim != 2 or not array.size:
        raise DataError(f"{where} must be (queries, gallery) of numbers, {_got(array)}")
    if array.shape != shape:
        remedy = "save its transpose" if array.shape == shape[::-1] else "save those of its rows"
        raise DataError(
            f"{where} is {array.shape}, but there are {shape[0]} query labels and {shape[1]} "
            f"gallery labels: {remedy}"
        )
    matrix = _floats(array)
    good = np.isfinite(matrix)
    if not good.all():
        row, column = np.argwhere(~good)[0].tolist()
        raise DataError(
            f"{where} must be finite numbers; row {row}, column {column} is {matrix[row, column]}; "
            f"wrong ones beside it: {int((~good).sum()) - 1}"
        )
    return matrix


def _got(array: np.ndarray) -> str:
    return f"got {array.shape} of {array.dtype}"


def _features(where: str, array: np.ndarray) -> np.ndarray:
    if array.ndim > 2 and set(array.shape[2:]) == {1}:  # pooled maps: (N, D, 1, 1)
        array = array.reshape(array.shape[:2])
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iuf":
        raise DataError(
            f"{where} must be (images, dimensions) of float32, float64 or other numbers, with at "
            f"least one of each, {_got(array)}"
        )
    return np.ascontiguousarray(_floats(array))


def _floats(array: np.ndarray) -> np.ndarray:
    """float32 and float64 as they are, other numbers in the smaller of the two that holds them."""
    if array.dtype in (np.float32, np.float64):
        return array
    exact = np.can_cast(array.dtype, np.float32, casting="safe")
    return array.astype(np.float32 if exact else np.float64)


def _flat(array: np.ndarray) -> np.ndarray:
    """(N,) of (N, 1) and (1, N)."""
    return (
        array.ravel() if array.ndim in (0, 2) and array.size == max(array.shape or (1,)) else array
    )


def _require_shapes(
    path: Path,
    flat: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    count: int,
    features: np.ndarray | None,
) -> None:
    wrong = [
        f"{names[column]} is {array.shape} of {array.dtype}"
        for column, array in flat.items()
        if array.shape != (count,) or array.dtype.kind not in KINDS[column][0]
    ]
    lengths = {array.shape for array in flat.values()}
    if features is not None and lengths == {features.shape[1:]} != {features.shape[:1]}:
        raise DataError(
            f"{path}: {names['features']} is {features.shape}, and there are {features.shape[1]} "
            f"{names['pids']}: one row per image is needed, save its transpose"
        )
    if wrong:
        of = f"{count} features" if features is not None else f"{count} {names['pids']}"
        raise DataError(
            f"{path}: {'; '.join(wrong)}; with {of} all must be ({count},), paths of text (str), "
            "the others of whole numbers"
        )


def _values(where: str, column: str, array: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """A column's values in a type that its rule compares."""
    if column == "modality":
        array = _modalities(where, array)
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2.0**53)
        _require(where, array, whole, "whole numbers", shown)
        return array.astype(np.int64)
    if array.dtype.kind != "U":
        return array
    texts = np.char.strip(array)
    if column == "pids":  # text even if these are whole numbers: those of the other list may not be
        _require(where, texts, np.char.str_len(texts) > 0, "no empty texts", shown)
        return texts
    whole = np.array([WHOLE_NUMBER.fullmatch(text) is not None for text in texts.tolist()])
    _require(where, array, whole, "whole numbers", shown)
    return texts.astype(np.int64)


def _texts(where: str, array: np.ndarray, *, listed: bool) -> np.ndarray:
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} must be text in UTF-8") from error
    return np.char.replace(array, "\\", "/") if listed else array


def _modalities(where: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "U":
        numbers = dict(zip(("0", "1"), ("visible", "infrared"), strict=True))
        try:
            named = {
                t: modality_named(numbers.get(t, t)) for t in set(np.char.strip(array).tolist())
            }
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        return np.array([int(named[text]) for text in np.char.strip(array).tolist()])
    if 2 in array and np.isin(array, (1, 2)).all():
        raise DataError(f"{where} must be 0 (visible) or 1 (infrared), got {_few(array)}: {MODES}")
    return array


def _few(array: np.ndarray) -> str:
    return " and ".join(map(str, np.unique(array)[:5].tolist()))


def _require(where: str, array: np.ndarray, good: np.ndarray, rule: str, shown: np.ndarray) -> None:
    """Raises ``DataError`` that names the first row of a wrong value."""
    if good.all():
        return
    row = int(np.argmin(good))
    value = "not finite" if array.ndim > 1 else repr(array[row].item())
    others = int((~good).sum()) - 1
    name = str(shown[row])
    raise DataError(
        f"{where} must be {rule}; row {row}{f' ({name})' if name != str(row) else ''} is {value}"
        + (f"; wrong rows beside it: {others}" if others else "")
    )


def _require_unique(where: str, paths: np.ndarray) -> None:
    unique, counts = np.unique(paths, return_counts=True)
    if len(unique) < len(paths):
        raise DataError(
            f"{where} holds {unique[counts > 1][0]} {counts.max()} times: one row per image"
        )
