"""What stands on the roof: seen from every side, unlike most of an identity's details."""

import numpy as np

from vireid.synthetic.pedestrians.surfaces import Rgb
from vireid.synthetic.vehicles.solids import Solid
from vireid.synthetic.vehicles.vehicle import Vehicle

METAL: Rgb = (0.3, 0.3, 0.32)


def roof_solids(vehicle: Vehicle, *, level: int, unit: np.ndarray) -> list[Solid]:
    """Solids on the roof, and a spoiler at its end."""
    shape = vehicle.model.shape
    front, back = shape.x(shape.front), shape.x(shape.rear)
    half, z = shape.tumble * shape.width / 2, shape.height
    made: list[Solid] = []

    def box(low: tuple[float, float, float], high: tuple[float, float, float], colour: Rgb) -> None:
        made.append(cuboid(np.array(low), np.array(high), colour, level=level, unit=unit))

    length = front - back
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
        middle = 0.5 * (front + back)
        reach = min(0.4 * length, 0.9)
        low, high = (middle - reach, -0.36, z + 0.04), (middle + reach, 0.3, z + 0.34)
        box(low, high, vehicle.accent)
    elif vehicle.roof == "sign":
        x = back + 0.62 * length
        box((x - 0.1, -0.3, z), (x + 0.1, 0.3, z + 0.2), (0.95, 0.85, 0.3))
    elif vehicle.roof == "sunroof":
        made.append(_sunroof(vehicle, back, front, half, level, unit))
    if vehicle.spoiler and vehicle.model.kind not in ("truck", "bus", "pickup"):
        x, height = (
            (back, z) if vehicle.model.kind != "sedan" else (shape.x(0.95), shape.tail + 0.1)
        )
        wide = half if vehicle.model.kind != "sedan" else 0.42 * shape.width
        box((x - 0.2, -wide, height), (x + 0.08, wide, height + 0.06), vehicle.colour)
    return made


def _sunroof(
    vehicle: Vehicle, back: float, front: float, half: float, level: int, unit: np.ndarray
) -> Solid:
    z = vehicle.model.shape.height + 0.005
    solid = Solid(level, np.array([(front + back) / 2, 0.0, z - 1.0]), unit)
    start, end = back + 0.45 * (front - back), back + 0.88 * (front - back)
    y = 0.72 * half
    glass = (0.06, 0.07, 0.09)
    solid.add([(start, y, z), (start, -y, z), (end, -y, z), (end, y, z)], glass, shine=0.25)
    return solid


def cuboid(
    low: np.ndarray, high: np.ndarray, colour: Rgb, *, level: int, unit: np.ndarray
) -> Solid:
    """A box along the axes."""
    solid = Solid(level, (low + high) / 2, unit)
    for axis in range(3):
        first, second = (k for k in range(3) if k != axis)
        for end in (low, high):
            corners = np.tile(end, (4, 1))
            corners[:, first] = [low[first], high[first], high[first], low[first]]
            corners[:, second] = [low[second], low[second], high[second], high[second]]
            solid.add(corners, colour, shine=0.3)
    return solid
