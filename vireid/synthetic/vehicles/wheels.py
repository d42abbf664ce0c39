"""Wheels: dark cylinders under the body, and what their outer side shows."""

from math import cos, pi, sin

import numpy as np

from vireid.synthetic.vehicles.shape import Shape
from vireid.synthetic.vehicles.solids import Solid
from vireid.synthetic.vehicles.vehicle import Vehicle

TYRE = (0.06, 0.06, 0.065)
ARCH = (0.03, 0.03, 0.03)
CORNERS = 20  # of what stands for a circle


def _circle(x: float, y: float, z: float, radius: float) -> list[tuple[float, float, float]]:
    turns = [2 * pi * k / CORNERS for k in range(CORNERS)]
    return [(x + radius * cos(turn), y, z + radius * sin(turn)) for turn in turns]


def tyre_solid(shape: Shape, share: float, side: int) -> Solid:
    """A wheel as it is seen below the body, from in front or behind."""
    x, radius = shape.x(share), shape.wheel
    outer, inner = side * (shape.width / 2 - 0.04), side * (shape.width / 2 - 0.26)
    middle = np.array([x, (outer + inner) / 2, radius])
    solid = Solid(0, middle, middle)
    ends = [_circle(x, y, radius, radius) for y in (inner, outer)]
    for k in range(CORNERS):
        following = (k + 1) % CORNERS
        solid.add((ends[0][k], ends[1][k], ends[1][following], ends[0][following]), TYRE)
    for end in ends:
        solid.add(end, TYRE)
    return solid


def paint_wheel(
    solid: Solid, vehicle: Vehicle, share: float, side: int, *, width: float = 1.0
) -> None:
    """Arch, tyre and rim on the side of a body.

    Args:
        width: of the body there over its usual one.
    """
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
        polar = [(r * radius, middle + turn) for r in (0.2, 0.58) for turn in (-half, half)]
        order = [polar[0], polar[2], polar[3], polar[1]]
        solid.add([(x + r * cos(turn), y, radius + r * sin(turn)) for r, turn in order], gap)
    if not vehicle.spokes:
        solid.add(_circle(x, y, radius, 0.3 * radius), gap)
