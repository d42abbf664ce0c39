"""A person who walks through the view of a camera: what stays in a track, and what changes."""

from dataclasses import dataclass, replace
from math import pi, sin

from numpy.random import Generator

from vireid.synthetic.cameras import Camera
from vireid.synthetic.pedestrians.render import PedestrianView, draw_view

SECONDS = 0.2  # between two frames
GAIT = (0.95, 1.25)  # seconds of a cycle, which is two steps
WALK = 0.012  # share of the panorama that passes in a frame behind a person seen from the side
OBSTACLES = ("post", "low", "crossing")
JITTER = 0.005  # of the box around the person, in picture heights


@dataclass(frozen=True, slots=True)
class Wave:
    """A smooth change around 0, at most 1.5 in size: two sines."""

    periods: tuple[float, float]  # frames
    phases: tuple[float, float]  # radians

    @classmethod
    def draw(cls, rng: Generator) -> "Wave":
        """Of random periods and phases."""
        slow, fast, first, second = rng.uniform((20.0, 8.0, 0.0, 0.0), (44.0, 16.0, 2 * pi, 2 * pi))
        return cls((float(slow), float(fast)), (float(first), float(second)))

    def at(self, frame: int) -> float:
        """Its value in a frame."""
        angles = (
            2 * pi * frame / period + phase
            for period, phase in zip(self.periods, self.phases, strict=True)
        )
        return sum(size * sin(angle) for size, angle in zip((1.0, 0.5), angles, strict=True))


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that is now and then between the camera and the person."""

    kind: str  # an occluder of a view
    first: int  # frame in which it appears
    frames: int  # for which it stays
    every: int  # frames after which another one appears
    place: float  # in [0, 1], of an obstacle that does not move
    backwards: bool  # moves to the left of the picture

    def at(self, frame: int) -> float | None:
        """Where it is in a frame, in [0, 1]; None if it is not in the picture."""
        passed = (frame - self.first) % self.every
        if self.kind == "none" or passed >= self.frames:
            return None
        if self.kind == "low":
            return self.place
        way = (passed + 0.5) / self.frames
        return 1 - way if self.backwards else way


@dataclass(frozen=True, slots=True)
class Track:
    """A walk past a camera; ``start`` holds view direction, light and scene.

    Args:
        start: how the first picture would be taken, without an occluder.
        pace: radians of gait in a frame.
        drift: share of the panorama that passes behind the person in a frame.
        waves: of x, y, scale, azimuth and side light.
        blurred: share of blurred frames.
    """

    start: PedestrianView
    pace: float
    drift: float
    waves: tuple[Wave, Wave, Wave, Wave, Wave]
    obstacle: Obstacle
    blurred: float

    def view(self, frame: int, rng: Generator) -> PedestrianView:
        """How a frame, from 1, is taken.

        Args:
            rng: what is new in every frame: blur, and how well the box fits.
        """
        start, phase = self.start, self.start.phase + self.pace * (frame - 1)
        x, y, scale, turn, light = (wave.at(frame) for wave in self.waves)
        shift_x, shift_y, size = rng.normal(0.0, JITTER, 3).tolist()
        blur = float(rng.uniform(1.6, 2.6)) if rng.random() < self.blurred else 1.0
        at = self.obstacle.at(frame)
        left, top, extent = start.window
        return replace(
            start,
            phase=phase,
            azimuth=start.azimuth + 0.07 * turn + 0.03 * sin(phase),  # the trunk turns at each step
            scale=min(max(start.scale * (1 + 0.03 * scale + size), 0.7), 1.05),
            shift_x=start.shift_x + 0.014 * x + 0.004 * sin(phase) + shift_x,
            shift_y=start.shift_y + 0.010 * y + shift_y,
            side_light=start.side_light + 0.05 * light,
            window=(_there_and_back(left + self.drift * (frame - 1)), top, extent),
            sharpness=start.sharpness * blur,
            occluder="none" if at is None else self.obstacle.kind,
            occluder_at=0.5 if at is None else at,
        )


def _there_and_back(place: float) -> float:
    """A place beyond [0, 1] mirrored at the edges: the panorama has an end, the walk has none."""
    place %= 2
    return min(place, 2 - place)


def draw_track(camera: Camera, rng: Generator) -> Track:
    """Draw a walk past a camera; in three of ten nothing comes between."""
    start = replace(draw_view(camera, rng), occluder="none")
    every = int(rng.integers(18, 41))
    obstacle = Obstacle(
        kind=str(rng.choice(("none", *OBSTACLES), p=(0.3, 0.25, 0.15, 0.3))),
        first=int(rng.integers(1, every + 1)),
        frames=int(rng.integers(3, 8)),
        every=every,
        place=float(rng.random()),
        backwards=bool(rng.random() < 0.5),
    )
    return Track(
        start=start,
        pace=2 * pi * SECONDS / float(rng.uniform(*GAIT)),
        drift=WALK * sin(start.azimuth) * float(rng.uniform(0.7, 1.3)),
        waves=(Wave.draw(rng), Wave.draw(rng), Wave.draw(rng), Wave.draw(rng), Wave.draw(rng)),
        obstacle=obstacle,
        blurred=float(rng.uniform(0.0, 0.2)),
    )
