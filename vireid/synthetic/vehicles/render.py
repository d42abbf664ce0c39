"""One picture of a vehicle: solids before a camera's background."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from vireid.synthetic.cameras import Camera, RoadLight
from vireid.synthetic.optics import View, background, draw_exposure, take_picture
from vireid.synthetic.vehicles.body import solids_of
from vireid.synthetic.vehicles.solids import Patch, Solid, Viewer, direction
from vireid.synthetic.vehicles.vehicle import Vehicle

VIEWPOINTS = (  # by eighths of a turn
    "front", "front left", "left", "rear left",
    "rear", "rear right", "right", "front right",
)  # fmt: skip
SUPERSAMPLING = 3
SKY = (0.62, 0.7, 0.8)
OCCLUDERS = ("none", "post", "rail", "leaves")
TARGET = np.array([0.0, 0.0, 0.8])  # the point that the camera looks at, metres

Projection = Callable[[np.ndarray], list[tuple[float, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleView(View):
    """How one picture of a vehicle is taken; ``azimuth`` as of Viewer."""

    elevation: float  # radians
    distance: float  # metres
    occluder_grey: float  # in [0, 1]


def draw_vehicle_view(camera: Camera, viewpoint: int, rng: Generator) -> VehicleView:
    """Draws a view from one of the eight sides, counted in eighths of a turn."""
    return VehicleView(
        exposure=draw_exposure(camera, rng),
        azimuth=float(viewpoint * pi / 4 + rng.normal(0.0, 0.13)),
        elevation=float(np.clip(camera.pitch + rng.normal(0.0, 0.04), 0.07, 0.6)),
        distance=float(rng.uniform(11.0, 22.0)),
        scale=float(np.clip(camera.scale * rng.normal(1.02, 0.05), 0.72, 1.04)),
        shift_x=float(rng.normal(0.0, 0.025)),
        shift_y=float(rng.normal(0.0, 0.025)),
        side_light=float(rng.uniform(-0.2, 0.2)),
        window=(float(rng.random()), float(rng.uniform(0.35, 1.0)), float(rng.uniform(0.55, 0.9))),
        sharpness=float(rng.uniform(0.7, 1.25)),
        occluder=str(rng.choice(OCCLUDERS, p=(0.85, 0.05, 0.05, 0.05))),
        occluder_at=float(rng.random()),
        occluder_grey=float(rng.uniform(0.15, 0.6)),
    )


def _projection(
    viewer: Viewer, solids: list[Solid], view: VehicleView, size: tuple[int, int]
) -> Projection:
    """Points in vehicle axes → pixels of a picture of ``size`` (width, height).

    Scaled so that the vehicle fills its share of the picture.
    """
    seen = viewer.project(np.concatenate([p.corners for solid in solids for p in solid.patches]))
    low, high = seen.min(axis=0), seen.max(axis=0)
    zoom = float(view.scale * min(size[0] / (high[0] - low[0]), size[1] / (high[1] - low[1])))
    middle = (low + high) / 2
    left = float(size[0] * (0.5 + view.shift_x) - zoom * middle[0])
    top = float(size[1] * (0.5 + view.shift_y) + zoom * middle[1])

    def pixels(points: np.ndarray) -> list[tuple[float, float]]:
        return [(left + x, top - y) for x, y in (viewer.project(points) * zoom).tolist()]

    return pixels


def _lit_colour(patch: Patch, light: RoadLight, sun: np.ndarray) -> tuple[int, ...]:
    upwards = float(patch.normal[2])
    brightness = light.ambient * (0.8 + 0.2 * upwards)
    brightness += (1 - light.ambient) * 1.15 * max(0.0, float(patch.normal @ sun))
    sky = 0.45 * patch.shine * max(0.0, 0.15 + 0.85 * upwards)
    shown = []
    for own, above in zip(patch.colour, SKY, strict=True):
        value = own * brightness * (1 - sky) + sky * above * light.ambient
        if patch.lamp and light.lamps:
            value = 0.35 * value + 1.6 * own
        shown.append(int(min(max(value, 0.0), 1.0) * 235 + 10))
    return tuple(shown)


def _cast_shadow(
    picture: Image.Image, vehicle: Vehicle, pixels: Projection, sun: np.ndarray, height: float
) -> None:
    """On the road, away from the sun, whose height is in radians."""
    shape = vehicle.model.shape
    mask = Image.new("L", picture.size, 0)
    draw = ImageDraw.Draw(mask)
    extent = min(shape.height / max(np.tan(height), 0.5), 1.4)
    x, y = 0.5 * shape.length, 0.5 * shape.width
    for share, dark in ((0.0, 170), (0.5, 105)):
        move = -share * extent * sun[:2] / max(float(np.linalg.norm(sun[:2])), 1e-6)
        corners = np.array([[x, y, 0], [x, -y, 0], [-x, -y, 0], [-x, y, 0]], dtype=float)
        corners[:, :2] += move
        draw.polygon(pixels(corners), fill=dark)
    soft = mask.filter(ImageFilter.BoxBlur(picture.size[0] // 60))
    picture.paste((14, 14, 16), mask=soft)


def _paint_occluder(picture: Image.Image, view: VehicleView) -> None:
    """Something between the camera and the vehicle."""
    draw, (width, height), at = ImageDraw.Draw(picture), picture.size, view.occluder_at
    grey = round(255 * view.occluder_grey)
    if view.occluder == "post":
        x = width * (0.1 + 0.8 * at)
        draw.rectangle((x, 0, x + 0.07 * width, height), fill=(grey, grey, grey))
    elif view.occluder == "rail":
        y = height * (0.68 + 0.2 * at)
        draw.rectangle((0, y, width, y + 0.06 * height), fill=(grey, grey, grey))
    elif view.occluder == "leaves":
        x, size = width * at, 0.28 * width
        green = (grey // 2, 40 + grey // 2, grey // 3)
        for turn in range(7):
            left = x + size * (0.5 * np.cos(2.4 * turn) - 0.5)
            top = size * (0.35 * np.sin(2.4 * turn) - 0.5)
            draw.ellipse((left, top, left + 0.8 * size, top + 0.8 * size), fill=green)


def _paint_vehicle(
    picture: Image.Image, vehicle: Vehicle, light: RoadLight, view: VehicleView
) -> None:
    solids = solids_of(vehicle)
    viewer = Viewer(view.azimuth, view.elevation, view.distance, TARGET)
    pixels = _projection(viewer, solids, view, picture.size)
    sun = direction(view.azimuth + light.sun_turn, light.sun_height)
    _cast_shadow(picture, vehicle, pixels, sun, light.sun_height)
    draw = ImageDraw.Draw(picture)
    depth = np.linalg.norm
    for solid in sorted(solids, key=lambda s: (s.level, -depth(s.unit - viewer.position))):
        for patch in solid.patches:
            if viewer.sees(patch):
                colour = _lit_colour(patch, light, sun)
                draw.polygon(pixels(patch.corners), fill=colour)
    _paint_occluder(picture, view)


def render_vehicle(
    vehicle: Vehicle | None,
    camera: Camera,
    view: VehicleView,
    size: tuple[int, int],
    rng: Generator,
) -> np.ndarray:
    """Renders one picture.

    Args:
        vehicle: None leaves the road empty, as a control needs it.
        camera: above a road.
        size: (height, width) in pixels; shapes keep their proportions whatever it is.
        rng: uneven light and sensor noise only; all else is in ``view``.
    Returns:
        (height, width, 3) uint8.
    """
    assert camera.road_light is not None
    big = (size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING)
    picture = background(camera, view, big, aspect=big)
    if vehicle is not None:
        _paint_vehicle(picture, vehicle, camera.road_light, view)
    return take_picture(picture, camera, view, size, rng, least_width=16)
