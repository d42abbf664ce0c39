"""Variables of MATLAB files, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat
from scipy.sparse import csc_array

from vireid.errors import DataError
from vireid.utils.matlab import read_cells, read_mat, read_nested_cells, read_variables

MATRICES = st.sampled_from("f8 f4 i1 u1 i2 u2 i4 u4 i8 u8".split()).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=4)
    )
)


def cell_array(items: list) -> np.ndarray:
    cells = np.empty((len(items), 1), dtype=object)
    for number, item in enumerate(items):
        cells[number, 0] = item
    return cells


@settings(deadline=None, database=None, derandomize=True, max_examples=30,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(MATRICES, st.lists(MATRICES, min_size=1, max_size=3), st.booleans())
def test_matrices_and_cells_are_read_as_they_were_written(tmp_path_factory, matrix, cells, packed):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    nested = cell_array([cell_array([*cells, np.zeros((10, 0)), "text"]), matrix])
    savemat(path, {"x": matrix, "cells": nested}, do_compression=packed)
    found = read_mat(path, "x")
    np.testing.assert_array_equal(found, matrix)
    assert found.dtype == matrix.dtype
    np.testing.assert_array_equal(read_cells(path, "cells")[1], matrix)
    matrices = read_nested_cells(path, "cells")
    assert list(matrices) == [(1, number + 1) for number in range(len(cells))]
    for one, other in zip(matrices.values(), cells, strict=True):
        np.testing.assert_array_equal(one, other)


def good(path: Path, **options) -> bytes:
    savemat(path, {"x": cell_array([np.eye(3), np.ones((2, 2))])}, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda b: b[:-20], "is damaged .*: copy it again"),
        (lambda b: b[:100], "not a MATLAB level 5 file: save it with save"),
        (lambda b: b[:126] + b"XX" + b[128:], "not a MATLAB level 5 file"),
        (lambda b: b"MATLAB 7.3" + b[10:], r"7.3 file \(HDF5\): save it again .* '-v7'"),
        (lambda b: b"\x89HDF" + b[4:], "7.3 file"),
        (lambda b: b"", "not a MATLAB level 5 file"),
    ],
)
def test_files_of_another_kind_are_named_in_a_line(tmp_path, change, phrase):
    path = tmp_path / "a.mat"
    path.write_bytes(change(good(path)))
    with pytest.raises(DataError, match=phrase) as error:
        read_mat(path, "x")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [1, 4, 40])
def test_a_packed_array_without_its_end_is_damaged(tmp_path, cut):
    path = tmp_path / "a.mat"
    path.write_bytes(good(path, do_compression=True)[:-cut])
    with pytest.raises(DataError, match="is damaged"):
        read_mat(path, "x")


def test_other_variables_are_named(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"numbers": np.ones((2, 2)), "sparse": csc_array(np.eye(3))})
    for name in ("absent", "sparse"):
        with pytest.raises(DataError, match=f"a.mat must hold a variable '{name}'"):
            read_mat(path, name)
    with pytest.raises(DataError, match="a.mat must hold a cell array 'numbers'"):
        read_cells(path, "numbers")
    with pytest.raises(DataError, match="cannot be read"):
        read_mat(tmp_path / "no.mat", "x")


def test_variables_are_matrices_of_numbers_and_text(tmp_path: Path):
    texts = np.array(["a.jpg", "bcd/é.jpg"], dtype=object)
    values = {"x": np.eye(2), "flag": np.array([True]), "z": np.array([[1 + 2j]]), "names": texts}
    savemat(tmp_path / "v.mat", values | {"rows": np.array(["ab", "c"]), "deep": {"x": 1}})
    found = read_variables(tmp_path / "v.mat")
    assert found.keys() == {"x", "flag", "z", "names", "rows"}
    assert found["names"].tolist() == texts.tolist() and found["rows"].tolist() == ["ab", "c"]
    np.testing.assert_array_equal(found["x"], np.eye(2))


@pytest.mark.parametrize("place", [12, 13, 17, 33, 52])
@pytest.mark.parametrize("name", ["numbers", "cells"])
def test_damaged_elements_do_not_end_the_process(tmp_path: Path, name: str, place: int):
    """Scipy alone does, without an exception, for some of these bytes."""
    value = np.eye(3) if name == "numbers" else cell_array([np.array(["ab"]), np.array(["c"])])
    path = tmp_path / "v.mat"
    savemat(path, {name: value})
    content = bytearray(path.read_bytes())
    for change in (0x4D, 0xFF):
        damaged = content.copy()
        damaged[128 + place] ^= change
        path.write_bytes(damaged)
        try:
            found = read_variables(path)
        except DataError as error:
            assert "is damaged" in str(error)
        else:
            assert all(np.asarray(one).size < 100 for one in found.values())
    path.write_bytes(content[:-40] + content[-24:])
    with pytest.raises(DataError, match="is damaged"):
        read_variables(path)
