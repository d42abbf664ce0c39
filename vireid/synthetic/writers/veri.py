"""The layout of VeRi-776."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vireid.synthetic.writers.common import (
    NAME_STREAM,
    Shot,
    checked_parameters,
    staged,
    write_parameters,
)
from vireid.synthetic.writers.processes import take
from vireid.synthetic.writers.vehicles import (
    Passage,
    VehicleStudio,
    passages,
    road_cameras_of,
    write_viewpoints,
)

CAMERAS = 20
SEEN_BY = (6, 8)  # cameras
HOUR = 90_000  # frames


def _shots(passage: Passage, folder: str, rng: np.random.Generator) -> list[Shot]:
    """``0001_c001_00016450_0.jpg``: vehicle, camera, frame, and its number in the frame."""
    frame, shots = int(rng.integers(1, HOUR)), []
    for index, viewpoint in enumerate(passage.viewpoints, start=1):
        name = f"{passage.pid:04d}_c{passage.camera:03d}_{frame:08d}_{int(rng.integers(4))}.jpg"
        path = f"{folder}/{name}"
        shots.append(Shot(passage.pid, passage.camera, index, path, viewpoint=viewpoint))
        frame += int(rng.integers(5, 30))
    return shots


def _all_shots(train_ids: int, test_ids: int, images: int, seed: int) -> list[Shot]:
    shots: list[Shot] = []
    for pid in range(1, train_ids + test_ids + 1):
        folder = "image_train" if pid <= train_ids else "image_test"
        rng = np.random.default_rng([seed, *NAME_STREAM, pid])
        for one in passages(pid, seed=seed, cameras=CAMERAS, seen_by=SEEN_BY, images=images):
            shots += _shots(one, folder, rng)
    return shots


def _add_queries_and_lists(folder: Path, queries: Mapping[str, str]) -> None:
    """Queries are copies, by the path of each; lists name the images of a part."""
    (folder / "image_query").mkdir()
    for copy, original in queries.items():
        shutil.copyfile(folder / original, folder / copy)
    for part in ("train", "query", "test"):
        names = sorted(path.name for path in (folder / f"image_{part}").iterdir())
        text = "".join(f"{name}\n" for name in names)
        (folder / f"name_{part}.txt").write_text(text, encoding="ascii")


def write_veri(
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
    """Write a synthetic set in the layout of VeRi-776: vehicles before twenty cameras.

    ``image_{train,query,test}/{pid:04d}_c{camera:03d}_{frame:08d}_{k}.jpg``,
    ``name_{train,query,test}.txt``, ``synthetic.json`` and ``viewpoints.csv``, which the real set
    lacks. Queries repeat the first test image of a vehicle in a camera, as in the real
    set. ``root`` appears only once it is complete.

    Args:
        train_ids, test_ids: numbers of identities; test identities are numbered after the others.
        images_per_camera: per identity, in each of the 6 to 8 cameras that see it.
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
    shots = _all_shots(train_ids, test_ids, images_per_camera, seed)
    queries = {
        shot.path.replace("image_test", "image_query"): shot.path
        for shot in shots
        if shot.index == 1 and shot.path.startswith("image_test")
    }
    studio = VehicleStudio(road_cameras_of(seed, CAMERAS), seed, tuple(size))
    with staged(root) as folder:
        take(studio, folder, shots, workers=workers, progress=progress)
        _add_queries_and_lists(folder, queries)
        write_viewpoints(folder, shots, queries)
        write_parameters(folder, "veri", parameters)
