"""The layouts of VeRi-776 and VehicleID: vehicles before cameras above roads.

VeRi-776: ``image_{train,query,test}/{pid:04d}_c{camera:03d}_{frame:08d}_{k}.jpg`` and
``name_{train,query,test}.txt``. VehicleID, which does not publish its cameras:
``image/{number:07d}.jpg`` and ``train_test_split/{train_list,test_list_{800,1600,2400}}.txt``.
Both get a ``viewpoints.csv``, which the real sets lack.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vireid.structures import TEST_LISTS
from vireid.synthetic.cameras import road_cameras
from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot

VIEWPOINT_LIST = "viewpoints.csv"  # for looking at pictures and for controls
SAME_SIDE = 0.6  # share of a camera's further pictures of a vehicle; others are an eighth turn off
VERI_CAMERAS, VEHICLEID_CAMERAS = 20, 12
HOUR = 90_000  # frames


def viewpoints_of(
    pid: int, numbers: SetNumbers, *, cameras: int, seen_by: tuple[int, int]
) -> dict[int, list[int]]:
    """Sides of a vehicle in its pictures, in eighths of a turn, by the cameras that see it.

    The first pictures of no two of up to eight cameras show the same side.

    Args:
        cameras: of the set, numbered from 1.
        seen_by: fewest and most of them.
    """
    rng = numbers.random("presence", pid)
    number = int(rng.integers(seen_by[0], seen_by[1] + 1))
    chosen = np.sort(rng.permutation(cameras)[:number]) + 1
    sides = rng.permutation(len(VIEWPOINTS))
    odds = (SAME_SIDE, *[(1 - SAME_SIDE) / 2] * 2)
    found = {}
    for k, camera in enumerate(chosen.tolist()):
        turns = rng.choice((0, 1, -1), size=numbers.images, p=odds)
        turns[0] = 0
        found[camera] = ((sides[k % len(sides)] + turns) % len(VIEWPOINTS)).tolist()
    return found


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


def _veri_shots(pid: int, numbers: SetNumbers) -> Iterator[Shot]:
    """``0001_c001_00016450_0.jpg``: vehicle, camera, frame, and its number in the frame."""
    folder = "image_train" if pid <= numbers.train_ids else "image_test"
    rng = numbers.random("names", pid)
    seen = viewpoints_of(pid, numbers, cameras=VERI_CAMERAS, seen_by=(6, 8))
    for camera, viewpoints in seen.items():
        frame = int(rng.integers(1, HOUR))
        for index, viewpoint in enumerate(viewpoints, start=1):
            name = f"{pid:04d}_c{camera:03d}_{frame:08d}_{int(rng.integers(4))}.jpg"
            yield Shot(pid, camera, index, f"{folder}/{name}", viewpoint=viewpoint)
            frame += int(rng.integers(5, 30))


def _veri_content(numbers: SetNumbers) -> SetContent:
    """Queries repeat the first test image of a vehicle in a camera, as in the real set."""
    shots = [shot for pid in numbers.pids for shot in _veri_shots(pid, numbers)]
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
    seen = [
        (pid, camera, index, viewpoint)
        for pid in numbers.pids
        for camera, viewpoints in viewpoints_of(
            pid, numbers, cameras=VEHICLEID_CAMERAS, seen_by=(4, 4)
        ).items()
        for index, viewpoint in enumerate(viewpoints, start=1)
    ]
    order = numbers.random("names").permutation(len(seen)) + 1
    return [
        Shot(pid, camera, index, f"image/{number:07d}.jpg", viewpoint=viewpoint)
        for (pid, camera, index, viewpoint), number in zip(seen, order.tolist(), strict=True)
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


_layout = partial(
    Layout,
    images=2,
    vehicles=True,
)
VERI = _layout(partial(road_cameras, count=VERI_CAMERAS), _veri_content)
VEHICLEID = _layout(
    partial(road_cameras, count=VEHICLEID_CAMERAS),
    _vehicleid_content,
    least_test_ids=len(TEST_LISTS),  # one more in each list
)
