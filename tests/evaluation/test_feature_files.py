from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import (
    array_files,
    read_features,
    read_test_ids,
    write_features,
)
from vireid.structures import FeatureSet


def good() -> dict[str, Any]:
    return {
        "features": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32),
        "pids": np.array([7, 7, 300]),
        "camids": np.array([1, 3, 6]),
        "modality": np.array([0, 1, 1], dtype=np.uint8),
        "paths": np.array(["cam1/0007/0001.jpg", "cam3/0007/0001.jpg", "cam6/0300/é.jpg"]),
    }


def save(path: Path, **changes: Any) -> Path:
    arrays = {name: value for name, value in (good() | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_are_read_as_they_were_written(tmp_path: Path, dtype: type):
    path = tmp_path / "my features"  # the name stays as it is
    written = FeatureSet(**good() | {"features": good()["features"].astype(dtype)})
    write_features(path, written)
    assert [entry.name for entry in tmp_path.iterdir()] == ["my features"]
    read = read_features(path)
    for name in good():
        array = getattr(read, name)
        np.testing.assert_array_equal(array, getattr(written, name))
        assert array.dtype == getattr(written, name).dtype


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_optional_arrays_are_read_and_written_again(tmp_path: Path, kind: type):
    role, lists = np.array([0, 1, 2], kind), np.array([1600, 0, 800], np.int16)
    path = save(tmp_path / "f.npz", role=role, subset=lists)
    features = read_features(path)
    assert (features.role.dtype, features.test_list.dtype) == (np.uint8, np.int64)
    write_features(tmp_path / "again.npz", features.subset(np.array([2, 1])))
    again = read_features(tmp_path / "again.npz")
    assert (again.role.tolist(), again.test_list.tolist()) == ([2, 1], [800, 0])
    with np.load(tmp_path / "again.npz") as file:
        assert file["subset"].tolist() == [800, 0]
    plain = read_features(save(tmp_path / "plain.npz"))
    assert plain.role is None and plain.test_list is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pids": None}, "lacks pids; it holds features, camids"),
        ({"features": None, "paths": None}, "lacks features; it holds pids, camids, modality"),
        ({"features": np.ones((3, 2), np.complex64)}, r"features must be.*complex64"),
        ({"features": np.ones((3, 2), bool)}, r"features must be.*bool"),
        ({"features": np.ones(3)}, r"features must be.*\(3,\)"),
        ({"features": np.ones((0, 2))}, "features must be"),
        (
            {"features": np.array([[1, np.nan], [1, 2], [3, np.inf]])},
            "row 0 .* is not finite; wrong rows beside it: 1$",
        ),
        ({"features": np.array([[1, 2], [1, np.nan], [3, 4]])}, "row 1 .* is not finite$"),
        ({"pids": np.array([1.0, 2.5, 3.0])}, "pids must be whole .* row 1 .* is 2.5"),
        ({"pids": np.array([1.0, 2.0, np.nan])}, "pids must be whole .* row 2 .* is nan"),
        ({"pids": np.array([1, 2, 3]) * 1j}, "pids is .* of complex128"),
        ({"pids": np.array([1, 2])}, r"pids is \(2,\)"),
        ({"camids": np.array([True, True, True])}, "camids is .* of bool"),
        ({"camids": np.array([0, 1, 2])}, "camids must be 1 or more; row 0 .* is 0"),
        ({"modality": np.array([0, -1, 1])}, "modality must be 0 .* is -1"),
        ({"modality": np.array([0, 1, 2], np.uint8)}, r"modality must be 0 \(visible\).*row 2.*2"),
        ({"role": np.array([0, 1, 3])}, r"role must be 0 \(both\), 1 .*row 2 .* is 3"),
        ({"role": np.array([0.0, 1.0, 1.5])}, "role must be whole .* row 2"),
        ({"role": np.array(["a", "b", "c"])}, "role is .* of <U1"),
        ({"subset": np.array([800, 1600])}, r"subset is \(2,\)"),
        ({"subset": np.array([800, 13164, 800])}, "subset must be the smallest .* is 13164"),
        ({"paths": np.array([b"a", b"b", b"\xff"])}, "paths must be text in UTF-8"),
        ({"paths": np.array([1, 2, 3])}, "paths is .*int64"),
        ({"modality": np.array([1, 2, 1])}, "modality must be 0 .* got 1 and 2: .* modes"),
        ({"modality": np.array(["rgb", "ir", "x"])}, "'x' is unknown; choose one of visible"),
        ({"features": np.ones((2, 3))}, r"features is \(2, 3\), .* 3 pids: .* its transpose"),
        ({"paths": np.array(["a", "b", "a"])}, "paths holds a 2 times"),
        ({"paths": np.array(["a", "b\\c", "d"])}, "paths must be relative .* row 1"),
        ({"paths": np.array(["a", "b", "/d"])}, "paths must be relative .* row 2"),
        ({"paths": np.array(["a", "", "d"])}, "paths must be relative .* row 1"),
        ({"paths": np.array(["a", "b", "c"], dtype=object)}, "without objects"),
    ],
)
def test_malformed_features_are_named(tmp_path: Path, changes: dict[str, Any], message: str):
    path = save(tmp_path / "f.npz", **changes)
    with pytest.raises(DataError, match=f"f.npz.*{message}"):
        read_features(path)


def test_files_of_another_kind_are_named(tmp_path: Path):
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npy", np.ones(3))
    whole = save(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("text.npz", "empty.npz", "array.npy", "cut.npz", "absent.npz"):
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            read_features(tmp_path / name)


def test_a_single_array_is_told_from_an_archive(tmp_path: Path):
    np.save(tmp_path / "features.npy", np.ones((3, 2)))
    with pytest.raises(DataError) as error:
        read_features(tmp_path / "features.npy")
    said = str(error.value)
    assert "it is an .npy file, which holds one array" in said and "numpy.savez" in said
    assert "features, pids, camids, modality, paths" in said and "*_cam1.mat" in said


def test_features_that_could_not_be_read_back_are_not_written(tmp_path: Path):
    broken = FeatureSet(**good() | {"features": np.full((3, 2), np.nan)})
    with pytest.raises(DataError, match="finite"):
        write_features(tmp_path / "f.npz", broken)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="cannot write"):
        write_features(tmp_path / "nowhere" / "f.npz", FeatureSet(**good()))


def test_only_test_identities_are_kept(tmp_path: Path):
    path = save(tmp_path / "f.npz")
    assert read_features(path, [7]).paths.tolist() == good()["paths"][:2].tolist()
    with pytest.raises(DataError, match=r"no image of 2 of the 3 test identities, first \[8, 9\]"):
        read_features(path, [7, 8, 9])


@pytest.mark.parametrize("text", ["3,1, 2", "1\n2\n3\n", "1,2,3,\n", " 3 2 1 "])
def test_test_identities_are_read(tmp_path: Path, text: str):
    (tmp_path / "ids.txt").write_text(text)
    assert read_test_ids(tmp_path / "ids.txt") == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"", "it is empty; leave it out"),
        (b" ,\n", "it is empty; leave it out"),
        (b"1,x", "got 'x'"),
        (b"1,-2", "got '-2'"),
        (b"MATLAB 5.0\x00\x01IM\xff\xfe", "it is not a text file"),
        (b"MATLAB 5.0 MAT-file", "got 'MATLAB'"),
        (None, "No such file"),
    ],
)
def test_other_identity_files_are_named(tmp_path: Path, content: bytes | None, phrase: str):
    if content is not None:
        (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"ids.txt must hold .*identity numbers") as e:
        read_test_ids(tmp_path / "ids.txt")
    assert phrase in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">f8"])
def test_any_order_of_bytes_is_read(tmp_path: Path, dtype: str):
    columns = {"pids": ">i8", "camids": ">i4", "modality": ">u2", "paths": ">U20"}
    columns["features"] = dtype
    changes = {name: good()[name].astype(kind) for name, kind in columns.items()}
    found = read_features(save(tmp_path / "f.npz", **changes))
    for name in good():
        array = getattr(found, name)
        np.testing.assert_array_equal(array, good()[name])
        assert array.dtype.isnative
    assert found.features.dtype == np.dtype(dtype).newbyteorder("=")
    assert (found.camids.dtype, found.modality.dtype) == (np.int64, np.uint8)


def save_official(
    folder: Path, rows: dict[tuple[int, int], np.ndarray], *, identities: int = 4
) -> Path:
    """(camera, identity) → rows; six files with a cell for each identity."""
    folder.mkdir(exist_ok=True)
    for camera in range(1, 7):
        cells = np.empty((identities, 1), dtype=object)
        for pid in range(1, identities + 1):
            cells[pid - 1, 0] = rows.get((camera, pid), np.zeros((0, 0)))
        savemat(folder / f"feat_cam{camera}.mat", {"feature": cells})
    return folder


def test_official_folder_becomes_images_in_order(tmp_path: Path):
    third = np.array([[1 / 3, 2], [3, 4]])
    rows = {(1, 3): third, (6, 2): third[:1], (3, 3): third + 1}
    found = read_features(save_official(tmp_path / "m", rows))
    names = ["cam1/0003/0001", "cam1/0003/0002", "cam3/0003/0001", "cam3/0003/0002"]
    assert found.paths.tolist() == [f"{name}.jpg" for name in (*names, "cam6/0002/0001")]
    assert found.features.dtype == np.float64 and found.features[0, 0] == 1 / 3
    assert found.pids.tolist() == [3, 3, 3, 3, 2]
    assert found.camids.tolist() == [1, 1, 3, 3, 6]
    assert found.modality.tolist() == [0, 0, 1, 1, 1]
    assert read_features(tmp_path / "m", [2]).paths.tolist() == ["cam6/0002/0001.jpg"]


def test_official_folders_with_defects_are_named(tmp_path: Path):
    rows = {(1, 1): np.ones((2, 3)), (3, 1): np.ones((1, 3))}
    folder = save_official(tmp_path / "m", rows)
    second = folder / "other_cam4.mat"
    second.write_bytes((folder / "feat_cam4.mat").read_bytes())
    with pytest.raises(DataError, match=r"one \*_cam4.mat.*found feat_cam4.mat, other_cam4.mat"):
        read_features(folder)
    second.unlink()
    (folder / "feat_cam4.mat").unlink()
    with pytest.raises(DataError, match=r"one \*_cam4.mat.*found none"):
        read_features(folder)
    for changed, message in (
        ({(2, 1): np.ones((1, 4))}, r"one length, found \[3, 4\]"),
        ({(2, 1): np.array([[np.nan, 1, 1]])}, r"not finite: cam2/0001/0001.jpg"),
        ({(2, 1): np.array([["abc"]])}, r"feat_cam2.mat: feature\{1\} must be a matrix"),
    ):
        save_official(folder, rows | changed)
        with pytest.raises(DataError, match=message):
            read_features(folder)
    with pytest.raises(DataError, match="found no feature"):
        read_features(save_official(folder, {}))


def test_hidden_files_beside_official_ones_are_skipped(tmp_path: Path):
    folder = save_official(tmp_path / "m", {(1, 1): np.ones((2, 3)), (3, 1): np.ones((1, 3))})
    for camera in range(1, 7):
        (folder / f"._feat_cam{camera}.mat").write_bytes(b"Mac OS X")
    assert len(read_features(folder)) == 3


def test_mat_files_of_another_kind_are_named(tmp_path: Path):
    folder = save_official(tmp_path / "m", {(1, 1): np.ones((2, 3))})
    file = folder / "feat_cam1.mat"
    savemat(file, {"feature": np.ones((2, 3))})
    with pytest.raises(DataError, match="feat_cam1.mat must hold a cell array 'feature'"):
        read_features(folder)
    savemat(file, {"rand_perm_cam": np.ones((2, 3))})
    with pytest.raises(DataError, match="feat_cam1.mat must hold a variable 'feature'"):
        read_features(folder)
    file.write_bytes(b"no MATLAB file")
    with pytest.raises(DataError, match="feat_cam1.mat is not a MATLAB"):
        read_features(folder)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(array_files, "ALWAYS_UNPACKED", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", **good() | {"features": np.zeros((3, 100_000))})
    with pytest.raises(DataError, match="would unpack to 0.0 GB, .* times its size"):
        read_features(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "f.npz", **good())  # small ones may shrink as they like
    assert len(read_features(tmp_path / "f.npz")) == 3


def test_a_damaged_packed_array_is_named(tmp_path: Path):
    """zlib's error is none of Python's own types."""
    path = tmp_path / "f.npz"
    np.savez_compressed(path, **good())
    content = bytearray(path.read_bytes())
    extra = int.from_bytes(content[28:30], "little")  # of the first member's header
    content[30 + len("features.npy") + extra] = 0xFF  # no kind of block that there is
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as features.npz .error: Error -3"):
        read_features(path)
