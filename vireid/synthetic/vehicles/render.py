"""One picture of a vehicle: solids before a camera's background, through its optics."""

from dataclasses import dataclass
from functools import lru_cache
from math import pi

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vireid.synthetic.pedestrians.places import SCENE_HEIGHT, SCENE_WIDTH
from vireid.synthetic.pedestrians.render import draw_exposure, expose
from vireid.synthetic.vehicles.body import solids_of
from vireid.synthetic.vehicles.roads import RoadCamera
from vireid.synthetic.vehicles.solids import Eye, Patch, Solid
from vireid.synthetic.vehicles.vehicle import Vehicle

VIEWPOINTS = (  # by eighths of a turn
    "front",
    "front left",
    "left",
    "rear left",
    "rear",
    "rear right",
    "right",
    "front right",
)
SUPERSAMPLING = 3
SKY = (0.62, 0.7, 0.8)
HIDDEN = ("none", "post", "rail", "leaves")
MIDDLE = 0.8  # height that the camera looks at, metres


_solids_of = lru_cache(maxsize=64)(solids_of)  # a vehicle is the same in all of its pictures


@dataclass(frozen=True, slots=True)
class VehicleView:
    """How one picture was taken; lengths as fractions of the picture's height."""

    azimuth: float  # radians, as of Eye
    elevation: float  # radians
    distance: float  # metres
    scale: float  # of the vehicle's longer side
    shift_x: float
    shift_y: float
    gain: tuple[float, float, float]
    lift: float
    steepness: float
    side_light: float
    window: tuple[float, float, float]  # left, top, size of the background window, in [0, 1]
    sharpness: float  # factor on the blur of the camera
    hidden_by: str
    hidden_at: float  # in [0, 1]
    grey: float  # of what hides it


def draw_vehicle_view(camera: RoadCamera, viewpoint: int, rng: np.random.Generator) -> VehicleView:
    """Draws a view from one of the eight sides, counted in eighths of a turn."""
    gain, lift, steepness = draw_exposure(camera, rng)
    return VehicleView(
        azimuth=float(viewpoint * pi / 4 + rng.normal(0.0, 0.13)),
        elevation=float(np.clip(camera.pitch + rng.normal(0.0, 0.04), 0.07, 0.6)),
        distance=float(rng.uniform(11.0, 22.0)),
        scale=float(np.clip(camera.scale * rng.normal(1.02, 0.05), 0.72, 1.04)),
        shift_x=float(rng.normal(0.0, 0.025)),
        shift_y=float(rng.normal(0.0, 0.025)),
        gain=gain,
        lift=lift,
        steepness=steepness,
        side_light=float(rng.uniform(-0.2, 0.2)),
        window=(float(rng.random()), float(rng.uniform(0.35, 1.0)), float(rng.uniform(0.55, 0.9))),
        sharpness=float(rng.uniform(0.7, 1.25)),
        hidden_by=str(rng.choice(HIDDEN, p=(0.85, 0.05, 0.05, 0.05))),
        hidden_at=float(rng.random()),
        grey=float(rng.uniform(0.15, 0.6)),
    )


@dataclass(frozen=True, slots=True)
class _Board:
    """Projects onto a picture of ``size`` (width, height): tangents → pixels."""

    eye: Eye
    zoom: float
    centre: tuple[float, float]
    size: tuple[int, int]

    def pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        seen = self.eye.project(points) * self.zoom
        return [(self.centre[0] + x, self.centre[1] - y) for x, y in seen.tolist()]


def _board(solids: list[Solid], view: VehicleView, size: tuple[int, int]) -> _Board:
    """Scaled so that the vehicle fills its share of the picture."""
    target = np.array([0.0, 0.0, MIDDLE])
    eye = Eye(view.azimuth, view.elevation, view.distance, target)
    corners = np.concatenate([patch.corners for solid in solids for patch in solid.patches])
    seen = eye.project(corners)
    low, high = seen.min(axis=0), seen.max(axis=0)
    zoom = float(view.scale * min(size[0] / (high[0] - low[0]), size[1] / (high[1] - low[1])))
    middle = (low + high) / 2
    x = size[0] * (0.5 + view.shift_x) - zoom * middle[0]
    y = size[1] * (0.5 + view.shift_y) + zoom * middle[1]
    return _Board(eye, zoom, (float(x), float(y)), size)


def _sun(camera: RoadCamera, azimuth: float) -> np.ndarray:
    """(3,) direction to the sun in the vehicle's axes."""
    turn, flat = azimuth + camera.sun_turn, np.cos(camera.sun_height)
    return np.array([flat * np.cos(turn), flat * np.sin(turn), np.sin(camera.sun_height)])


def _colour(patch: Patch, camera: RoadCamera, sun: np.ndarray) -> tuple[int, ...]:
    upwards = float(patch.normal[2])
    light = camera.ambient * (0.8 + 0.2 * upwards)
    light += (1 - camera.ambient) * 1.15 * max(0.0, float(patch.normal @ sun))
    sky = 0.45 * patch.shine * max(0.0, 0.15 + 0.85 * upwards)
    shown = []
    for own, above in zip(patch.colour, SKY, strict=True):
        value = own * light * (1 - sky) + sky * above * camera.ambient
        if patch.lamp and camera.lamps:
            value = 0.35 * value + 1.6 * own
        shown.append(int(min(max(value, 0.0), 1.0) * 235 + 10))
    return tuple(shown)


def _paint(
    picture: Image.Image, solids: list[Solid], board: _Board, camera: RoadCamera, sun: np.ndarray
) -> None:
    draw, eye = ImageDraw.Draw(picture), board.eye
    for solid in sorted(solids, key=lambda one: (one.level, -eye.away(one.unit))):
        for patch in solid.patches:
            if eye.sees(patch):
                draw.polygon(board.pixels(patch.corners), fill=_colour(patch, camera, sun))


def _cast_shadow(
    picture: Image.Image, vehicle: Vehicle, board: _Board, camera: RoadCamera, sun: np.ndarray
) -> None:
    """On the road, away from the sun."""
    shape = vehicle.model.shape
    mask = Image.new("L", picture.size, 0)
    draw = ImageDraw.Draw(mask)
    reach = min(shape.height / max(np.tan(camera.sun_height), 0.5), 1.4)
    x, y = 0.5 * shape.length, 0.5 * shape.width
    for share, dark in ((0.0, 170), (0.5, 105)):
        move = -share * reach * sun[:2] / max(float(np.linalg.norm(sun[:2])), 1e-6)
        corners = np.array([[x, y, 0], [x, -y, 0], [-x, -y, 0], [-x, y, 0]], dtype=float)
        corners[:, :2] += move
        draw.polygon(board.pixels(corners), fill=dark)
    soft = mask.filter(ImageFilter.BoxBlur(picture.size[0] // 60))
    picture.paste((14, 14, 16), mask=soft)


def _hide(picture: Image.Image, view: VehicleView) -> None:
    """Something between the camera and the vehicle."""
    draw, (width, height), at = ImageDraw.Draw(picture), picture.size, view.hidden_at
    grey = round(255 * view.grey)
    if view.hidden_by == "post":
        x = width * (0.1 + 0.8 * at)
        draw.rectangle((x, 0, x + 0.07 * width, height), fill=(grey, grey, grey))
    elif view.hidden_by == "rail":
        y = height * (0.68 + 0.2 * at)
        draw.rectangle((0, y, width, y + 0.06 * height), fill=(grey, grey, grey))
    elif view.hidden_by == "leaves":
        x, size = width * at, 0.28 * width
        green = (grey // 2, 40 + grey // 2, grey // 3)
        for turn in range(7):
            left = x + size * (0.5 * np.cos(2.4 * turn) - 0.5)
            top = size * (0.35 * np.sin(2.4 * turn) - 0.5)
            draw.ellipse((left, top, left + 0.8 * size, top + 0.8 * size), fill=green)


def _background(camera: RoadCamera, view: VehicleView, size: tuple[int, int]) -> Image.Image:
    left, top, extent = view.window
    height = SCENE_HEIGHT * extent
    width = min(height * size[0] / size[1], SCENE_WIDTH)
    x, y = left * (SCENE_WIDTH - width), top * (SCENE_HEIGHT - height)
    return Image.fromarray(camera.scene).resize(
        size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height)
    )


def render_vehicle(
    vehicle: Vehicle | None,
    camera: RoadCamera,
    view: VehicleView,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Renders one picture.

    Args:
        vehicle: None leaves the road empty, as a control needs it.
        size: (height, width) in pixels; shapes keep their proportions whatever it is.
        rng: uneven light and sensor noise only; all else is in ``view``.
    Returns:
        (height, width, 3) uint8.
    """
    big = (size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING)
    picture = _background(camera, view, big)
    if vehicle is not None:
        solids = _solids_of(vehicle)
        board, sun = _board(solids, view, big), _sun(camera, view.azimuth)
        _cast_shadow(picture, vehicle, board, camera, sun)
        _paint(picture, solids, board, camera, sun)
        _hide(picture, view)
    loss = max(camera.blur * view.sharpness * size[0] / 256, 1.0)
    small = (max(round(size[1] / loss), 16), max(round(size[0] / loss), 16))
    picture = picture.resize(small, Image.Resampling.BOX)
    picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return expose(picture, camera, view, rng)
