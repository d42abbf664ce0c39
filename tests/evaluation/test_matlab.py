"""MATLAB's files, against scipy's reader; and what that one dies of."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from vireid.errors import DataError
from vireid.utils import matlab
from vireid.utils.matlab import read_mat

MATRICES = st.sampled_from("f8 f4 i1 u1 i2 u2 i4 u4 i8 u8".split()).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4)
    )
)


def cell_array(items: list) -> np.ndarray:
    cells = np.empty((len(items), 1), dtype=object)
    cells[:, 0] = items
    return cells


def assert_alike(found, expected) -> None:
    if expected.dtype == object:
        assert found.dtype == object and found.shape == expected.shape
        for one, other in zip(found.ravel(), expected.ravel(), strict=True):
            assert_alike(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None, database=None, derandomize=True, max_examples=40,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(MATRICES, st.lists(MATRICES, min_size=1, max_size=3), st.booleans())
def test_what_scipy_writes_is_read_as_scipy_reads_it(tmp_path_factory, matrix, cells, packed):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    nested = cell_array([cell_array(cells), matrix])
    savemat(path, {"x": matrix, "cells": nested, "t": "text"}, do_compression=packed)
    expected = loadmat(path)
    for name in ("x", "cells"):
        assert_alike(read_mat(path, name), expected[name])
    assert read_mat(path, "x").dtype == matrix.dtype
    assert read_mat(path, "t") is None and read_mat(path, "absent") is None


def test_the_other_order_of_bytes_and_numbers_stored_in_fewer_bytes(tmp_path):
    """A double [1 2; 3 4] as MATLAB writes it on a big-endian machine, in four bytes."""

    def element(kind: int, body: bytes) -> bytes:
        return struct.pack(">II", kind, len(body)) + body + bytes(-len(body) % 8)

    head = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 2, 2))
    name = struct.pack(">HHc", 1, 1, b"a") + bytes(3)  # a small element
    small = struct.pack(">HH", 4, 2) + bytes([1, 3, 2, 4])
    body = element(14, head + name + small)
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x01\0MI" + body)
    found = read_mat(tmp_path / "a.mat", "a")
    assert found.dtype == np.float64 and found.tolist() == [[1, 2], [3, 4]]


def good(path: Path, **options) -> bytes:
    savemat(path, {"x": cell_array([np.eye(3), np.ones((2, 2))])}, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda b: b[:-20], "bytes are announced"),
        (lambda b: b[:100], "no MATLAB file of level 5"),
        (lambda b: b[:126] + b"XX" + b[128:], "no MATLAB file of level 5"),
        (lambda b: b"MATLAB 7.3" + b[10:], "7.3 file"),
        (lambda b: b"\x89HDF" + b[4:], "7.3 file"),
        (lambda b: b.replace(struct.pack("<ii", 3, 3), struct.pack("<ii", 9, 3)), "numbers for"),
        (lambda b: b.replace(struct.pack("<ii", 2, 1), struct.pack("<ii", 2**30, 1)), "cell array"),
        (lambda b: b.replace(struct.pack("<ii", 2, 1), struct.pack("<ii", -2, 1)), "its shape"),
    ],
)
def test_damage_is_named_in_a_line(tmp_path, change, phrase):
    path = tmp_path / "a.mat"
    path.write_bytes(change(good(path)))
    with pytest.raises(DataError, match=phrase) as error:
        read_mat(path, "x")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "SMALL", 1000)
    packed = zlib.compress(bytes(10_000_000), 9)
    path = tmp_path / "a.mat"
    whole = good(path)[:128] + struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(whole)
    with pytest.raises(DataError, match=f"{len(packed)} bytes unpack to more than"):
        read_mat(path, "x")


def test_packed_numbers_without_their_checksum_are_damage(tmp_path):
    """A stream that ends too late or not at all: whatever came of it, nobody checked it."""
    path = tmp_path / "a.mat"
    content = good(path, do_compression=True)
    packed = content[136:-4]  # without the checksum at its end
    path.write_bytes(content[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="packed bytes have no end"):
        read_mat(path, "x")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_mat(tmp_path / "no.mat", "x")
