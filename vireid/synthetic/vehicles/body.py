"""A vehicle as solids: body, windows' part, load, wheels, and what stands on the roof."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vireid.synthetic.pedestrians.surfaces import Rgb
from vireid.synthetic.vehicles.details import (
    DARK,
    paint_bed,
    paint_front,
    paint_glass,
    paint_hood,
    paint_load,
    paint_rear,
    paint_side,
    paint_side_windows,
    paint_windscreen,
)
from vireid.synthetic.vehicles.roof import cuboid, roof_solids
from vireid.synthetic.vehicles.shape import Shape
from vireid.synthetic.vehicles.solids import Solid
from vireid.synthetic.vehicles.vehicle import Vehicle
from vireid.synthetic.vehicles.wheels import paint_wheel, tyre_solid

GROUND, BODY = range(2)  # levels
Ring = tuple[float, float, float]  # share of the length, height, width over the body's
LOAD = (0.3, 1.0)  # of a truck, as shares of its length
LOAD_HEIGHT = 1.28  # over the cab's


def solids_of(vehicle: Vehicle) -> list[Solid]:
    """All of a vehicle."""
    model = vehicle.model
    wheels = [
        tyre_solid(model.shape, share, side) for share in model.shape.axles for side in (1, -1)
    ]
    solids = [*wheels, lower_body(vehicle), cabin(vehicle)]
    if model.kind == "truck":
        solids += load(vehicle)
    solids += mirrors(vehicle)
    return solids + roof_solids(vehicle, level=BODY, unit=_cab(model.shape))


def _points(shape: Shape, ring: Ring) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Left and right end of a line across the body."""
    share, z, width = ring
    y = shape.width * width / 2
    return (shape.x(share), y, z), (shape.x(share), -y, z)


def _hull(
    shape: Shape,
    rings: Sequence[Ring],
    colour: Rgb,
    *,
    level: int = BODY,
    unit: np.ndarray | None = None,
) -> tuple[Solid, list]:
    """A solid through lines across the body, and its quads between following ones.

    Quads begin at the left end of their first line.
    """
    ends = [_points(shape, ring) for ring in rings]
    inside = np.mean([point for pair in ends for point in pair], axis=0)
    solid = Solid(level, inside, inside if unit is None else unit)
    quads = []
    for (left, right), (next_left, next_right) in pairwise(ends):
        quads.append((left, right, next_right, next_left))
        solid.add(quads[-1], colour, shine=0.5)
    for side in (0, 1):
        solid.add([pair[side] for pair in ends], colour, shine=0.2)
    return solid, quads


def _cab(shape: Shape) -> np.ndarray:
    """Middle of all that is not a truck's load."""
    return np.array([shape.x(0.5 * shape.end), 0.0, 0.5 * shape.height])


def lower_body(vehicle: Vehicle) -> Solid:
    """Everything below the windows."""
    shape = vehicle.model.shape
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
    paint_hood(solid, vehicle, quads[2])
    if vehicle.model.kind == "pickup":
        paint_bed(solid, vehicle, quads[4])
    paint_front(solid, vehicle, front)
    if vehicle.model.kind != "truck":
        paint_rear(solid, vehicle, back)
    for side in (1, -1):
        paint_side(solid, vehicle, side)
        for share in shape.axles:
            if share < shape.end:
                paint_wheel(solid, vehicle, share, side)
    return solid


def cabin(vehicle: Vehicle) -> Solid:
    """Windows and roof."""
    shape = vehicle.model.shape
    rings: list[Ring] = [
        (shape.hood, shape.belt, 0.98),
        (shape.front, shape.height, shape.tumble),
        (shape.rear, shape.height, shape.tumble),
        (shape.boot, shape.belt, 0.98),
    ]
    solid, quads = _hull(shape, rings, vehicle.colour, unit=_cab(shape))
    paint_windscreen(solid, vehicle, quads[0])
    if vehicle.model.kind not in ("truck",) and not vehicle.model.closed_sides:
        paint_glass(solid, vehicle, quads[2])
    for side in (1, -1):
        paint_side_windows(solid, vehicle, side)
    return solid


def load(vehicle: Vehicle) -> list[Solid]:
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
    back = (quads[2][3], quads[2][2], quads[2][1], quads[2][0])
    paint_rear(chassis, vehicle, back)
    for side in (1, -1):
        paint_wheel(chassis, vehicle, shape.axles[1], side, width=0.98)
    box: list[Ring] = [(start, floor, 1.0), (start, top, 1.0), (end, top, 1.0), (end, floor, 1.0)]
    solid, faces = _hull(shape, box, (0.82, 0.82, 0.8))
    paint_load(solid, vehicle, faces[2], (start, end), (floor, top))
    return [chassis, solid]


def mirrors(vehicle: Vehicle) -> list[Solid]:
    """A small box at the foot of the windscreen on either side."""
    shape = vehicle.model.shape
    colour = {"body": vehicle.colour, "black": DARK, "chrome": (0.85, 0.86, 0.88)}[vehicle.mirror]
    big = 1.6 if vehicle.model.kind in ("truck", "bus") else 1.0
    middle = 0.5 * (shape.hood + shape.front) + 0.02
    x, y, z = shape.x(middle), shape.width / 2 + 0.08, shape.belt + 0.1 * big
    solids = []
    for side in (1, -1):
        low = np.array([x - 0.09, side * (y - 0.1), z - 0.07 * big])
        high = np.array([x + 0.09, side * (y + 0.1), z + 0.09 * big])
        low, high = np.minimum(low, high), np.maximum(low, high)
        # A unit of its own: the body hides the one on its far side.
        solids.append(cuboid(low, high, colour, level=BODY, unit=(low + high) / 2))
    return solids
