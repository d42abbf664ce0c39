"""What an identity is: proportions, garments, carried things.

Shape is shared by all spectra; the surfaces differ between them (see ``surfaces``).
"""

from dataclasses import dataclass

import numpy as np

from vireid.synthetic.pedestrians.clothing import Bag, Garment, draw_bag, draw_clothes
from vireid.synthetic.pedestrians.surfaces import AMBIENT_WARMTH, Rgb, Surface, near, thing

HAIR_COLOURS: tuple[Rgb, ...] = (
    (0.07, 0.06, 0.06),
    (0.16, 0.10, 0.07),
    (0.32, 0.20, 0.12),
    (0.66, 0.50, 0.28),
    (0.55, 0.54, 0.53),
)
SKIN_COLOURS: tuple[Rgb, ...] = (
    (0.91, 0.74, 0.64),
    (0.82, 0.62, 0.49),
    (0.66, 0.46, 0.34),
    (0.44, 0.29, 0.21),
)
HAIR_STYLES = ("short", "bald", "bun", "bob", "long")
HATS = ("none", "cap", "beanie", "brim")


@dataclass(frozen=True, slots=True)
class Person:
    """One identity. Lengths are in body heights, half widths measured from the middle line."""

    shoulder: float  # half width
    waist: float  # half width
    hip: float  # half width
    depth: float  # thickness factor of the trunk, seen from the side
    hip_height: float
    head: float  # head height
    limb: float  # thickness factor of arms and legs
    swing: float  # gait amplitude factor
    hair_style: str
    hat: str
    hood_up: bool  # over the head; of hooded garments only
    shoe_height: float
    skin: Surface
    hair: Surface
    hat_surface: Surface
    shoes: Surface
    upper: Garment
    lower: Garment
    bag: Bag


def draw_person(rng: np.random.Generator) -> Person:
    """Draw one identity; equal generators give equal persons."""
    build = rng.uniform(-1.0, 1.0)  # thin to heavy
    hip = 0.09 + 0.016 * build + rng.uniform(-0.009, 0.009)
    skin = SKIN_COLOURS[rng.integers(len(SKIN_COLOURS))]
    hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    upper, lower = draw_clothes(rng)
    return Person(
        shoulder=float(0.116 + 0.012 * build + rng.uniform(-0.012, 0.012)),
        waist=float(hip * (0.95 + 0.14 * build + rng.uniform(-0.08, 0.08))),
        hip=float(hip),
        depth=float(1.05 + 0.28 * build),
        hip_height=float(rng.uniform(0.46, 0.535)),
        head=float(rng.uniform(0.126, 0.15)),
        limb=float(1.05 + 0.25 * build + rng.uniform(-0.1, 0.1)),
        swing=float(rng.uniform(0.7, 1.15)),
        hair_style=str(rng.choice(HAIR_STYLES, p=(0.34, 0.1, 0.14, 0.18, 0.24))),
        hat=str(rng.choice(HATS, p=(0.68, 0.13, 0.1, 0.09))),
        hood_up=bool(rng.random() < 0.35),
        shoe_height=float(rng.choice((0.0, 0.04, 0.13), p=(0.6, 0.2, 0.2))),
        # Melanin hardly absorbs near infrared, so skin tone and hair colour are lost there too.
        skin=Surface(near(skin, rng, spread=0.02), float(rng.uniform(0.56, 0.68)), 0.9),
        hair=Surface(
            near(hair, rng, spread=0.02),
            float(rng.uniform(0.14, 0.4)),
            float(rng.uniform(0.5, 0.6)),
        ),
        hat_surface=thing(rng, warmth=float(rng.uniform(0.4, 0.52))),
        shoes=thing(rng, warmth=float(AMBIENT_WARMTH + rng.uniform(0.04, 0.12))),
        upper=upper,
        lower=lower,
        bag=draw_bag(rng),
    )
