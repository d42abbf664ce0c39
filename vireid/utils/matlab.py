"""Variables of MATLAB files (level 5, as ``save -v7`` writes them), read by scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vireid.errors import DataError


def read_mat(path: Path, name: str) -> np.ndarray:
    """One variable: a matrix, or a cell array as an array of objects.

    Raises:
        DataError: the file is missing, damaged, of another format, or has no such variable.
    """
    from scipy.io import loadmat  # takes a tenth of a second

    _require_level_5(path)
    try:
        value = loadmat(path, variable_names=[name]).get(name)
    except Exception as error:  # scipy raises a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{path} is damaged ({reason}): copy it again") from error
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path} must hold a variable {name!r}: is it the file that you mean?")
    return value


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
