"""What is painted on a body's faces: lamps, windows, plates, and an identity's own marks.

Quads begin at the vehicle's left: u runs to its right, v upwards (or backwards on top).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid.synthetic.pedestrians.surfaces import Rgb
from vireid.synthetic.vehicles.solids import Solid, at, part
from vireid.synthetic.vehicles.vehicle import Vehicle

DARK: Rgb = (0.09, 0.09, 0.1)
CHROME: Rgb = (0.82, 0.83, 0.85)
LIT: Rgb = (0.95, 0.95, 0.88)
RED: Rgb = (0.72, 0.06, 0.06)
AMBER: Rgb = (0.9, 0.5, 0.1)
Quad = Sequence[Sequence[float]]
Span = tuple[float, float]


def _both(
    solid: Solid, quad: Quad, u: Span, v: Span, colour: Rgb, shine: float = 0.0, lamp: bool = False
) -> None:
    """A piece on the left and its mirror image on the right."""
    solid.add(part(quad, u, v), colour, shine=shine, lamp=lamp)
    solid.add(part(quad, (1 - u[1], 1 - u[0]), v), colour, shine=shine, lamp=lamp)


def _round(
    solid: Solid,
    quad: Quad,
    centre: Span,
    radius: Span,
    colour: Rgb,
    shine: float = 0.0,
    lamp: bool = False,
) -> None:
    turns = np.linspace(0, 2 * np.pi, 13)[:-1]
    for u in (centre[0], 1 - centre[0]):
        points = [
            at(quad, u + radius[0] * np.cos(t), centre[1] + radius[1] * np.sin(t)) for t in turns
        ]
        solid.add(points, colour, shine=shine, lamp=lamp)


def paint_front(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """Grille, headlamps, bumper and plate."""
    bumper = DARK if vehicle.dark_bumpers else vehicle.colour
    solid.add(part(quad, (0.0, 1.0), (0.0, 0.38)), bumper, shine=0.1)
    solid.add(part(quad, (0.18, 0.82), (0.1, 0.26)), (0.04, 0.04, 0.05))
    grille = vehicle.model.grille
    if grille == "bars":
        solid.add(part(quad, (0.3, 0.7), (0.52, 0.86)), (0.05, 0.05, 0.06))
        for v in (0.58, 0.68, 0.78):
            solid.add(part(quad, (0.3, 0.7), (v, v + 0.04)), CHROME)
    elif grille == "mesh":
        solid.add(part(quad, (0.28, 0.72), (0.42, 0.88)), CHROME)
        solid.add(part(quad, (0.31, 0.69), (0.46, 0.84)), (0.05, 0.05, 0.06))
    elif grille == "split":
        _both(solid, quad, (0.33, 0.48), (0.5, 0.86), (0.05, 0.05, 0.06))
    _headlamps(solid, vehicle, quad)
    _plate(solid, vehicle, quad, (0.24, 0.42))


def _headlamps(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    style = vehicle.model.headlights
    if style == "round":
        _round(solid, quad, (0.14, 0.7), (0.1, 0.17), CHROME)
        _round(solid, quad, (0.14, 0.7), (0.075, 0.13), LIT, lamp=True)
    elif style == "slim":
        _both(solid, quad, (0.02, 0.3), (0.7, 0.86), LIT, lamp=True)
    elif style == "tall":
        _both(solid, quad, (0.02, 0.2), (0.48, 0.92), LIT, lamp=True)
        _both(solid, quad, (0.03, 0.09), (0.52, 0.64), AMBER)
    else:
        _both(solid, quad, (0.02, 0.26), (0.76, 0.9), LIT, lamp=True)
        _both(solid, quad, (0.04, 0.2), (0.46, 0.62), LIT, lamp=True)


def paint_rear(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """Rear lamps, bumper, plate and a sticker on the lid."""
    bumper = DARK if vehicle.dark_bumpers else vehicle.colour
    solid.add(part(quad, (0.0, 1.0), (0.0, 0.32)), bumper, shine=0.1)
    solid.add(part(quad, (0.0, 1.0), (0.33, 0.36)), DARK)
    style = vehicle.model.taillights
    if style == "tall":
        _both(solid, quad, (0.01, 0.13), (0.42, 0.98), RED, lamp=True)
        _both(solid, quad, (0.02, 0.12), (0.6, 0.7), (0.9, 0.85, 0.8))
    elif style == "wide":
        _both(solid, quad, (0.01, 0.3), (0.7, 0.92), RED, lamp=True)
    elif style == "bar":
        solid.add(part(quad, (0.02, 0.98), (0.76, 0.9)), RED, lamp=True)
    else:
        _round(solid, quad, (0.12, 0.74), (0.08, 0.15), RED, lamp=True)
        _round(solid, quad, (0.27, 0.74), (0.06, 0.12), RED, lamp=True)
    _plate(solid, vehicle, quad, (0.44, 0.62))
    if vehicle.rear_sticker == 3:
        solid.add(part(quad, (0.68, 0.84), (0.44, 0.62)), vehicle.second)


def _plate(solid: Solid, vehicle: Vehicle, quad: Quad, v: Span) -> None:
    solid.add(part(quad, (0.38, 0.62), v), vehicle.plate)
    ink = (0.95, 0.95, 0.95) if sum(vehicle.plate) < 1.4 else (0.05, 0.05, 0.05)
    low, high = v[0] + 0.25 * (v[1] - v[0]), v[1] - 0.25 * (v[1] - v[0])
    for k, width in enumerate(vehicle.glyphs):
        u = 0.395 + 0.035 * k
        solid.add(part(quad, (u, u + 0.026 * width), (low, high)), ink)


def paint_hood(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """Stripes, and the gap before the windscreen."""
    if vehicle.hood == "one_stripe":
        solid.add(part(quad, (0.4, 0.6), (0.0, 1.0)), vehicle.accent, shine=0.3)
    elif vehicle.hood == "two_stripes":
        _both(solid, quad, (0.32, 0.44), (0.0, 1.0), vehicle.accent, shine=0.3)
    if vehicle.model.shape.hood > 0.1:
        solid.add(part(quad, (0.04, 0.96), (0.93, 1.0)), DARK)
        _both(solid, quad, (0.17, 0.18), (0.0, 0.93), DARK)


def paint_bed(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """The open bed of a pickup, on the quad behind its cabin and the one to its end."""
    shape = vehicle.model.shape
    y, z = 0.42 * shape.width, shape.belt
    front, back = shape.x(shape.boot + 0.01), shape.x(0.975)
    solid.add([(front, y, z), (front, -y, z), (back, -y, z), (back, y, z)], (0.05, 0.05, 0.05))
    if vehicle.rear_sticker:  # something lies in it
        low, high = shape.x(0.78), shape.x(0.9)
        solid.add([(low, 0.3, z), (low, -0.3, z), (high, -0.3, z), (high, 0.3, z)], vehicle.second)


def _glass(vehicle: Vehicle) -> Rgb:
    return (0.8 * vehicle.glass, 0.95 * vehicle.glass, vehicle.glass)


def paint_windscreen(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """The glass and what sticks to it or lies behind it."""
    solid.add(part(quad, (0.06, 0.94), (0.06, 0.93)), _glass(vehicle), shine=0.9)
    places = ((0.12, 0.74), (0.2, 0.74), (0.12, 0.55), (0.74, 0.74))
    for (u, v), there in zip(places, vehicle.stickers, strict=True):
        if there:
            colour = vehicle.second if u > 0.5 else (0.9, 0.92, 0.85)
            solid.add(part(quad, (u, u + 0.065), (v, v + 0.13)), colour)
    if vehicle.on_dashboard:
        solid.add(part(quad, (0.42, 0.6), (0.08, 0.24)), vehicle.second)


def paint_glass(solid: Solid, vehicle: Vehicle, quad: Quad) -> None:
    """The rear window; its quad runs downwards."""
    solid.add(part(quad, (0.08, 0.92), (0.1, 0.86)), _glass(vehicle), shine=0.9)
    if vehicle.rear_sticker in (1, 2):
        u = 0.14 if vehicle.rear_sticker == 1 else 0.7
        solid.add(part(quad, (u, u + 0.16), (0.52, 0.82)), vehicle.second)


def paint_side_windows(solid: Solid, vehicle: Vehicle, side: int) -> None:
    """Panes between the pillars; a closed van has one for the driver."""
    shape = vehicle.model.shape

    def point(share: float, t: float) -> tuple[float, float, float]:
        z = shape.belt + t * (shape.height - shape.belt)
        return shape.x(share), side * shape.half_width(z), z

    def edge(foot: float, top: float, inset: float) -> tuple[float, float]:
        return foot + (top - foot) * 0.08 + inset, foot + (top - foot) * 0.86 + inset

    gap = 0.05 / shape.length
    edges = [edge(shape.hood, shape.front, 0.03)]
    for pillar in shape.pillars:
        edges += [(pillar - gap, pillar - gap), (pillar + gap, pillar + gap)]
    edges.append(edge(shape.boot, shape.rear, -0.025))
    panes = list(zip(edges[::2], edges[1::2], strict=True))
    for (low, high), (far_low, far_high) in panes[:1] if vehicle.model.closed_sides else panes:
        if far_low > low and far_high > high:
            corners = [point(low, 0.08), point(far_low, 0.08), point(far_high, 0.86)]
            solid.add([*corners, point(high, 0.86)], _glass(vehicle), shine=0.4)


@dataclass(frozen=True, slots=True)
class _Wall:
    """An upright side of a body, painted in shares of its length and of its height.

    Args:
        y: where it stands, to the vehicle's left.
        ends: x of its front and of its rear end.
        heights: of its lower and of its upper edge.
    """

    solid: Solid
    y: float
    ends: Span
    heights: Span

    def band(self, along: Span, up: Span, colour: Rgb) -> None:
        """A rectangle, from the front and from below."""
        x = [self.ends[0] + share * (self.ends[1] - self.ends[0]) for share in along]
        z = [self.heights[0] + share * (self.heights[1] - self.heights[0]) for share in up]
        corners = [(x[0], z[0]), (x[1], z[0]), (x[1], z[1]), (x[0], z[1])]
        self.solid.add([(a, self.y, b) for a, b in corners], colour)


def paint_side(solid: Solid, vehicle: Vehicle, side: int) -> None:
    """Lamps that reach round the corner, doors, handles, sill, and what is painted on."""
    shape = vehicle.model.shape
    ends, heights = (shape.x(0.0), shape.x(shape.end)), (shape.base, shape.belt)
    wall = _Wall(solid, side * shape.width / 2, ends, heights)
    _marks(wall, vehicle)
    wall.band((0.02, 0.985), (0.0, 0.1), DARK)
    if vehicle.dark_bumpers:
        wall.band((0.0, 0.07), (0.0, 0.35), DARK)
        wall.band((0.93, 1.0), (0.0, 0.35), DARK)
    wall.band((0.0, 0.045), (0.5, 0.68), LIT)
    if shape.end == 1.0:
        wall.band((0.965, 1.0), (0.6, 0.88), RED)
    red, green, blue = vehicle.colour
    handle = CHROME if vehicle.handles else (0.55 * red, 0.55 * green, 0.55 * blue)
    metre = 1 / (shape.length * shape.end)
    for number, door in enumerate((shape.hood + 0.05, *shape.pillars[:2])):
        share = door / shape.end
        wall.band((share, share + 0.02 * metre), (0.12, 1.0), DARK)
        if number:
            wall.band((share - 0.28 * metre, share - 0.12 * metre), (0.74, 0.8), handle)


def _marks(wall: _Wall, vehicle: Vehicle) -> None:
    if vehicle.side == "low_stripe":
        wall.band((0.02, 0.98), (0.2, 0.32), vehicle.accent)
    elif vehicle.side == "belt_stripe":
        wall.band((0.1, 0.97), (0.82, 0.92), vehicle.accent)
    elif vehicle.side == "two_tone":
        wall.band((0.01, 0.99), (0.0, 0.45), vehicle.accent)
    elif vehicle.side == "logo":
        wall.band((0.4, 0.56), (0.3, 0.75), vehicle.accent)
        wall.band((0.44, 0.52), (0.42, 0.62), vehicle.second)
    elif vehicle.side == "panel":
        wall.band((0.62, 0.7), (0.35, 0.7), vehicle.accent)


def paint_load(solid: Solid, vehicle: Vehicle, back: Quad, shares: Span, heights: Span) -> None:
    """Doors of a truck's box, and a firm's colours on its sides."""
    shape = vehicle.model.shape
    solid.add(part(back, (0.49, 0.51), (0.02, 0.98)), DARK)
    for side in (1, -1):
        ends = shape.x(shares[0]), shape.x(shares[1])
        wall = _Wall(solid, side * shape.width / 2, ends, heights)
        wall.band((0.0, 1.0), (0.0, 0.05), DARK)
        if vehicle.side in ("low_stripe", "belt_stripe"):
            start = 0.15 if vehicle.side == "low_stripe" else 0.7
            wall.band((0.03, 0.97), (start, start + 0.14), vehicle.accent)
        elif vehicle.side in ("logo", "panel"):
            wall.band((0.2, 0.6), (0.35, 0.75), vehicle.accent)
            wall.band((0.3, 0.5), (0.45, 0.65), vehicle.second)
        elif vehicle.side == "two_tone":
            wall.band((0.0, 1.0), (0.05, 0.45), vehicle.accent)
