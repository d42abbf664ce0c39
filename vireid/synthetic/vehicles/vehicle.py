"""What an identity is: a model in a colour, which others share, and details that only it has."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from vireid.synthetic.surfaces import Rgb, similar_colour

PAINTS: dict[str, tuple[Rgb, float]] = {  # with the share of vehicles that have it
    "white": ((0.88, 0.88, 0.87), 0.2),
    "black": ((0.08, 0.08, 0.09), 0.16),
    "silver": ((0.66, 0.67, 0.69), 0.17),
    "grey": ((0.36, 0.37, 0.39), 0.13),
    "red": ((0.66, 0.1, 0.1), 0.1),
    "blue": ((0.12, 0.24, 0.52), 0.1),
    "brown": ((0.36, 0.25, 0.17), 0.04),
    "green": ((0.12, 0.34, 0.2), 0.03),
    "yellow": ((0.86, 0.68, 0.12), 0.04),
    "beige": ((0.74, 0.66, 0.5), 0.03),
}
ACCENTS: tuple[Rgb, ...] = (
    (0.85, 0.12, 0.1), (0.1, 0.25, 0.65), (0.95, 0.85, 0.2), (0.1, 0.5, 0.25),
    (0.95, 0.95, 0.93), (0.08, 0.08, 0.08), (0.95, 0.5, 0.1),
)  # fmt: skip
PLATES: tuple[Rgb, ...] = (
    (0.12, 0.25, 0.7), (0.92, 0.76, 0.15), (0.93, 0.93, 0.93), (0.3, 0.7, 0.4),
)  # fmt: skip
RIMS: tuple[Rgb, ...] = ((0.75, 0.76, 0.78), (0.2, 0.2, 0.22), (0.92, 0.92, 0.92), (0.5, 0.42, 0.2))
HEADLIGHTS = ("round", "slim", "tall", "split")
TAILLIGHTS = ("tall", "wide", "bar", "round")
GRILLES = ("bars", "mesh", "split", "none")
ROOFS = ("plain", "rails", "rack", "sunroof", "box", "sign")
SIDES = ("plain", "low_stripe", "belt_stripe", "logo", "two_tone", "panel")
HOODS = ("plain", "one_stripe", "two_stripes")
FAMILY = 3  # consecutive identities that share model and colour
FAMILY_STREAM = (0, 0, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyShape:
    """A body in metres; places along it are shares of its length, 0 at the front.

    Args:
        belt: height of the windows' lower edge.
        nose, tail: height of the front and of the rear end.
        base: height of the lower edge.
        hood, front: foot and top of the windscreen.
        rear, boot: top and foot of the rear window.
        tumble: width of the roof over that of the body.
        wheel: radius.
        axles: of the wheels.
        pillars: between the side windows.
        end: where the body ends; a truck's load is behind it.
    """

    length: float
    width: float = 1.78
    height: float
    belt: float
    nose: float
    tail: float
    base: float = 0.22
    hood: float
    front: float
    rear: float
    boot: float
    tumble: float = 0.76
    wheel: float = 0.32
    axles: tuple[float, float] = (0.18, 0.8)
    pillars: tuple[float, ...]
    end: float = 1.0

    def x(self, share: float) -> float:
        """Metres forward of the middle."""
        return self.length * (0.5 - share)

    def half_width(self, z: float) -> float:
        """Of the part with the windows at a height; it narrows to the roof."""
        t = (z - self.belt) / (self.height - self.belt)
        return self.width / 2 * (0.98 + (self.tumble - 0.98) * t)


SHAPES: dict[str, BodyShape] = {
    "sedan": BodyShape(
        length=4.6, height=1.45, belt=0.93, nose=0.7, tail=0.9,
        hood=0.27, front=0.43, rear=0.69, boot=0.86, pillars=(0.55, 0.72),
    ),
    "hatchback": BodyShape(
        length=3.9, height=1.5, belt=0.95, nose=0.72, tail=0.95,
        hood=0.25, front=0.42, rear=0.86, boot=0.97, pillars=(0.57, 0.78),
    ),
    "estate": BodyShape(
        length=4.7, height=1.5, belt=0.93, nose=0.7, tail=0.93,
        hood=0.27, front=0.42, rear=0.9, boot=0.98, pillars=(0.53, 0.72),
    ),
    "suv": BodyShape(
        length=4.5, width=1.86, height=1.78, belt=1.1, nose=0.98, tail=1.1, base=0.32,
        hood=0.25, front=0.37, rear=0.91, boot=0.98, tumble=0.8, wheel=0.38, pillars=(0.52, 0.73),
    ),
    "van": BodyShape(
        length=4.8, width=1.86, height=2.0, belt=1.15, nose=0.95, tail=1.15, base=0.28,
        hood=0.12, front=0.27, rear=0.97, boot=0.995, tumble=0.86, wheel=0.33, pillars=(0.4, 0.68),
    ),
    "pickup": BodyShape(
        length=5.2, width=1.88, height=1.8, belt=1.1, nose=0.98, tail=1.08, base=0.36,
        hood=0.25, front=0.35, rear=0.56, boot=0.6, tumble=0.8, wheel=0.39, pillars=(0.46,),
    ),
    "truck": BodyShape(
        length=6.0, width=2.05, height=2.25, belt=1.35, nose=1.3, tail=1.35, base=0.42,
        hood=0.01, front=0.06, rear=0.27, boot=0.28, tumble=0.9, wheel=0.42, axles=(0.15, 0.78),
        pillars=(), end=0.28,
    ),
    "bus": BodyShape(
        length=8.4, width=2.4, height=2.95, belt=1.35, nose=1.3, tail=1.35, base=0.35,
        hood=0.004, front=0.03, rear=0.985, boot=0.998, tumble=0.94, wheel=0.45, axles=(0.2, 0.75),
        pillars=(0.17, 0.33, 0.5, 0.67, 0.84),
    ),
}  # fmt: skip
KINDS = tuple(SHAPES)
SHARES = (0.26, 0.18, 0.1, 0.18, 0.1, 0.06, 0.07, 0.05)  # of the kinds


def _draw_shape(kind: str, rng: Generator) -> BodyShape:
    """Proportions of a model; they differ by some per cent from those of its kind."""
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


@dataclass(frozen=True, slots=True)
class VehicleModel:
    """What the identities of a family share."""

    kind: str
    shape: BodyShape
    paint: str
    colour: Rgb
    headlights: str
    taillights: str
    grille: str
    closed_sides: bool  # a van without windows behind the front doors


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One identity: small details, each visible from some sides only."""

    model: VehicleModel
    colour: Rgb
    accent: Rgb  # of what is painted or stuck on
    second: Rgb
    roof: str
    side: str
    hood: str
    spokes: int  # 0: a closed disc
    rim: Rgb
    glass: float  # brightness of the windows
    dark_bumpers: bool
    mirror: str  # body, black or chrome
    spoiler: bool
    plate: Rgb
    glyphs: tuple[float, ...]  # on the plate: widths of blots, too small to read
    stickers: tuple[bool, ...]  # in four places of the windscreen
    on_dashboard: bool
    rear_sticker: int  # 0 none, else a place
    handles: bool  # of chrome


def _draw_model(rng: Generator) -> VehicleModel:
    """A model in one of its colours; equal generators give equal models."""
    kind = str(rng.choice(KINDS, p=SHARES))
    shares = np.array([share for _, share in PAINTS.values()])
    paint = str(rng.choice(list(PAINTS), p=shares / shares.sum()))
    return VehicleModel(
        kind=kind,
        shape=_draw_shape(kind, rng),
        paint=paint,
        colour=similar_colour(PAINTS[paint][0], rng, spread=0.02),
        headlights=str(rng.choice(HEADLIGHTS)),
        taillights=str(rng.choice(TAILLIGHTS)),
        grille=str(rng.choice(GRILLES)),
        closed_sides=bool(kind == "van" and rng.random() < 0.5),
    )


@lru_cache(maxsize=64)
def draw_vehicle(seed: int, pid: int) -> Vehicle:
    """The identity ``pid`` >= 1 of the set made with ``seed``.

    Identities 1 to 3 are of one model and colour, 4 to 6 of the next, and so on.
    """
    family = (pid - 1) // FAMILY
    model = _draw_model(np.random.default_rng([seed, *FAMILY_STREAM, family]))
    rng = np.random.default_rng([seed, pid])
    accent, second = rng.permutation(len(ACCENTS))[:2]
    return Vehicle(
        model=model,
        colour=similar_colour(model.colour, rng, spread=0.008),
        accent=ACCENTS[accent],
        second=ACCENTS[second],
        roof=str(rng.choice(ROOFS, p=(0.3, 0.17, 0.15, 0.18, 0.12, 0.08))),
        side=str(rng.choice(SIDES, p=(0.36, 0.15, 0.12, 0.17, 0.08, 0.12))),
        hood=str(rng.choice(HOODS, p=(0.74, 0.13, 0.13))),
        spokes=int(rng.choice((0, 3, 5, 6, 8))),
        rim=RIMS[rng.choice(len(RIMS), p=(0.55, 0.25, 0.12, 0.08))],
        glass=float(rng.uniform(0.06, 0.3)),
        dark_bumpers=bool(rng.random() < 0.3),
        mirror=str(rng.choice(("body", "black", "chrome"), p=(0.6, 0.25, 0.15))),
        spoiler=bool(rng.random() < 0.25),
        plate=PLATES[rng.choice(len(PLATES), p=(0.5, 0.18, 0.2, 0.12))],
        glyphs=tuple(rng.uniform(0.25, 0.9, 6).tolist()),
        stickers=tuple((rng.random(4) < 0.35).tolist()),
        on_dashboard=bool(rng.random() < 0.35),
        rear_sticker=int(rng.choice((0, 1, 2, 3), p=(0.55, 0.15, 0.15, 0.15))),
        handles=bool(rng.random() < 0.3),
    )
