"""The layout of VehicleID."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vireid.structures import TEST_LISTS
from vireid.synthetic.writers.common import (
    MAX_NUMBER,
    NAME_STREAM,
    Shot,
    check_at_least,
    checked_parameters,
    staged,
    write_parameters,
)
from vireid.synthetic.writers.processes import take
from vireid.synthetic.writers.vehicles import (
    VehicleStudio,
    passages,
    road_cameras_of,
    write_viewpoints,
)

CAMERAS = 12  # which the set does not tell
SEEN_BY = (4, 4)


def _all_shots(n_ids: int, images: int, seed: int) -> list[Shot]:
    """``image/0000001.jpg``: numbers that tell nothing."""
    shots = [
        Shot(pid, passage.camera, index, "", viewpoint=viewpoint)
        for pid in range(1, n_ids + 1)
        for passage in passages(pid, seed=seed, cameras=CAMERAS, seen_by=SEEN_BY, images=images)
        for index, viewpoint in enumerate(passage.viewpoints, start=1)
    ]
    numbers = np.random.default_rng([seed, *NAME_STREAM]).permutation(len(shots)) + 1
    return [
        replace(shot, path=f"image/{number:07d}.jpg")
        for shot, number in zip(shots, numbers.tolist(), strict=True)
    ]


def _write_list(path: Path, shots: Sequence[Shot], pids: Sequence[int]) -> None:
    """Lines ``<image number> <vehicle>``."""
    wanted = set(pids)
    lines = [f"{Path(shot.path).stem} {shot.pid}\n" for shot in shots if shot.pid in wanted]
    path.write_text("".join(lines), encoding="ascii")


def write_vehicleid(
    root: Path,
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int = 2,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set in the layout of VehicleID, which does not tell its cameras.

    ``image/{number:07d}.jpg``, ``train_test_split/train_list.txt``,
    ``train_test_split/test_list_{800,1600,2400}.txt``, ``synthetic.json`` and ``viewpoints.csv``,
    which the real set lacks. The test lists keep their names and hold a third, two thirds and all
    of the test identities. ``root`` appears only once it is complete.

    Args:
        train_ids, test_ids: numbers of identities, three test identities at least; those are
            numbered after the others.
        images_per_camera: per identity, in each of the 4 cameras that see it.
        size, seed, progress, workers: as for ``write_sysu``.
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
    check_at_least("test_ids", test_ids, len(TEST_LISTS), MAX_NUMBER)  # one more in each list
    shots = _all_shots(train_ids + test_ids, images_per_camera, seed)
    studio = VehicleStudio(road_cameras_of(seed, CAMERAS), seed, tuple(size))
    with staged(root) as folder:
        take(studio, folder, shots, workers=workers, progress=progress)
        lists = folder / "train_test_split"
        lists.mkdir()
        _write_list(lists / "train_list.txt", shots, range(1, train_ids + 1))
        for third, number in enumerate(TEST_LISTS, start=1):
            listed = range(train_ids + 1, train_ids + 1 - (-test_ids * third // 3))
            _write_list(lists / f"test_list_{number}.txt", shots, listed)
        write_viewpoints(folder, shots, {})
        write_parameters(folder, "vehicleid", parameters)
