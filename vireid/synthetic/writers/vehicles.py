"""What the layouts of vehicles share: pictures, and from which sides and cameras they are taken."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vireid.synthetic.vehicles.render import VIEWPOINTS, draw_vehicle_view, render_vehicle
from vireid.synthetic.vehicles.roads import RoadCamera, road_cameras
from vireid.synthetic.vehicles.vehicle import Vehicle, vehicle_of
from vireid.synthetic.writers.common import CAMERA_STREAM, PRESENCE_STREAM, Shot, Studio

VIEWPOINT_LIST = "viewpoints.csv"  # which no real set has; for looking at pictures and for controls
SAME_SIDE = 0.6  # of a camera's further pictures of a vehicle; the others are an eighth turn off

_vehicle_of = lru_cache(maxsize=64)(vehicle_of)


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle before a camera: the eighths of a turn at which its pictures see it."""

    pid: int
    camera: int
    viewpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VehicleStudio(Studio):
    """A studio for vehicles, on roads."""

    cameras: dict[int, RoadCamera]  # type: ignore[assignment]

    def picture(self, shot: Shot, *, empty: bool = False) -> np.ndarray:
        camera = self.cameras[shot.camera]
        rng = np.random.default_rng((self.seed, shot.pid, shot.camera, shot.index))
        view = draw_vehicle_view(camera, shot.viewpoint, rng)
        vehicle: Vehicle | None = None if empty else _vehicle_of(self.seed, shot.pid)
        return render_vehicle(vehicle, camera, view, self.size, rng)


@lru_cache(maxsize=2)
def road_cameras_of(seed: int, count: int) -> dict[int, RoadCamera]:
    """The cameras of the set made with ``seed``."""
    return road_cameras(np.random.default_rng([seed, *CAMERA_STREAM]), count)


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


def write_viewpoints(folder: Path, shots: Sequence[Shot], copies: Mapping[str, str]) -> None:
    """``viewpoints.csv``: path, identity and side of every image.

    Args:
        copies: path of a copy → path of what it is a copy of.
    """
    by_path = {shot.path: shot for shot in shots}
    paths = {path: path for path in by_path} | dict(copies)
    with (folder / VIEWPOINT_LIST).open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "pid", "viewpoint"))
        for path, original in paths.items():
            shot = by_path[original]
            writer.writerow((path, shot.pid, VIEWPOINTS[shot.viewpoint]))


def viewpoints_by_identity(folder: Path) -> dict[int, dict[str, str]]:
    """pid → side → the first image of it.

    Raises:
        OSError: the set has no such list.
    """
    first: dict[int, dict[str, str]] = {}
    with (folder / VIEWPOINT_LIST).open(encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            first.setdefault(int(row["pid"]), {}).setdefault(row["viewpoint"], row["path"])
    return first


def read_viewpoints(folder: Path) -> dict[str, str]:
    """path → one of VIEWPOINTS, of a set that this project rendered.

    Raises:
        OSError: there is no such list.
    """
    with (folder / VIEWPOINT_LIST).open(encoding="ascii", newline="") as file:
        return {row["path"]: row["viewpoint"] for row in csv.DictReader(file)}
