"""Variables of MATLAB files (level 5, as ``save -v7`` writes them), read by scipy."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from mmap import ACCESS_READ, mmap
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
        _require_whole(path)
        content = loadmat(path, variable_names=names)
    except Exception as error:  # scipy raises a dozen types on damaged files
        reason = f"{type(error).__name__}: {error!s:.200}"
        raise DataError(f"{path} is damaged ({reason}): copy it again") from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


def read_cells(path: Path, name: str) -> list[object]:
    """The cells of a cell array with one row or column.

    Raises:
        DataError: as ``read_mat``, and when the variable is something else.
    """
    cells = read_mat(path, name)
    if cells.dtype != object or cells.size != max(cells.shape):
        raise DataError(f"{path} must hold a cell array {name!r}: is it the file that you mean?")
    return list(cells.ravel())


def read_nested_cells(path: Path, name: str) -> dict[tuple[int, int], np.ndarray]:
    """Matrices of numbers in a cell array of cell arrays, by their two positions, from 1.

    Empty cells and other contents are left out.

    Raises:
        DataError: as ``read_cells``.
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
        raise DataError(f"{path} is not a MATLAB level 5 file: save it with save(..., '-v7')")


COMPRESSED, MATRIX, CELLS = 15, 14, 1  # types of elements, and the class of cell arrays
NUMBERS, COMPLEX = range(6, 16), 0x800  # classes of matrices of numbers, and a flag of theirs
SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # bytes of types of numbers
TYPES = {*SIZES, MATRIX, COMPRESSED, 16, 17, 18}


def _require_whole(path: Path) -> None:
    """Raises ``ValueError`` where elements do not lie within one another.

    scipy ends the process on some files with such elements, without an exception. Those that are
    compressed have a checksum.

    Source: MathWorks, MAT-File Format, version 5.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        order = "<" if data[126:128] == b"IM" else ">"
        for kind, begin, end in _elements(data, order, 128, len(data)):
            if kind == MATRIX:
                _require_matrix(data, order, begin, end)


def _elements(data: mmap, order: str, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, first byte, end of its bytes) of each element between two places."""
    while begin < end:
        if begin + 8 > end:
            raise ValueError(f"an element at byte {begin} has no room")
        kind, size = struct.unpack_from(f"{order}II", data, begin)
        small = kind >> 16  # its size, where the bytes follow within the same eight
        first, size = (begin + 4, small) if small else (begin + 8, size)
        kind &= 0xFFFF
        if kind not in TYPES or first + size > end or (small and size > 4):
            raise ValueError(f"the element at byte {begin} is none, or longer than its place")
        yield kind, first, first + size
        whole = size if kind == COMPRESSED else -(-size // 8) * 8  # filled up to eight bytes
        begin = begin + 8 if small else first + whole


def _require_matrix(data: mmap, order: str, begin: int, end: int) -> None:
    """Checks flags, dimensions, name, and the numbers or cells of a matrix or cell array."""
    if begin == end:  # an empty cell
        return
    parts = list(_elements(data, order, begin, end))
    kinds = [kind for kind, _, _ in parts]
    if kinds[:2] != [6, 5] or len(parts) < 3:
        raise ValueError(f"the matrix at byte {begin} has no flags, dimensions or name")
    (flags,) = struct.unpack_from(f"{order}I", data, parts[0][1])
    _, first, last = parts[1]
    dimensions = struct.unpack_from(f"{order}{(last - first) // 4}i", data, first)
    if min(dimensions, default=0) < 0:
        raise ValueError(f"the matrix at byte {begin} has negative dimensions")
    count, held = math.prod(dimensions), parts[3:]
    if flags & 0xFF == CELLS:
        if len(held) != count or set(kinds[3:]) - {MATRIX}:
            raise ValueError(f"the cell array at byte {begin} has other cells than dimensions")
        for _, first, last in held:
            _require_matrix(data, order, first, last)
    elif flags & 0xFF in NUMBERS:
        sizes = [(last - first) / SIZES.get(kind, 0.3) for kind, first, last in held]
        if (held or count) and sizes != [count] * (2 if flags & COMPLEX else 1):
            raise ValueError(f"the matrix at byte {begin} has other numbers than dimensions")
