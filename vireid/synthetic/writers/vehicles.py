"""The layouts of VeRi-776 and VehicleID: vehicles before cameras above roads.

VeRi-776: ``image_{train,query,test}/{pid:04d}_c{camera:03d}_{frame:08d}_{k}.jpg`` and
``name_{train,query,test}.txt``. VehicleID, which does not publish its cameras:
``image/{number:07d}.jpg`` and ``train_test_split/{train_list,test_list_{800,1600,2400}}.txt``.
Both get a ``viewpoints.csv``, which the real sets lack.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vireid.structures import TEST_LISTS
from vireid.synthetic.cameras import road_cameras
from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers.layout import (
    NAME_STREAM,
    PRESENCE_STREAM,
    Layout,
    SetContent,
    SetNumbers,
)
from vireid.synthetic.writers.pictures import Shot

VIEWPOINT_LIST = "viewpoints.csv"  # for looking at pictures and for controls
SAME_SIDE = 0.6  # share of a camera's further pictures of a vehicle; others are an eighth turn off
VERI_CAMERAS, VEHICLEID_CAMERAS = 20, 12
HOUR = 90_000  # frames


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle before a camera; its viewpoints in the pictures, in eighths of a turn."""

    pid: int
    camera: int
    viewpoints: tuple[int, ...]


def passages(
    pid: int, *, seed: int, cameras: int, seen_by: tuple[int, int], images: int
) -> list[Passage]:
    """One in each camera that sees a vehicle; no two of up to eight from the same side.

    Args:
        cameras: of the set, numbered from 1.
        seen_by: fewest and most of them.
        images: in each.
    """
    rng = np.random.default_rng([seed, *PRESENCE_STREAM, pid])
    number = int(rng.integers(seen_by[0], seen_by[1] + 1))
    chosen = np.sort(rng.permutation(cameras)[:number]) + 1
    sides = rng.permutation(len(VIEWPOINTS))
    made = []
    for k, camera in enumerate(chosen.tolist()):
        first = int(sides[k % len(sides)])
        turns = rng.choice((0, 1, -1), size=images, p=(SAME_SIDE, *[(1 - SAME_SIDE) / 2] * 2))
        turns[0] = 0
        viewpoints = tuple(((first + turns) % len(VIEWPOINTS)).tolist())
        made.append(Passage(pid, camera, viewpoints))
    return made


def _viewpoint_list(shots: Sequence[Shot], copies: Mapping[str, str]) -> str:
    """Path, identity and side of every image."""
    by_path = {shot.path: shot for shot in shots}
    by_path |= {copy: by_path[original] for copy, original in copies.items()}
    lines = [f"{path},{shot.pid},{VIEWPOINTS[shot.viewpoint]}\n" for path, shot in by_path.items()]
    return "".join(["path,pid,viewpoint\n", *lines])


def read_viewpoints(folder: Path) -> dict[str, str]:
    """path → one of VIEWPOINTS, of a set that this project rendered.

    Raises:
        OSError: there is no such list.
    """
    with (folder / VIEWPOINT_LIST).open(encoding="ascii", newline="") as file:
        return {row["path"]: row["viewpoint"] for row in csv.DictReader(file)}


def _veri_shots(passage: Passage, folder: str, rng: np.random.Generator) -> list[Shot]:
    """``0001_c001_00016450_0.jpg``: vehicle, camera, frame, and its number in the frame."""
    frame, shots = int(rng.integers(1, HOUR)), []
    for index, viewpoint in enumerate(passage.viewpoints, start=1):
        name = f"{passage.pid:04d}_c{passage.camera:03d}_{frame:08d}_{int(rng.integers(4))}.jpg"
        path = f"{folder}/{name}"
        shots.append(Shot(passage.pid, passage.camera, index, path, viewpoint=viewpoint))
        frame += int(rng.integers(5, 30))
    return shots


def _veri_content(numbers: SetNumbers) -> SetContent:
    """Queries repeat the first test image of a vehicle in a camera, as in the real set."""
    shots: list[Shot] = []
    for pid in numbers.pids:
        folder = "image_train" if pid <= numbers.train_ids else "image_test"
        rng = np.random.default_rng([numbers.seed, *NAME_STREAM, pid])
        for passage in passages(
            pid, seed=numbers.seed, cameras=VERI_CAMERAS, seen_by=(6, 8), images=numbers.images
        ):
            shots += _veri_shots(passage, folder, rng)
    queries = {
        shot.path.replace("image_test", "image_query"): shot.path
        for shot in shots
        if shot.index == 1 and shot.path.startswith("image_test")
    }
    paths = [PurePosixPath(path) for path in (*(shot.path for shot in shots), *queries)]
    files = {VIEWPOINT_LIST: _viewpoint_list(shots, queries)}
    for part in ("train", "query", "test"):
        names = sorted(path.name for path in paths if path.parent.name == f"image_{part}")
        files[f"name_{part}.txt"] = "".join(f"{name}\n" for name in names)
    return SetContent(shots, files, queries)


def _vehicleid_shots(numbers: SetNumbers) -> list[Shot]:
    """``image/0000001.jpg``: the numbers depend on neither vehicle nor camera."""
    seed, images = numbers.seed, numbers.images
    shots = [
        Shot(pid, passage.camera, index, "", viewpoint=viewpoint)
        for pid in numbers.pids
        for passage in passages(
            pid, seed=seed, cameras=VEHICLEID_CAMERAS, seen_by=(4, 4), images=images
        )
        for index, viewpoint in enumerate(passage.viewpoints, start=1)
    ]
    order = np.random.default_rng([seed, *NAME_STREAM]).permutation(len(shots)) + 1
    return [
        replace(shot, path=f"image/{number:07d}.jpg")
        for shot, number in zip(shots, order.tolist(), strict=True)
    ]


def _vehicleid_content(numbers: SetNumbers) -> SetContent:
    """The test lists keep their names and hold a third, two thirds and all test identities."""
    shots, first = _vehicleid_shots(numbers), numbers.train_ids + 1

    def listed(pids: Iterable[int]) -> str:
        """Lines ``<image number> <vehicle>``."""
        wanted = set(pids)
        return "".join(
            f"{PurePosixPath(shot.path).stem} {shot.pid}\n" for shot in shots if shot.pid in wanted
        )

    files = {
        VIEWPOINT_LIST: _viewpoint_list(shots, {}),
        "train_test_split/train_list.txt": listed(range(1, first)),
    }
    for third, name in enumerate(TEST_LISTS, start=1):
        count = -(-numbers.test_ids * third // 3)
        files[f"train_test_split/test_list_{name}.txt"] = listed(range(first, first + count))
    return SetContent(shots, files)


_COLUMNS = (tuple((title, side, 0) for side, title in enumerate(VIEWPOINTS)),)
VERI = Layout(
    draw_cameras=partial(road_cameras, count=VERI_CAMERAS),
    content=_veri_content,
    images=2,
    columns=_COLUMNS,
    vehicles=True,
)
VEHICLEID = Layout(
    draw_cameras=partial(road_cameras, count=VEHICLEID_CAMERAS),
    content=_vehicleid_content,
    images=2,
    columns=_COLUMNS,
    vehicles=True,
    least_test_ids=len(TEST_LISTS),  # one more in each list
)
