"""Cameras above roads: where they look from, their sun, their optics and their sensor."""

from dataclasses import dataclass, fields

import numpy as np

from vireid.synthetic.pedestrians.cameras import Camera, camera
from vireid.synthetic.pedestrians.places import road_place


@dataclass(frozen=True, slots=True)
class RoadCamera(Camera):
    """A camera over a road; angles in radians.

    ``pitch`` is its height over the vehicles; ``azimuth`` the side from which it sees most of them.
    """

    sun_turn: float  # of the sun from the camera's direction
    sun_height: float
    ambient: float  # share of the light that comes from everywhere
    lamps: bool  # lit, by night


def road_cameras(rng: np.random.Generator, count: int) -> dict[int, RoadCamera]:
    """Cameras 1 to ``count``, every sixth of them in the dark."""
    cameras = {}
    for number in range(1, count + 1):
        night = number % 6 == 0
        light = float(rng.uniform(0.5, 0.65) if night else rng.uniform(0.75, 1.1))
        plain = camera(road_place(rng), "visible", "outdoor", rng, light=light)
        known = {f.name: getattr(plain, f.name) for f in fields(plain)}
        cameras[number] = RoadCamera(
            **{**known, "pitch": float(rng.uniform(0.12, 0.5))},
            sun_turn=float(rng.uniform(-np.pi, np.pi)),
            sun_height=float(rng.uniform(0.4, 1.2)),
            ambient=float(rng.uniform(0.75, 0.9) if night else rng.uniform(0.4, 0.7)),
            lamps=night,
        )
    return cameras
