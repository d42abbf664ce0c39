"""The cameras of a synthetic set: the places they watch, their optics and their sensors.

Every image crops another window of a camera's panorama, so the background varies inside a camera
and still belongs to that camera.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator

from vireid.synthetic.places import Place, indoor_place, outdoor_place, photograph, road_place

INFRARED = 100  # a camera of both spectra takes near infrared under its number + 100
PITCH = {"indoor": (0.05, 0.15), "outdoor": (0.15, 0.3)}  # radians

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SensorRanges:
    """Ranges from which the cameras of one spectrum are drawn; see ``Camera`` for the units."""

    exposure: Range
    contrast: Range
    vignette: Range
    noise: Range
    blur: dict[str, Range]  # by background: outdoors people are farther away


SHARP = {"indoor": (1.1, 1.7), "outdoor": (1.5, 2.3)}
SOFT = {"indoor": (2.8, 3.6), "outdoor": (3.0, 4.0)}  # few pixels behind a lens of germanium
SENSORS = {
    "visible": SensorRanges((0.82, 1.15), (0.9, 1.1), (0.0, 0.12), (2, 5), SHARP),
    "near_infrared": SensorRanges((1.05, 1.3), (0.95, 1.1), (0.3, 0.45), (5, 8), SHARP),
    "thermal": SensorRanges((1.0, 1.12), (0.9, 1.05), (0.0, 0.1), (3, 6), SOFT),
}


@dataclass(frozen=True, slots=True)
class RoadLight:
    """The light on the vehicles of one camera; angles in radians."""

    sun_turn: float  # of the sun from the camera's direction
    sun_height: float
    ambient: float  # share of the light that comes from everywhere
    lamps: bool  # the vehicles' lamps are on, by night


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera; ``scene`` is its panorama (SCENE_HEIGHT, SCENE_WIDTH, 3) uint8."""

    spectrum: str
    background: str  # "indoor" or "outdoor"
    exposure: float  # factor on all intensities
    cast: tuple[float, float, float]  # factor per channel; equal values in a one-band spectrum
    contrast: float  # around mid grey, 1 keeps it
    vignette: float  # loss of light in the corners, in [0, 1)
    blur: float  # pixels of detail lost at an image height of 256
    noise: float  # standard deviation in grey levels of 255
    pitch: float  # radians, looking down
    scale: float  # typical body height / image height
    azimuth: float  # radians, most frequent walking direction, 0 faces the camera
    both_ways: bool  # people are seen from the front or the back only, not from every side
    scene: np.ndarray = field(repr=False, compare=False)
    road_light: RoadLight | None = None  # None: a camera for pedestrians


def draw_camera(
    place: Place,
    spectrum: str,
    background: str,
    rng: Generator,
    *,
    both_ways: bool = False,
    light: float = 1.0,
) -> Camera:
    """A camera of a spectrum; ``light`` below 1 is dusk, which adds noise."""
    ranges = SENSORS[spectrum]
    coloured = spectrum == "visible"
    reddish = float(rng.uniform(-0.14, 0.14)) if coloured else 0.0
    greenish = float(rng.uniform(-0.05, 0.05)) if coloured else 0.0
    return Camera(
        spectrum=spectrum,
        background=background,
        exposure=float(rng.uniform(*ranges.exposure)) * light,
        cast=(1 + reddish, 1 + greenish, 1 - reddish),
        contrast=float(rng.uniform(*ranges.contrast)),
        vignette=float(rng.uniform(*ranges.vignette)),
        blur=float(rng.uniform(*ranges.blur[background])),
        noise=float(rng.uniform(*ranges.noise)) / light,
        pitch=float(rng.uniform(*PITCH[background])),
        scale=float(rng.uniform(0.84, 0.92)),
        azimuth=0.0 if both_ways else float(rng.integers(8) * np.pi / 4),
        both_ways=both_ways,
        scene=photograph(place, spectrum, rng),
    )


def sysu_cameras(rng: Generator) -> dict[int, Camera]:
    """The six cameras of SYSU-MM01 by number; cameras 2 and 3 watch one room.

    1, 2 visible indoor; 3 near infrared indoor; 4, 5 visible outdoor; 6 near infrared outdoor.
    """
    room_1, room_2 = indoor_place(rng), indoor_place(rng)
    gate, garden, passage = outdoor_place(rng), outdoor_place(rng), outdoor_place(rng)
    table = {
        1: (room_1, "visible", "indoor"),
        2: (room_2, "visible", "indoor"),
        3: (room_2, "near_infrared", "indoor"),
        4: (gate, "visible", "outdoor"),
        5: (garden, "visible", "outdoor"),
        6: (passage, "near_infrared", "outdoor"),
    }
    return {number: draw_camera(*watched, rng) for number, watched in table.items()}


def regdb_cameras(rng: Generator) -> dict[int, Camera]:
    """RegDB's pair side by side on one roof: 1 visible, 2 thermal."""
    street = outdoor_place(rng)
    visible = draw_camera(street, "visible", "outdoor", rng, both_ways=True)
    return {1: visible, 2: draw_camera(street, "thermal", "outdoor", rng, both_ways=True)}


def llcm_cameras(rng: Generator) -> dict[int, Camera]:
    """LLCM's nine cameras in poor light: visible 1 to 9, near infrared of the same ones + 10.

    Camera 3 never switches to near infrared.
    """
    cameras = {}
    for number in range(1, 10):
        background = "indoor" if number % 3 == 0 else "outdoor"
        place = (indoor_place if background == "indoor" else outdoor_place)(rng)
        dusk = float(rng.uniform(0.5, 0.9))
        cameras[number] = draw_camera(place, "visible", background, rng, light=dusk)
        if number != 3:
            cameras[number + 10] = draw_camera(place, "near_infrared", background, rng)
    return cameras


def paired_cameras(rng: Generator, count: int) -> dict[int, Camera]:
    """Cameras of both spectra, by their number; in near infrared, by their number + INFRARED."""
    cameras = {}
    for number in range(1, count + 1):
        background = "indoor" if number % 3 == 0 else "outdoor"
        place = (indoor_place if background == "indoor" else outdoor_place)(rng)
        visible = draw_camera(place, "visible", background, rng)
        infrared = draw_camera(place, "near_infrared", background, rng)
        cameras[number] = visible
        cameras[number + INFRARED] = replace(
            infrared, pitch=visible.pitch, scale=visible.scale, azimuth=visible.azimuth
        )
    return cameras


def road_cameras(rng: Generator, count: int) -> dict[int, Camera]:
    """Cameras 1 to ``count`` above roads; every sixth works by night."""
    cameras = {}
    for number in range(1, count + 1):
        night = number % 6 == 0
        light = float(rng.uniform(0.5, 0.65) if night else rng.uniform(0.75, 1.1))
        cameras[number] = replace(
            draw_camera(road_place(rng), "visible", "outdoor", rng, light=light),
            pitch=float(rng.uniform(0.12, 0.5)),
            road_light=RoadLight(
                sun_turn=float(rng.uniform(-np.pi, np.pi)),
                sun_height=float(rng.uniform(0.4, 1.2)),
                ambient=float(rng.uniform(0.75, 0.9) if night else rng.uniform(0.4, 0.7)),
                lamps=night,
            ),
        )
    return cameras
