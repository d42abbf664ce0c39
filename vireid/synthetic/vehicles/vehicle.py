"""What an identity is: a model in a colour, which others share, and details that are its own."""

from dataclasses import dataclass

import numpy as np

from vireid.synthetic.pedestrians.surfaces import Rgb, near
from vireid.synthetic.vehicles.shape import KINDS, SHARES, Shape, draw_shape

PAINTS: dict[str, tuple[Rgb, float]] = {  # with how many of all vehicles have it
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
    (0.85, 0.12, 0.1),
    (0.1, 0.25, 0.65),
    (0.95, 0.85, 0.2),
    (0.1, 0.5, 0.25),
    (0.95, 0.95, 0.93),
    (0.08, 0.08, 0.08),
    (0.95, 0.5, 0.1),
)
PLATES: tuple[Rgb, ...] = (
    (0.12, 0.25, 0.7),
    (0.92, 0.76, 0.15),
    (0.93, 0.93, 0.93),
    (0.3, 0.7, 0.4),
)
RIMS: tuple[Rgb, ...] = ((0.75, 0.76, 0.78), (0.2, 0.2, 0.22), (0.92, 0.92, 0.92), (0.5, 0.42, 0.2))
HEADLIGHTS = ("round", "slim", "tall", "split")
TAILLIGHTS = ("tall", "wide", "bar", "round")
GRILLES = ("bars", "mesh", "split", "none")
ROOFS = ("plain", "rails", "rack", "sunroof", "box", "sign")
SIDES = ("plain", "low_stripe", "belt_stripe", "logo", "two_tone", "panel")
HOODS = ("plain", "one_stripe", "two_stripes")
FAMILY = 3  # consecutive identities that share model and colour
FAMILY_STREAM = (0, 0, 4)


@dataclass(frozen=True, slots=True)
class Model:
    """What a family shares."""

    kind: str
    shape: Shape
    paint: str
    colour: Rgb
    headlights: str
    taillights: str
    grille: str
    closed_sides: bool  # a van without windows behind the front doors


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One identity: small things, each of which shows from some sides only."""

    model: Model
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
    glyphs: tuple[float, ...]  # what stands on the plate: blots, too small to read
    stickers: tuple[bool, ...]  # in four places of the windscreen
    on_dashboard: bool
    rear_sticker: int  # 0 none, else a place
    handles: bool  # of chrome


def draw_model(rng: np.random.Generator) -> Model:
    """A model in one of its colours; equal generators give equal models."""
    kind = str(rng.choice(KINDS, p=SHARES))
    shares = np.array([share for _, share in PAINTS.values()])
    paint = str(rng.choice(list(PAINTS), p=shares / shares.sum()))
    return Model(
        kind=kind,
        shape=draw_shape(kind, rng),
        paint=paint,
        colour=near(PAINTS[paint][0], rng, spread=0.02),
        headlights=str(rng.choice(HEADLIGHTS)),
        taillights=str(rng.choice(TAILLIGHTS)),
        grille=str(rng.choice(GRILLES)),
        closed_sides=bool(kind == "van" and rng.random() < 0.5),
    )


def draw_vehicle(model: Model, rng: np.random.Generator) -> Vehicle:
    """One identity of a model; equal generators give equal vehicles."""
    accent, second = rng.permutation(len(ACCENTS))[:2]
    return Vehicle(
        model=model,
        colour=near(model.colour, rng, spread=0.008),
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


def vehicle_of(seed: int, pid: int) -> Vehicle:
    """The identity ``pid`` >= 1 of the set made with ``seed``.

    Identities 1 to 3 are of one model and colour, 4 to 6 of the next, and so on.
    """
    family = (pid - 1) // FAMILY
    model = draw_model(np.random.default_rng([seed, *FAMILY_STREAM, family]))
    return draw_vehicle(model, np.random.default_rng([seed, pid]))
