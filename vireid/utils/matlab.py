"""Numbers and cell arrays out of MATLAB's files (level 5, as ``save -v7`` and scipy write them).

Own code where scipy has a reader: of a damaged file that one may take the whole process down, and
what people send one another is damaged at times. This one knows the two kinds of array that the
data sets and features of this field are saved as, and looks at every length before it believes it.

Source: MathWorks, MAT-File Format, 2023, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid.errors import DataError

HEADER = 128  # bytes
HDF5 = b"\x89HDF"
MATRIX, COMPRESSED = 14, 15  # types of elements
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
NUMBERS[13] = "u8"
CELL = 1  # classes of arrays
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8"}
CLASSES[15] = "u8"
COMPLEX = 0x0800  # among an array's flags
DEEPEST = 8  # cells within cells
SMALL, MOST_PACKED = 2**28, 200  # bytes that anything may unpack to; times its packed size


def read_mat(path: Path, name: str) -> np.ndarray | None:
    """One variable of a file: a matrix of numbers, or a cell array.

    Returns:
        numbers as they were saved; a cell array as an array of objects, in which every cell is
        such an array in its turn, or None where it is of another class; None where there is no
        such variable, or one of another class.
    Raises:
        DataError: the file is missing, damaged, or of another format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if content[: len(HDF5)] == HDF5 or b"MATLAB 7.3" in content[:HEADER]:
        raise DataError(f"{path} is a MATLAB 7.3 file (HDF5): save it again with save(..., '-v7')")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
    if order is None:
        raise DataError(f"{path} is no MATLAB file of level 5: save it with save(..., '-v7')")
    try:
        return _variable(_Reader(memoryview(content)[HEADER:], order), name)
    except (ValueError, struct.error, zlib.error, OverflowError) as error:
        raise DataError(f"{path} is damaged ({error}): copy it anew") from error


def _variable(reader: _Reader, name: str) -> np.ndarray | None:
    while reader.left:
        kind, body = reader.element()
        if kind == COMPRESSED:
            kind, body = _Reader(_unpacked(body), reader.order).element()
        if kind == MATRIX and len(body):
            matrix = _Reader(body, reader.order)
            head = matrix.head()
            if head.name == name:
                return matrix.array(head, depth=0)
    return None


def _unpacked(body: memoryview) -> memoryview:
    most = max(SMALL, MOST_PACKED * len(body))
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(body, most)
    if unpacker.unconsumed_tail:
        raise ValueError(f"{len(body)} bytes unpack to more than {most}")
    if not unpacker.eof:  # nor was its checksum looked at
        raise ValueError(f"{len(body)} packed bytes have no end")
    return memoryview(content)


@dataclass(frozen=True, slots=True)
class _Head:
    """What an array's first elements say of it."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str


class _Reader:
    """Takes element after element from some bytes.

    Args:
        order: of the bytes in a number, as ``struct`` names it.
    """

    def __init__(self, content: memoryview, order: str) -> None:
        self._content, self.order = content, order

    @property
    def left(self) -> int:
        return len(self._content)

    def _take(self, count: int) -> memoryview:
        if count > self.left:
            raise ValueError(f"{count} bytes are announced, {self.left} are there")
        taken, self._content = self._content[:count], self._content[count:]
        return taken

    def element(self) -> tuple[int, memoryview]:
        """Type and bytes of the next element."""
        (kind,) = struct.unpack(f"{self.order}I", self._take(4))
        if kind >> 16:  # a small one: its length stands in the upper half
            return kind & 0xFFFF, self._take(4)[: min(kind >> 16, 4)]
        (count,) = struct.unpack(f"{self.order}I", self._take(4))
        body = self._take(count)
        if kind != COMPRESSED:
            self._take(min(-count % 8, self.left))
        return kind, body

    def numbers(self) -> np.ndarray:
        """The next element as a row of numbers."""
        kind, body = self.element()
        if kind not in NUMBERS:
            raise ValueError(f"an element of type {kind} where numbers belong")
        return np.frombuffer(body, dtype=self.order + NUMBERS[kind])

    def head(self) -> _Head:
        flags, shape = self.numbers(), self.numbers()
        if len(flags) < 1 or not 2 <= len(shape) <= 32 or (shape < 0).any():
            raise ValueError("an array without its shape")
        name = bytes(self.element()[1]).decode("latin-1")
        word = int(flags[0])
        return _Head(word & 0xFF, bool(word & COMPLEX), tuple(map(int, shape)), name)

    def array(self, head: _Head, *, depth: int) -> np.ndarray | None:
        """The array that follows its head; None of a class that is not read."""
        if head.kind == CELL:
            return self._cells(head.shape, depth)
        if head.kind not in CLASSES or head.is_complex:
            return None
        numbers = self.numbers()
        if len(numbers) != math.prod(head.shape):
            raise ValueError(f"{len(numbers)} numbers for an array of {head.shape}")
        # Whole numbers are stored in fewer bytes than their class has.
        return numbers.reshape(head.shape, order="F").astype(CLASSES[head.kind])

    def _cells(self, shape: tuple[int, ...], depth: int) -> np.ndarray:
        count = math.prod(shape)
        if count > self.left // 8:
            raise ValueError(f"a cell array of {shape} in {self.left} bytes")
        if depth == DEEPEST:
            raise ValueError("cells are nested too deeply")
        cells = np.empty(count, dtype=object)
        for number in range(count):
            kind, body = self.element()
            if kind != MATRIX:
                raise ValueError(f"an element of type {kind} where a cell belongs")
            inner = _Reader(body, self.order)
            # An empty element stands for an empty matrix.
            cells[number] = (
                inner.array(inner.head(), depth=depth + 1) if len(body) else np.empty((0, 0))
            )
        return cells.reshape(shape, order="F")
