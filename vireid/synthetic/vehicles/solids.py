"""Solids of flat coloured faces, and the pinhole camera that looks at them.

Vehicle axes in metres: x forward, y to the vehicle's left, z up from the ground; the origin lies on
the ground below the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt

import numpy as np

from vireid.synthetic.surfaces import Rgb

UP = np.array([0.0, 0.0, 1.0])
Corners = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Patch:
    """A flat piece of surface.

    Args:
        corners: (n, 3) in order around it.
        middle: (3,) their mean.
        normal: (3,) unit vector out of the solid.
        shine: how much sky it mirrors when it faces upwards, in [0, 1].
        lamp: shines when lamps are on.
    """

    corners: np.ndarray
    middle: np.ndarray
    normal: np.ndarray
    colour: Rgb
    shine: float = 0.0
    lamp: bool = False


@dataclass
class Solid:
    """A convex body: its faces and what is on them, in the order of painting.

    Args:
        level: solids of a lower level never hide those of a higher one.
        inside: (3,) a point within, from which every patch looks away.
        unit: (3,) place of the group that the solid belongs to: within a level, farther groups are
            painted first, and the solids of one group in their order.
    """

    level: int
    inside: np.ndarray
    unit: np.ndarray
    patches: list[Patch] = field(default_factory=list)

    def add(self, corners: Corners, colour: Rgb, *, shine: float = 0.0, lamp: bool = False) -> None:
        """Adds a patch on top of the earlier ones."""
        points = np.array(corners, dtype=float)
        middle = points.sum(axis=0) / len(points)
        normal = np.array(_newell(points.tolist()))
        if float(normal @ (middle - self.inside)) < 0:
            normal = -normal
        self.patches.append(Patch(points, middle, normal, colour, shine, lamp))


def _newell(corners: list[list[float]]) -> tuple[float, float, float]:
    """Unit normal of any flat polygon; plain numbers, as arrays of three are slow."""
    a = b = c = 0.0
    for (x, y, z), (u, v, w) in zip(corners, [*corners[1:], corners[0]], strict=True):
        a += (y - v) * (z + w)
        b += (z - w) * (x + u)
        c += (x - u) * (y + v)
    length = sqrt(a * a + b * b + c * c) or 1.0
    return a / length, b / length, c / length


def point_on(quad: Corners, u: float, v: float) -> tuple[float, float, float]:
    """Point of a quad: u from its first corner to the second, v from there to the third."""
    weights = ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
    x, y, z = (
        sum(w * corner[k] for w, corner in zip(weights, quad, strict=True)) for k in range(3)
    )
    return x, y, z


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """(3,) unit vector; angles in radians."""
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])


@dataclass(frozen=True)
class Viewer:
    """A pinhole camera that looks at a vehicle.

    Args:
        azimuth: radians; 0 sees the front, π / 2 the vehicle's left side, π the back.
        elevation: radians above the ground.
        distance: metres to ``target``.
        target: (3,) point in the middle of the picture.
    """

    azimuth: float
    elevation: float
    distance: float
    target: np.ndarray

    @cached_property
    def position(self) -> np.ndarray:
        return self.target + self.distance * direction(self.azimuth, self.elevation)

    @cached_property
    def axes(self) -> np.ndarray:
        """(3, 3) rows: right, up and forward of the picture."""
        forward = self.target - self.position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, UP)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def project(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) → (n, 2): tangents of the angles to the middle, to the right and up."""
        seen = (points - self.position) @ self.axes.T
        return seen[:, :2] / seen[:, 2:]

    def sees(self, patch: Patch) -> bool:
        """Whether the patch faces the viewer."""
        return float(patch.normal @ (self.position - patch.middle)) > 0
