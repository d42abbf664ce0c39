"""The layout of SYSU-MM01."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.synthetic.pedestrians.cameras import Camera, sysu_cameras
from vireid.synthetic.writers.common import (
    CAMERA_STREAM,
    PRESENCE_STREAM,
    Shot,
    Studio,
    checked_parameters,
    staged,
    write_ids,
    write_parameters,
)
from vireid.synthetic.writers.processes import take

CAMERAS = range(1, 7)
TRIALS = 10  # rows of every permutation matrix
PARTIAL_CAMERAS = (1, 2)  # the same identities are missing from both, as in the real set
PARTIAL_SHARE = 0.6

Counts = Mapping[tuple[int, int], int]  # (camera, pid) → images


@lru_cache(maxsize=2)
def sysu_cameras_of(seed: int) -> dict[int, Camera]:
    """The six cameras of the SYSU-like set made with ``seed``."""
    return sysu_cameras(np.random.default_rng([seed, *CAMERA_STREAM]))


def sysu_image(
    seed: int, pid: int, *, camera: int, index: int, size: tuple[int, int]
) -> np.ndarray:
    """One picture of the set that ``write_sysu`` makes, before JPEG.

    Args:
        index: from 1, the number in the file name.
        size: (height, width).
    Returns:
        (height, width, 3) uint8
    """
    return Studio(sysu_cameras_of(seed), seed, size).picture(Shot(pid, camera, index, ""))


def sysu_shots(counts: Counts) -> list[Shot]:
    """``cam{camera}/{pid:04d}/{n:04d}.jpg`` for n from 1 without holes."""
    return [
        Shot(pid, camera, n, f"cam{camera}/{pid:04d}/{n:04d}.jpg")
        for (camera, pid), images in sorted(counts.items())
        for n in range(1, images + 1)
    ]


def write_lists(folder: Path, split: Mapping[str, list[int]]) -> None:
    """``{train,val,test,available}_id.txt`` in a folder that this makes."""
    folder.mkdir(exist_ok=True)
    available = sorted(pid for pids in split.values() for pid in pids)
    for name, pids in {**split, "available": available}.items():
        write_ids(folder / f"{name}_id.txt", pids)


def draw_permutations(presence: Mapping[int, set[int]], *, images: int, seed: int) -> np.ndarray:
    """(6, 1) cells of (ids, 1) cells of (10, n) permutations of 1..n; n = 0 where absent."""
    dtype = np.uint8 if images < 256 else np.uint16
    n_ids = max(set().union(*presence.values()))
    cells = np.empty((len(CAMERAS), 1), object)
    for camera, present in presence.items():
        rows = np.empty((n_ids, 1), object)
        for pid in range(1, n_ids + 1):
            rng = np.random.default_rng([seed, 0, camera, pid])
            count = images if pid in present else 0
            trials = [rng.permutation(count) + 1 for _ in range(TRIALS)]
            rows[pid - 1, 0] = np.stack(trials).astype(dtype)
        cells[camera - 1, 0] = rows
    return cells


def _split(train_ids: int, test_ids: int) -> dict[str, list[int]]:
    validation = train_ids // 4
    bounds = np.cumsum([0, train_ids - validation, validation, test_ids])
    names = ("train", "val", "test")
    return {
        name: list(range(int(bounds[i]) + 1, int(bounds[i + 1]) + 1))
        for i, name in enumerate(names)
    }


def _presence(split: Mapping[str, list[int]], seed: int) -> dict[int, set[int]]:
    """Identities by camera: a share of each split in cameras 1 and 2, everyone elsewhere."""
    rng = np.random.default_rng([seed, *PRESENCE_STREAM])
    partial: set[int] = set()
    for pids in split.values():
        kept = max(round(PARTIAL_SHARE * len(pids)), (len(pids) + 1) // 2)
        partial.update(int(pid) for pid in rng.permutation(pids)[:kept])
    everyone = {pid for pids in split.values() for pid in pids}
    return {camera: partial if camera in PARTIAL_CAMERAS else everyone for camera in CAMERAS}


def write_sysu(
    root: Path,
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int = 6,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set in the layout of SYSU-MM01.

    ``cam{1..6}/{pid:04d}/{n:04d}.jpg``, ``exp/{train,val,test,available}_id.txt``,
    ``exp/rand_perm_cam.mat`` and ``synthetic.json``. ``root`` appears only once it is complete.

    Args:
        train_ids: training and validation identities together; one in four validates.
        test_ids: test identities, numbered after the others.
        images_per_camera: per identity in every camera that sees it; 60 % are seen by 1 and 2.
        size: (height, width) of the pictures in pixels.
        progress: show a bar when standard error is a terminal.
        workers: processes that render, 0 for one per processor; they change nothing in the files.
    Raises:
        ValueError: an argument is out of range.
        FileExistsError: root is there and not an empty folder.
    """
    parameters = checked_parameters(
        train_ids=train_ids,
        test_ids=test_ids,
        images_per_camera=images_per_camera,
        size=size,
        seed=seed,
        workers=workers,
    )
    split = _split(train_ids, test_ids)
    presence = _presence(split, seed)
    counts = {(cam, pid): images_per_camera for cam in CAMERAS for pid in presence[cam]}
    studio = Studio(sysu_cameras_of(seed), seed, tuple(size))
    with staged(root) as folder:
        take(studio, folder, sysu_shots(counts), workers=workers, progress=progress)
        write_lists(folder / "exp", split)
        permutations = draw_permutations(presence, images=images_per_camera, seed=seed)
        savemat(folder / "exp/rand_perm_cam.mat", {"rand_perm_cam": permutations})
        write_parameters(folder, "sysu", parameters)
