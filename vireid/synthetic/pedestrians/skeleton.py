"""A walking skeleton and its projection onto the picture.

Body axes: ``side`` to the person's left, ``up`` from the ground, ``forward`` where the person
walks, all in body heights. Picture axes: x to the right, y down, in pixels.
"""

from dataclasses import dataclass
from math import cos, hypot, sin

from vireid.synthetic.pedestrians.person import Person

PicturePoint = tuple[float, float]
Joint = tuple[float, float, float]  # (side, up, forward)

SHOULDER_HEIGHT = 0.815
ANKLE_HEIGHT = 0.04
UPPER_ARM = 0.165
FOREARM = 0.155


@dataclass(frozen=True, slots=True)
class Frame:
    """Projects body axes to picture axes for one viewpoint."""

    centre_x: float
    ground_y: float
    unit_x: float  # pixels per body height
    unit_y: float
    azimuth: float  # radians; 0 faces the camera, pi/2 walks to the right of the picture
    pitch: float  # radians, camera looking down

    def point(self, joint: Joint) -> PicturePoint:
        """Picture position of a body point."""
        side, up, forward = joint
        x = side * cos(self.azimuth) + forward * sin(self.azimuth)
        y = up * cos(self.pitch) - self.nearness(side, forward) * sin(self.pitch)
        return self.centre_x + self.unit_x * x, self.ground_y - self.unit_y * y

    def nearness(self, side: float, forward: float) -> float:
        """How much closer to the camera than the body axis a point is, in body heights."""
        return forward * cos(self.azimuth) - side * sin(self.azimuth)

    def breadth(self, side: float, forward: float) -> float:
        """Half width in pixels of a level ellipse with these half axes, seen from the camera."""
        return self.unit_x * hypot(side * cos(self.azimuth), forward * sin(self.azimuth))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joint chains by side, key True for the person's left."""

    arms: dict[bool, list[Joint]]  # shoulder, elbow, wrist
    legs: dict[bool, list[Joint]]  # hip, knee, ankle


def _leg(person: Person, left: bool, phase: float) -> list[Joint]:
    side = (1 if left else -1) * person.hip * 0.52
    segment = (person.hip_height - ANKLE_HEIGHT) / 2
    swing = phase if left else phase + 3.14159
    thigh = 0.42 * person.swing * sin(swing)
    bend = 0.1 + 0.55 * person.swing * max(0.0, cos(swing))  # the knee bends as the leg comes up
    hip = (side, person.hip_height, 0.0)
    knee = _below(hip, side, segment, thigh)
    return [hip, knee, _below(knee, side, segment, thigh - bend)]


def _arm(person: Person, left: bool, phase: float, *, still: bool) -> list[Joint]:
    sign = 1 if left else -1
    swing = phase + 3.14159 if left else phase  # against the leg of the same side
    angle = 0.05 if still else 0.38 * person.swing * sin(swing)
    lower_angle = angle + (0.05 if still else 0.28)
    half = person.shoulder - 0.02
    shoulder = (sign * half, SHOULDER_HEIGHT - 0.015, 0.0)
    elbow = _below(shoulder, sign * (half + 0.028), UPPER_ARM, angle)
    return [shoulder, elbow, _below(elbow, sign * (half + 0.036), FOREARM, lower_angle)]


def _below(joint: Joint, side: float, length: float, angle: float) -> Joint:
    """The lower end of a bone; ``angle`` in radians, forward of straight down."""
    return side, joint[1] - length * cos(angle), joint[2] + length * sin(angle)


def walk(person: Person, phase: float) -> Skeleton:
    """Joints at a gait phase in radians; the lower foot is on the ground."""
    carrying = person.bag.left if person.bag.kind == "handbag" else None
    legs = {left: _leg(person, left, phase) for left in (False, True)}
    drop = min(leg[2][1] for leg in legs.values()) - ANKLE_HEIGHT
    arms = {left: _arm(person, left, phase, still=left == carrying) for left in (False, True)}
    for left, leg in legs.items():
        legs[left] = [(side, up - drop, forward) for side, up, forward in leg]
    return Skeleton(arms, legs)


def first_part(chain: list[Joint], fraction: float) -> list[Joint]:
    """The chain up to a fraction of its two segments, each counted as one half."""
    if fraction >= 1:
        return chain
    kept, rest = (chain[:1], fraction * 2) if fraction < 0.5 else (chain[:2], fraction * 2 - 1)
    start, end = chain[len(kept) - 1], chain[len(kept)]
    side, up, forward = (a + (b - a) * rest for a, b in zip(start, end, strict=True))
    return [*kept, (side, up, forward)]


def tube(points: list[PicturePoint], half_widths: list[float]) -> list[PicturePoint]:
    """Outline of a bent strip around ``points``, with one half width in pixels per point."""
    left, right = [], []
    for i, ((x, y), half) in enumerate(zip(points, half_widths, strict=True)):
        (x0, y0), (x1, y1) = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
        length = hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = (x1 - x0) / length * half, (y1 - y0) / length * half
        left.append((x - dy, y + dx))
        right.append((x + dy, y - dx))
    return left + right[::-1]
