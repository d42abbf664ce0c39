"""A vehicle as solids: wheels, body, cabin, a truck's load, mirrors, and what is on the roof."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import cos, pi, sin

import numpy as np

from vireid.synthetic.surfaces import Rgb
from vireid.synthetic.vehicles import details
from vireid.synthetic.vehicles.details import DARK, Face
from vireid.synthetic.vehicles.solids import Solid
from vireid.synthetic.vehicles.vehicle import BodyShape, Vehicle

Point3 = tuple[float, float, float]
Ring = tuple[float, float, float]  # share of the length, height in metres, width over the body's

GROUND, BODY = range(2)  # levels
LOAD = (0.3, 1.0)  # of a truck, as shares of its length
LOAD_HEIGHT = 1.28  # over the cab's
METAL: Rgb = (0.3, 0.3, 0.32)
TYRE: Rgb = (0.06, 0.06, 0.065)
ARCH: Rgb = (0.03, 0.03, 0.03)
CIRCLE_CORNERS = 20


@lru_cache(maxsize=64)  # a vehicle is the same in all of its pictures
def solids_of(vehicle: Vehicle) -> list[Solid]:
    """All of a vehicle."""
    shape = vehicle.model.shape
    wheels = [_tyre(shape, share, side) for share in shape.axles for side in (1, -1)]
    solids = [*wheels, _lower_body(vehicle), _cabin(vehicle)]
    if vehicle.model.kind == "truck":
        solids += _load(vehicle)
    return [*solids, *_mirrors(vehicle), *_roof(vehicle)]


def _hull(
    shape: BodyShape,
    rings: Sequence[Ring],
    colour: Rgb,
    *,
    level: int = BODY,
    unit: np.ndarray | None = None,
) -> tuple[Solid, list[tuple[Point3, Point3, Point3, Point3]]]:
    """A solid through lines across the body, and its quads between following ones.

    Quads begin at the left end of their first line.
    """
    ends = []  # left and right
    for share, z, width in rings:
        y = shape.width * width / 2
        ends.append(((shape.x(share), y, z), (shape.x(share), -y, z)))
    inside = np.mean([point for pair in ends for point in pair], axis=0)
    solid = Solid(level, inside, inside if unit is None else unit)
    quads = []
    for (left, right), (next_left, next_right) in pairwise(ends):
        quads.append((left, right, next_right, next_left))
        solid.add(quads[-1], colour, shine=0.5)
    for side in (0, 1):
        solid.add([pair[side] for pair in ends], colour, shine=0.2)
    return solid, quads


def _cab(shape: BodyShape) -> np.ndarray:
    """Middle of all that is not a truck's load."""
    return np.array([shape.x(0.5 * shape.end), 0.0, 0.5 * shape.height])


def _lower_body(vehicle: Vehicle) -> Solid:
    """Everything below the windows."""
    shape, kind = vehicle.model.shape, vehicle.model.kind
    rings: list[Ring] = [
        (0.0, shape.base, 0.9),
        (-0.008, 0.5 * (shape.base + shape.nose), 0.94),
        (0.004, shape.nose, 0.92),
        (shape.hood, shape.belt, 1.0),
        (min(shape.boot, shape.end), shape.belt, 1.0),
        (shape.end - 0.004, shape.tail, 0.95),
        (shape.end + 0.006, 0.55 * (shape.base + shape.tail), 0.96),
        (shape.end, shape.base, 0.93),
    ]
    solid, quads = _hull(shape, rings, vehicle.colour, unit=_cab(shape))
    front = (quads[0][0], quads[0][1], quads[1][2], quads[1][3])
    back = (quads[6][3], quads[6][2], quads[5][1], quads[5][0])
    details.paint_hood(Face(solid, quads[2]), vehicle)
    if kind == "pickup":
        details.paint_bed(solid, vehicle)
    details.paint_front(Face(solid, front), vehicle)
    if kind != "truck":
        details.paint_rear(Face(solid, back), vehicle)
    for side in (1, -1):
        details.paint_side(solid, vehicle, side)
        for share in shape.axles:
            if share < shape.end:
                _paint_wheel(solid, vehicle, share, side)
    return solid


def _cabin(vehicle: Vehicle) -> Solid:
    """Windows and roof."""
    shape = vehicle.model.shape
    rings: list[Ring] = [
        (shape.hood, shape.belt, 0.98),
        (shape.front, shape.height, shape.tumble),
        (shape.rear, shape.height, shape.tumble),
        (shape.boot, shape.belt, 0.98),
    ]
    solid, quads = _hull(shape, rings, vehicle.colour, unit=_cab(shape))
    details.paint_windscreen(Face(solid, quads[0]), vehicle)
    if vehicle.model.kind != "truck" and not vehicle.model.closed_sides:
        details.paint_rear_window(Face(solid, quads[2]), vehicle)
    for side in (1, -1):
        details.paint_side_windows(solid, vehicle, side)
    return solid


def _load(vehicle: Vehicle) -> list[Solid]:
    """A truck's chassis and box; the rear lights are on the chassis."""
    shape = vehicle.model.shape
    start, end = LOAD
    floor, top = shape.base + 0.45, shape.height * LOAD_HEIGHT
    rings: list[Ring] = [
        (shape.end, shape.base + 0.1, 0.8),
        (shape.end, floor, 0.8),
        (end, floor, 0.9),
        (end, shape.base, 0.9),
    ]
    chassis, quads = _hull(shape, rings, DARK, level=GROUND)
    details.paint_rear(Face(chassis, quads[2][::-1]), vehicle)
    for side in (1, -1):
        _paint_wheel(chassis, vehicle, shape.axles[1], side, width=0.98)
    box: list[Ring] = [(start, floor, 1.0), (start, top, 1.0), (end, top, 1.0), (end, floor, 1.0)]
    solid, faces = _hull(shape, box, (0.82, 0.82, 0.8))
    details.paint_load(solid, vehicle, faces[2], (shape.x(start), shape.x(end)), (floor, top))
    return [chassis, solid]


def _mirrors(vehicle: Vehicle) -> list[Solid]:
    """A small box at the foot of the windscreen on either side."""
    shape = vehicle.model.shape
    colour = {"body": vehicle.colour, "black": DARK, "chrome": (0.85, 0.86, 0.88)}[vehicle.mirror]
    big = 1.6 if vehicle.model.kind in ("truck", "bus") else 1.0
    x = shape.x(0.5 * (shape.hood + shape.front) + 0.02)
    y, z = shape.width / 2 + 0.08, shape.belt + 0.1 * big
    solids = []
    for side in (1, -1):
        low = np.array([x - 0.09, side * (y - 0.1), z - 0.07 * big])
        high = np.array([x + 0.09, side * (y + 0.1), z + 0.09 * big])
        low, high = np.minimum(low, high), np.maximum(low, high)
        # A unit for each mirror: the body hides the one on its far side.
        solids.append(_cuboid(low, high, colour, unit=(low + high) / 2))
    return solids


def _roof(vehicle: Vehicle) -> list[Solid]:
    """Solids on the roof and a spoiler: visible from every side, unlike most other details."""
    shape, kind = vehicle.model.shape, vehicle.model.kind
    front, back = shape.x(shape.front), shape.x(shape.rear)
    half, z, length = shape.tumble * shape.width / 2, shape.height, front - back
    unit = _cab(shape)
    solids: list[Solid] = []

    def box(low: Point3, high: Point3, colour: Rgb) -> None:
        solids.append(_cuboid(np.array(low), np.array(high), colour, unit=unit))

    first, last = back + 0.12 * length, front - 0.12 * length
    if vehicle.roof in ("rails", "rack"):
        for side in (1, -1):
            y = side * (half - 0.09)
            box((first, y - 0.03, z + 0.02), (last, y + 0.03, z + 0.1), METAL)
    if vehicle.roof == "rack":
        for share in (0.25, 0.7):
            x = back + share * length
            box((x - 0.05, -half, z + 0.1), (x + 0.05, half, z + 0.16), METAL)
    elif vehicle.roof == "box":
        middle, extent = 0.5 * (front + back), min(0.4 * length, 0.9)
        low, high = (middle - extent, -0.36, z + 0.04), (middle + extent, 0.3, z + 0.34)
        box(low, high, vehicle.accent)
    elif vehicle.roof == "sign":
        x = back + 0.62 * length
        box((x - 0.1, -0.3, z), (x + 0.1, 0.3, z + 0.2), (0.95, 0.85, 0.3))
    elif vehicle.roof == "sunroof":
        y, top = 0.72 * half, z + 0.005
        start, end = back + 0.45 * length, back + 0.88 * length
        solid = Solid(BODY, np.array([(front + back) / 2, 0.0, top - 1.0]), unit)
        corners = [(start, y, top), (start, -y, top), (end, -y, top), (end, y, top)]
        solid.add(corners, (0.06, 0.07, 0.09), shine=0.25)
        solids.append(solid)
    if vehicle.spoiler and kind == "sedan":
        x, y, z = shape.x(0.95), 0.42 * shape.width, shape.tail + 0.1
        box((x - 0.2, -y, z), (x + 0.08, y, z + 0.06), vehicle.colour)
    elif vehicle.spoiler and kind not in ("truck", "bus", "pickup"):
        box((back - 0.2, -half, z), (back + 0.08, half, z + 0.06), vehicle.colour)
    return solids


def _cuboid(low: np.ndarray, high: np.ndarray, colour: Rgb, *, unit: np.ndarray) -> Solid:
    """A box along the axes."""
    solid = Solid(BODY, (low + high) / 2, unit)
    for axis in range(3):
        first, second = (k for k in range(3) if k != axis)
        for end in (low, high):
            corners = np.tile(end, (4, 1))
            corners[:, first] = [low[first], high[first], high[first], low[first]]
            corners[:, second] = [low[second], low[second], high[second], high[second]]
            solid.add(corners.tolist(), colour, shine=0.3)
    return solid


def _circle(x: float, y: float, z: float, radius: float) -> list[Point3]:
    """Upright, along the vehicle."""
    turns = [2 * pi * k / CIRCLE_CORNERS for k in range(CIRCLE_CORNERS)]
    return [(x + radius * cos(turn), y, z + radius * sin(turn)) for turn in turns]


def _tyre(shape: BodyShape, share: float, side: int) -> Solid:
    """A wheel as it is seen below the body, from in front or behind."""
    x, radius = shape.x(share), shape.wheel
    outer, inner = side * (shape.width / 2 - 0.04), side * (shape.width / 2 - 0.26)
    middle = np.array([x, (outer + inner) / 2, radius])
    solid = Solid(GROUND, middle, middle)
    ends = [_circle(x, y, radius, radius) for y in (inner, outer)]
    for k in range(CIRCLE_CORNERS):
        following = (k + 1) % CIRCLE_CORNERS
        solid.add((ends[0][k], ends[1][k], ends[1][following], ends[0][following]), TYRE)
    for end in ends:
        solid.add(end, TYRE)
    return solid


def _paint_wheel(
    solid: Solid, vehicle: Vehicle, share: float, side: int, *, width: float = 1.0
) -> None:
    """Arch, tyre and rim on the side of a body; ``width``: of the body there over its usual one."""
    shape = vehicle.model.shape
    x, y, radius = shape.x(share), side * shape.width * width / 2, shape.wheel
    arch = [point for point in _circle(x, y, radius, 1.18 * radius) if point[2] > 0.5 * shape.base]
    solid.add(arch, ARCH)
    solid.add(_circle(x, y, radius, radius), TYRE)
    solid.add(_circle(x, y, radius, 0.68 * radius), vehicle.rim)
    red, green, blue = vehicle.rim
    gap = (0.35 * red, 0.35 * green, 0.35 * blue)
    for k in range(vehicle.spokes):  # dark gaps between the spokes
        middle, half = 2 * pi * (k + 0.5) / vehicle.spokes, 0.3 * 2 * pi / vehicle.spokes
        polar = [(0.2, -half), (0.58, -half), (0.58, half), (0.2, half)]
        corners = [(r * radius, middle + turn) for r, turn in polar]
        solid.add([(x + r * cos(turn), y, radius + r * sin(turn)) for r, turn in corners], gap)
    if not vehicle.spokes:
        solid.add(_circle(x, y, radius, 0.3 * radius), gap)
