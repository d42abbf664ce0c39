"""What is painted on a body's faces: lamps, windows, plates, and the marks of one identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vireid.synthetic.surfaces import Rgb
from vireid.synthetic.vehicles.solids import Corners, Solid, point_on
from vireid.synthetic.vehicles.vehicle import Vehicle

DARK: Rgb = (0.09, 0.09, 0.1)
BLACK: Rgb = (0.05, 0.05, 0.06)
CHROME: Rgb = (0.82, 0.83, 0.85)
LIT: Rgb = (0.95, 0.95, 0.88)
RED: Rgb = (0.72, 0.06, 0.06)
AMBER: Rgb = (0.9, 0.5, 0.1)
Span = tuple[float, float]
HEADLIGHTS: dict[str, list[tuple[Span, Span, Rgb]]] = {  # u, v and colour on the left side
    "slim": [((0.02, 0.3), (0.7, 0.86), LIT)],
    "tall": [((0.02, 0.2), (0.48, 0.92), LIT), ((0.03, 0.09), (0.52, 0.64), AMBER)],
    "split": [((0.02, 0.26), (0.76, 0.9), LIT), ((0.04, 0.2), (0.46, 0.62), LIT)],
}
Mark = tuple[Span, Span]
SIDE_MARKS: dict[str, list[Mark]] = {
    "low_stripe": [((0.02, 0.98), (0.2, 0.32))],
    "belt_stripe": [((0.1, 0.97), (0.82, 0.92))],
    "two_tone": [((0.01, 0.99), (0.0, 0.45))],
    "logo": [((0.4, 0.56), (0.3, 0.75)), ((0.44, 0.52), (0.42, 0.62))],
    "panel": [((0.62, 0.7), (0.35, 0.7))],
}
_FIRM: list[Mark] = [((0.2, 0.6), (0.35, 0.75)), ((0.3, 0.5), (0.45, 0.65))]
LOAD_MARKS: dict[str, list[Mark]] = {  # on a truck's box
    "low_stripe": [((0.03, 0.97), (0.15, 0.15 + 0.14))],
    "belt_stripe": [((0.03, 0.97), (0.7, 0.7 + 0.14))],
    "two_tone": [((0.0, 1.0), (0.05, 0.45))],
    "logo": _FIRM,
    "panel": _FIRM,
}


@dataclass(frozen=True, slots=True)
class Face:
    """A quad of a solid, painted in shares of its width u and height v.

    The quad begins at the vehicle's left: u runs to its right, v upwards (or backwards on top).
    """

    solid: Solid
    quad: Corners

    def band(
        self,
        u: Span,
        v: Span,
        colour: Rgb,
        *,
        mirrored: bool = False,
        shine: float = 0.0,
        lamp: bool = False,
    ) -> None:
        """A rectangle; ``mirrored``: and its mirror image on the other side."""
        for low, high in (u, (1 - u[1], 1 - u[0]))[: 1 + mirrored]:
            corners = [(low, v[0]), (high, v[0]), (high, v[1]), (low, v[1])]
            points = [point_on(self.quad, *corner) for corner in corners]
            self.solid.add(points, colour, shine=shine, lamp=lamp)

    def discs(self, centre: Span, radius: Span, colour: Rgb, *, lamp: bool = False) -> None:
        """An ellipse and its mirror image."""
        turns = np.linspace(0, 2 * np.pi, 13)[:-1]
        for u in (centre[0], 1 - centre[0]):
            points = [
                point_on(self.quad, u + radius[0] * np.cos(t), centre[1] + radius[1] * np.sin(t))
                for t in turns
            ]
            self.solid.add(points, colour, lamp=lamp)


def paint_front(face: Face, vehicle: Vehicle) -> None:
    """Grille, headlamps, bumper and plate."""
    bumper = DARK if vehicle.dark_bumpers else vehicle.colour
    face.band((0.0, 1.0), (0.0, 0.38), bumper, shine=0.1)
    face.band((0.18, 0.82), (0.1, 0.26), (0.04, 0.04, 0.05))
    grille = vehicle.model.grille
    if grille == "bars":
        face.band((0.3, 0.7), (0.52, 0.86), BLACK)
        for v in (0.58, 0.68, 0.78):
            face.band((0.3, 0.7), (v, v + 0.04), CHROME)
    elif grille == "mesh":
        face.band((0.28, 0.72), (0.42, 0.88), CHROME)
        face.band((0.31, 0.69), (0.46, 0.84), BLACK)
    elif grille == "split":
        face.band((0.33, 0.48), (0.5, 0.86), BLACK, mirrored=True)
    if vehicle.model.headlights == "round":
        face.discs((0.14, 0.7), (0.1, 0.17), CHROME)
        face.discs((0.14, 0.7), (0.075, 0.13), LIT, lamp=True)
    for across, upwards, colour in HEADLIGHTS.get(vehicle.model.headlights, ()):
        face.band(across, upwards, colour, mirrored=True, lamp=colour == LIT)
    _paint_plate(face, vehicle, (0.24, 0.42))


def paint_rear(face: Face, vehicle: Vehicle) -> None:
    """Rear lamps, bumper, plate and a sticker on the lid."""
    bumper = DARK if vehicle.dark_bumpers else vehicle.colour
    face.band((0.0, 1.0), (0.0, 0.32), bumper, shine=0.1)
    face.band((0.0, 1.0), (0.33, 0.36), DARK)
    style = vehicle.model.taillights
    if style == "tall":
        face.band((0.01, 0.13), (0.42, 0.98), RED, mirrored=True, lamp=True)
        face.band((0.02, 0.12), (0.6, 0.7), (0.9, 0.85, 0.8), mirrored=True)
    elif style == "wide":
        face.band((0.01, 0.3), (0.7, 0.92), RED, mirrored=True, lamp=True)
    elif style == "bar":
        face.band((0.02, 0.98), (0.76, 0.9), RED, lamp=True)
    else:
        face.discs((0.12, 0.74), (0.08, 0.15), RED, lamp=True)
        face.discs((0.27, 0.74), (0.06, 0.12), RED, lamp=True)
    _paint_plate(face, vehicle, (0.44, 0.62))
    if vehicle.rear_sticker == 3:
        face.band((0.68, 0.84), (0.44, 0.62), vehicle.second)


def _paint_plate(face: Face, vehicle: Vehicle, v: Span) -> None:
    face.band((0.38, 0.62), v, vehicle.plate)
    ink = (0.95, 0.95, 0.95) if sum(vehicle.plate) < 1.4 else (0.05, 0.05, 0.05)
    low, high = v[0] + 0.25 * (v[1] - v[0]), v[1] - 0.25 * (v[1] - v[0])
    for k, width in enumerate(vehicle.glyphs):
        u = 0.395 + 0.035 * k
        face.band((u, u + 0.026 * width), (low, high), ink)


def paint_hood(face: Face, vehicle: Vehicle) -> None:
    """Stripes, and the gap before the windscreen."""
    if vehicle.hood == "one_stripe":
        face.band((0.4, 0.6), (0.0, 1.0), vehicle.accent, shine=0.3)
    elif vehicle.hood == "two_stripes":
        face.band((0.32, 0.44), (0.0, 1.0), vehicle.accent, mirrored=True, shine=0.3)
    if vehicle.model.shape.hood > 0.1:
        face.band((0.04, 0.96), (0.93, 1.0), DARK)
        face.band((0.17, 0.18), (0.0, 0.93), DARK, mirrored=True)


def paint_bed(solid: Solid, vehicle: Vehicle) -> None:
    """The open bed of a pickup, behind its cabin."""
    shape = vehicle.model.shape
    y, z = 0.42 * shape.width, shape.belt
    front, back = shape.x(shape.boot + 0.01), shape.x(0.975)
    solid.add([(front, y, z), (front, -y, z), (back, -y, z), (back, y, z)], (0.05, 0.05, 0.05))
    if vehicle.rear_sticker:  # something lies in it
        low, high = shape.x(0.78), shape.x(0.9)
        solid.add([(low, 0.3, z), (low, -0.3, z), (high, -0.3, z), (high, 0.3, z)], vehicle.second)


def _glass(vehicle: Vehicle) -> Rgb:
    return (0.8 * vehicle.glass, 0.95 * vehicle.glass, vehicle.glass)


def paint_windscreen(face: Face, vehicle: Vehicle) -> None:
    """The glass, the stickers on it and what lies behind it."""
    face.band((0.06, 0.94), (0.06, 0.93), _glass(vehicle), shine=0.9)
    places = ((0.12, 0.74), (0.2, 0.74), (0.12, 0.55), (0.74, 0.74))
    for (u, v), there in zip(places, vehicle.stickers, strict=True):
        if there:
            colour = vehicle.second if u > 0.5 else (0.9, 0.92, 0.85)
            face.band((u, u + 0.065), (v, v + 0.13), colour)
    if vehicle.on_dashboard:
        face.band((0.42, 0.6), (0.08, 0.24), vehicle.second)


def paint_rear_window(face: Face, vehicle: Vehicle) -> None:
    """The glass and a sticker; the quad of the face runs downwards."""
    face.band((0.08, 0.92), (0.1, 0.86), _glass(vehicle), shine=0.9)
    if vehicle.rear_sticker in (1, 2):
        u = 0.14 if vehicle.rear_sticker == 1 else 0.7
        face.band((u, u + 0.16), (0.52, 0.82), vehicle.second)


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


def _wall(solid: Solid, y: float, ends: Span, heights: Span) -> Face:
    """An upright side at ``y``: u runs from its front to its rear end, v over its two heights."""
    front, rear, low, high = *ends, *heights
    return Face(solid, [(front, y, low), (rear, y, low), (rear, y, high), (front, y, high)])


def paint_side(solid: Solid, vehicle: Vehicle, side: int) -> None:
    """Lamps around the corner, doors, handles, sill, and painted marks."""
    shape = vehicle.model.shape
    ends, heights = (shape.x(0.0), shape.x(shape.end)), (shape.base, shape.belt)
    wall = _wall(solid, side * shape.width / 2, ends, heights)
    _paint_marks(wall, vehicle, SIDE_MARKS)
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


def _paint_marks(wall: Face, vehicle: Vehicle, marks: Mapping[str, Sequence[Mark]]) -> None:
    """What is painted there; of two marks on each other, the upper has the second colour."""
    for number, (u, v) in enumerate(marks.get(vehicle.side, ())):
        wall.band(u, v, (vehicle.accent, vehicle.second)[number])


def paint_load(solid: Solid, vehicle: Vehicle, back: Corners, ends: Span, heights: Span) -> None:
    """Doors of a truck's box, and a firm's colours on its sides; see ``_wall`` for the spans."""
    Face(solid, back).band((0.49, 0.51), (0.02, 0.98), DARK)
    for side in (1, -1):
        wall = _wall(solid, side * vehicle.model.shape.width / 2, ends, heights)
        wall.band((0.0, 1.0), (0.0, 0.05), DARK)
        _paint_marks(wall, vehicle, LOAD_MARKS)
