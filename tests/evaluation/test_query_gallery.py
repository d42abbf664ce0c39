from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from vireid.errors import DataError
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol
from vireid.evaluation.query_gallery import Permutations, draw_images, read_permutations
from vireid.structures import FeatureSet

SINGLE, MULTI = PROTOCOLS["sysu_all_single"], PROTOCOLS["sysu_all_multi"]


def sysu(counts: dict[tuple[int, int], int]) -> FeatureSet:
    """So many images per (camera, identity): ``0001.jpg``, ``0002.jpg``, …"""
    rows = [(cam, pid, k + 1) for (cam, pid), n in counts.items() for k in range(n)]
    cams = np.array([cam for cam, _, _ in rows])
    return FeatureSet(
        features=np.ones((len(rows), 2)),
        pids=np.array([pid for _, pid, _ in rows]),
        camids=cams,
        modality=np.isin(cams, (3, 6)).astype(np.uint8),
        paths=np.array([f"cam{cam}/{pid:04d}/{k:04d}.jpg" for cam, pid, k in rows]),
    )


@pytest.mark.parametrize(("protocol", "shots"), [(SINGLE, 1), (MULTI, 10)])
def test_official_draw_picks_by_position_from_one_in_path_order(
    protocol: RetrievalProtocol, shots: int
):
    counts = {(2, 5): 3, (1, 5): 12, (1, 2): 1}
    features = sysu(counts)
    features = features.subset(np.random.default_rng(0).permutation(len(features)))
    rng = np.random.default_rng(1)
    permutations = {
        key: np.stack([rng.permutation(n) + 1 for _ in range(10)]) for key, n in counts.items()
    }
    galleries = list(draw_images(protocol, features, permutations))
    assert len(galleries) == 10
    for trial, rows in enumerate(galleries):
        expected = [
            f"cam{cam}/{pid:04d}/{position:04d}.jpg"
            for cam, pid in ((1, 2), (1, 5), (2, 5))
            for position in permutations[cam, pid][trial][:shots]
        ]
        assert features.paths[rows].tolist() == expected


def test_path_order_is_by_text_not_by_number():
    features = sysu({(1, 1): 3})
    features.paths[:] = ["cam1/0001/9.jpg", "cam1/0001/10.jpg", "cam1/0001/1.jpg"]
    permutations = {(1, 1): np.tile([3, 1, 2], (10, 1))}
    (rows, *_) = draw_images(SINGLE, features, permutations)
    assert features.paths[rows].tolist() == ["cam1/0001/9.jpg"]


@pytest.mark.parametrize(
    ("known", "message"), [({(1, 1): np.ones((10, 3), int)}, "know 3"), ({}, "know none")]
)
def test_permutations_of_another_size_are_refused(known: Permutations, message: str):
    features = sysu({(6, 1): 1, (1, 1): 2})
    with pytest.raises(DataError, match=f"camera 1, identity 1: 2 images.*{message}"):
        evaluate(SINGLE, features, permutations=known)


def save_permutations(path: Path, cameras: list[list[np.ndarray]]) -> Path:
    cells = np.empty((len(cameras), 1), dtype=object)
    for index, camera in enumerate(cameras):
        cells[index, 0] = np.empty((len(camera), 1), dtype=object)
        for pid, rows in enumerate(camera):
            cells[index, 0][pid, 0] = rows
    savemat(path, {"rand_perm_cam": cells})
    return path


def test_permutations_file_is_read_by_camera_and_identity(tmp_path: Path):
    absent, rows = np.zeros((10, 0)), np.tile([2.0, 1.0, 3.0], (10, 1))
    path = save_permutations(tmp_path / "p.mat", [[absent, rows], [rows[:, :1] - 1, absent]])
    found = read_permutations(path)
    assert found.keys() == {(1, 2), (2, 1)}
    assert found[1, 2].tolist() == [[2, 1, 3]] * 10
    assert found[2, 1].tolist() == [[1]] * 10


@pytest.mark.parametrize("row", [[0, 1, 2], [1, 1, 3], [2, 3, 4]])
def test_rows_that_are_no_permutation_are_refused(tmp_path: Path, row: list[int]):
    path = save_permutations(tmp_path / "p.mat", [[np.tile(row, (10, 1))]])
    with pytest.raises(DataError, match="camera 1, identity 1.*permutation of 1 to 3"):
        read_permutations(path)


def test_file_that_holds_no_permutations_is_refused(tmp_path: Path):
    savemat(tmp_path / "other.mat", {"id": np.arange(3)})
    savemat(tmp_path / "numbers.mat", {"rand_perm_cam": np.arange(3)})
    (tmp_path / "text.mat").write_text("not a MATLAB file")
    for name in ("other.mat", "numbers.mat", "text.mat", "absent.mat"):
        with pytest.raises(DataError, match=name):
            read_permutations(tmp_path / name)
