"""Variables of MATLAB files (level 5, as ``save -v7`` writes them), read by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.errors import DataError


def read_mat(path: Path, name: str) -> np.ndarray:
    """One variable: a matrix, or a cell array as an array of objects.

    Raises:
        DataError: the file is missing, damaged, of another format, or has no such variable.
    """
    value = _load(path, [name]).get(name)
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path} must hold a variable {name!r}: is it the file that you mean?")
    return value


def read_variables(path: Path) -> dict[str, np.ndarray]:
    """All matrices of numbers or text; a cell array of texts becomes an array of them.

    MATLAB fills the shorter rows of a matrix of text with blanks, which are taken off.

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    found = {}
    for name, value in _load(path).items():
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype == object:
            texts = [cell.ravel() for cell in value.ravel() if isinstance(cell, np.ndarray)]
            if len(texts) < value.size or any(len(text) != 1 for text in texts):
                continue
            value = np.concatenate(texts) if texts else np.empty(0)
        found[name] = np.char.rstrip(value.astype(str)) if value.dtype.kind == "U" else value
    return {name: value for name, value in found.items() if value.dtype.kind in "biufcU"}


def _load(path: Path, names: Sequence[str] | None = None) -> dict[str, object]:
    from scipy.io import loadmat  # takes a tenth of a second

    _require_level_5(path)
    try:
        content = loadmat(path, variable_names=names)
    except Exception as error:  # scipy raises a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{path} is damaged ({reason}): copy it again") from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


def read_cells(path: Path, name: str) -> list[object]:
    """The cells of a cell array with one row or column.

    Raises:
        DataError: as :func:`read_mat`, and when the variable is something else.
    """
    cells = read_mat(path, name)
    if cells.dtype != object or cells.size != max(cells.shape):
        raise DataError(f"{path} must hold a cell array {name!r}: is it the file that you mean?")
    return list(cells.ravel())


def read_nested_cells(path: Path, name: str) -> dict[tuple[int, int], np.ndarray]:
    """Matrices of numbers in a cell array of cell arrays, by their two positions, from 1.

    Empty cells and other contents are left out.

    Raises:
        DataError: as :func:`read_cells`.
    """
    return {
        (outer, inner): matrix
        for outer, cells in enumerate(read_cells(path, name), start=1)
        if isinstance(cells, np.ndarray) and cells.dtype == object
        for inner, matrix in enumerate(cells.ravel(), start=1)
        if isinstance(matrix, np.ndarray) and matrix.dtype.kind in "fiu"
        if matrix.ndim == 2 and matrix.size
    }


def _require_level_5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(128)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if header.startswith(b"\x89HDF") or b"MATLAB 7.3" in header:
        raise DataError(f"{path} is a MATLAB 7.3 file (HDF5): save it again with save(..., '-v7')")
    if header[126:] not in (b"IM", b"MI"):  # the order of its bytes
        raise DataError(f"{path} is no MATLAB file of level 5: save it with save(..., '-v7')")
