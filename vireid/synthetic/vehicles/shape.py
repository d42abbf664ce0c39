"""Bodies: the proportions of eight kinds of vehicle."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

KINDS = ("sedan", "hatchback", "estate", "suv", "van", "pickup", "truck", "bus")
SHARES = (0.26, 0.18, 0.1, 0.18, 0.1, 0.06, 0.07, 0.05)


@dataclass(frozen=True, slots=True)
class Shape:
    """A body in metres; places along it are shares of its length, 0 at the front.

    Args:
        belt: height of the windows' lower edge.
        nose, tail: height of the front and of the rear end.
        base: height of the lower edge.
        hood, front: foot and top of the windscreen.
        rear, boot: top and foot of the rear window.
        tumble: width of the roof over that of the body.
        axles: of the wheels.
        pillars: between the side windows.
        end: where the body ends; a truck's load stands behind it.
    """

    length: float
    width: float
    height: float
    belt: float
    nose: float
    tail: float
    base: float
    hood: float
    front: float
    rear: float
    boot: float
    tumble: float
    wheel: float
    axles: tuple[float, float]
    pillars: tuple[float, ...]
    end: float = 1.0

    def x(self, share: float) -> float:
        """Forward of the middle."""
        return self.length * (0.5 - share)

    def half_width(self, z: float) -> float:
        """Of the windows' part at a height, which narrows to the roof."""
        t = (z - self.belt) / (self.height - self.belt)
        return self.width / 2 * (0.98 + (self.tumble - 0.98) * t)


def _car(**numbers: Any) -> Shape:
    usual: dict[str, Any] = {
        "width": 1.78,
        "base": 0.22,
        "tumble": 0.76,
        "wheel": 0.32,
        "axles": (0.18, 0.8),
    }
    return Shape(**{**usual, **numbers})


SHAPES: dict[str, Shape] = {
    "sedan": _car(
        length=4.6, height=1.45, belt=0.93, nose=0.7, tail=0.9,
        hood=0.27, front=0.43, rear=0.69, boot=0.86, pillars=(0.55, 0.72),
    ),
    "hatchback": _car(
        length=3.9, height=1.5, belt=0.95, nose=0.72, tail=0.95,
        hood=0.25, front=0.42, rear=0.86, boot=0.97, pillars=(0.57, 0.78),
    ),
    "estate": _car(
        length=4.7, height=1.5, belt=0.93, nose=0.7, tail=0.93,
        hood=0.27, front=0.42, rear=0.9, boot=0.98, pillars=(0.53, 0.72),
    ),
    "suv": _car(
        length=4.5, width=1.86, height=1.78, belt=1.1, nose=0.98, tail=1.1, base=0.32,
        hood=0.25, front=0.37, rear=0.91, boot=0.98, tumble=0.8, wheel=0.38, pillars=(0.52, 0.73),
    ),
    "van": _car(
        length=4.8, width=1.86, height=2.0, belt=1.15, nose=0.95, tail=1.15, base=0.28,
        hood=0.12, front=0.27, rear=0.97, boot=0.995, tumble=0.86, wheel=0.33, pillars=(0.4, 0.68),
    ),
    "pickup": _car(
        length=5.2, width=1.88, height=1.8, belt=1.1, nose=0.98, tail=1.08, base=0.36,
        hood=0.25, front=0.35, rear=0.56, boot=0.6, tumble=0.8, wheel=0.39, pillars=(0.46,),
    ),
    "truck": _car(
        length=6.0, width=2.05, height=2.25, belt=1.35, nose=1.3, tail=1.35, base=0.42,
        hood=0.01, front=0.06, rear=0.27, boot=0.28, tumble=0.9, wheel=0.42, axles=(0.15, 0.78),
        pillars=(), end=0.28,
    ),
    "bus": _car(
        length=8.4, width=2.4, height=2.95, belt=1.35, nose=1.3, tail=1.35, base=0.35,
        hood=0.004, front=0.03, rear=0.985, boot=0.998, tumble=0.94, wheel=0.45, axles=(0.2, 0.75),
        pillars=(0.17, 0.33, 0.5, 0.67, 0.84),
    ),
}  # fmt: skip


def draw_shape(kind: str, rng: np.random.Generator) -> Shape:
    """A model of a kind: its proportions differ by some per cent from those of others."""
    usual = SHAPES[kind]
    length, height, belt, nose = rng.normal(1.0, (0.035, 0.03, 0.015, 0.03)).tolist()
    turn = rng.normal(0.0, 0.012, 2).tolist()
    return replace(
        usual,
        length=usual.length * length,
        height=usual.height * height,
        belt=usual.belt * belt,
        tail=usual.tail * belt,
        nose=min(usual.nose * nose, usual.belt * belt),
        front=max(usual.front + turn[0], usual.hood + 0.02),
        rear=min(usual.rear + turn[1], usual.boot - 0.005),
        tumble=float(np.clip(usual.tumble + rng.normal(0.0, 0.02), 0.68, 0.95)),
        wheel=usual.wheel * float(rng.uniform(0.95, 1.08)),
    )
