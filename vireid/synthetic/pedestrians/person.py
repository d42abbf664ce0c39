"""What an identity is: proportions, clothes with patterns, carried things.

Shape is shared by all spectra; the surfaces differ between them (see ``surfaces``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from vireid.synthetic.surfaces import AMBIENT_WARMTH, Rgb, Surface, luminance, similar_colour

HAIR_COLOURS: tuple[Rgb, ...] = (
    (0.07, 0.06, 0.06), (0.16, 0.10, 0.07), (0.32, 0.20, 0.12), (0.66, 0.50, 0.28),
    (0.55, 0.54, 0.53),
)  # fmt: skip
SKIN_COLOURS: tuple[Rgb, ...] = (
    (0.91, 0.74, 0.64), (0.82, 0.62, 0.49), (0.66, 0.46, 0.34), (0.44, 0.29, 0.21),
)  # fmt: skip
CLOTH_COLOURS: tuple[Rgb, ...] = (
    (0.09, 0.09, 0.10), (0.92, 0.92, 0.90), (0.52, 0.53, 0.55), (0.12, 0.16, 0.33),
    (0.22, 0.38, 0.66), (0.72, 0.12, 0.14), (0.45, 0.10, 0.16), (0.15, 0.42, 0.24),
    (0.42, 0.44, 0.24), (0.78, 0.68, 0.50), (0.42, 0.28, 0.18), (0.88, 0.74, 0.20),
    (0.86, 0.46, 0.16), (0.84, 0.55, 0.66), (0.45, 0.28, 0.55), (0.25, 0.62, 0.64),
)  # fmt: skip
NEAR_INFRARED_CLOTH = (0.42, 0.72)  # most dyes are transparent there, so cloth is pale
NEAR_INFRARED_THINGS = (0.2, 0.75)  # leather, rubber, plastics
MIN_TONE_STEP = 0.3  # luma between the two tones of a pattern
HAIR_STYLES = ("short", "bald", "bun", "bob", "long")
HATS = ("none", "cap", "beanie", "brim")
BAGS = ("none", "backpack", "shoulder_bag", "handbag")


@dataclass(frozen=True, slots=True)
class Cut:
    """Shape of a garment; lengths in body heights unless said otherwise."""

    length: float  # covered fraction of the arm or the leg
    ease: float  # widening over the body
    warmth: float  # of its outside; the thicker, the nearer to the air
    hem: float = 0.0  # how far below the hip joint an upper garment ends
    flare: float = 0.0  # extra half width at the hem
    hood: bool = False
    skirt: bool = False


UPPER_CUTS: dict[str, Cut] = {
    "tank": Cut(length=0.0, hem=0.00, ease=1.00, warmth=0.72),
    "t_shirt": Cut(length=0.38, hem=0.01, ease=1.06, warmth=0.68),
    "long_sleeve": Cut(length=0.97, hem=0.02, ease=1.03, warmth=0.6),
    "hoodie": Cut(length=1.0, hem=0.04, ease=1.18, warmth=0.48, hood=True),
    "bomber": Cut(length=1.0, hem=-0.05, ease=1.3, warmth=0.42),
    "tunic": Cut(length=0.68, hem=0.13, ease=1.08, warmth=0.64, flare=0.03),
    "coat": Cut(length=1.0, hem=0.22, ease=1.2, warmth=0.38, flare=0.035),
}
LOWER_CUTS: dict[str, Cut] = {
    "tight": Cut(length=0.97, ease=1.05, warmth=0.66),
    "trousers": Cut(length=0.99, ease=1.35, warmth=0.56),
    "wide": Cut(length=1.0, ease=2.0, warmth=0.46),
    "cropped": Cut(length=0.76, ease=1.3, warmth=0.58),
    "shorts": Cut(length=0.46, ease=1.5, warmth=0.56),
    "skirt": Cut(length=0.42, ease=1.4, warmth=0.54, skirt=True),
    "long_skirt": Cut(length=0.82, ease=1.6, warmth=0.48, skirt=True),
}
# Patterns and how often each is drawn for an upper and for a lower garment.
PATTERN_ODDS: dict[str, tuple[float, float]] = {
    "plain": (0.15, 0.45),
    "horizontal": (0.1, 0.07),
    "vertical": (0.07, 0.08),
    "checks": (0.08, 0.07),
    "diagonal": (0.08, 0.06),
    "zigzag": (0.07, 0.05),
    "dots": (0.08, 0.06),
    "camouflage": (0.08, 0.06),
    "chest_band": (0.07, 0.0),
    "contrast_sleeves": (0.08, 0.0),
    "two_tone": (0.05, 0.05),
    "block": (0.05, 0.05),
    "logo": (0.04, 0.0),
}
PATTERNS = tuple(PATTERN_ODDS)


@dataclass(frozen=True, slots=True)
class Garment:
    """A piece of clothing; its pattern has one geometry in all spectra."""

    cut: str
    length: float  # factor on the sleeve (upper) or leg (lower) length of the cut
    hem: float  # factor on how far below the hip an upper garment ends
    ease: float  # factor on the ease of the cut
    pattern: str
    period: float  # pattern repeat in body heights
    duty: float  # accent share of one repeat, in (0, 1)
    phase: float  # of blotches, radians
    base: Surface
    accent: Surface


@dataclass(frozen=True, slots=True)
class Bag:
    """A carried thing; half_width and height in body heights."""

    kind: str
    half_width: float
    height: float
    left: bool  # carried on the person's left
    surface: Surface

    @property
    def sign(self) -> int:
        """Of the side that it is carried on."""
        return 1 if self.left else -1


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

    @property
    def upper_cut(self) -> Cut:
        return UPPER_CUTS[self.upper.cut]

    @property
    def lower_cut(self) -> Cut:
        return LOWER_CUTS[self.lower.cut]

    @property
    def hooded(self) -> bool:
        """A hood is over the head instead of on the shoulders."""
        return self.upper_cut.hood and self.hood_up and self.hat == "none"


def _cloth_colour(rng: Generator) -> Rgb:
    return similar_colour(CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))], rng, spread=0.03)


def _accessory(rng: Generator, *, warmth: float) -> Surface:
    """A bag, shoe or hat of any colour."""
    return Surface(_cloth_colour(rng), float(rng.uniform(*NEAR_INFRARED_THINGS)), warmth)


def _two_tones(rng: Generator, *, warmth: float) -> tuple[Surface, Surface]:
    """(base, accent) of a fabric, with contrast in visible light and in near infrared.

    Which of the two is the lighter one is drawn independently for each spectrum, so that a pattern
    keeps its geometry but not its sign. A print hardly changes how warm the cloth gets.
    """
    colours = [_cloth_colour(rng) for _ in range(2)]
    while abs(luminance(colours[0]) - luminance(colours[1])) < MIN_TONE_STEP:
        colours = [_cloth_colour(rng) for _ in range(2)]
    base = float(rng.uniform(*NEAR_INFRARED_CLOTH))
    step = float(rng.uniform(0.26, 0.4)) * (1 if rng.random() < 0.5 else -1)
    accent = float(np.clip(base + step, 0.08, 0.98))
    faint = float(rng.uniform(0.008, 0.025)) * (1 if rng.random() < 0.5 else -1)
    return Surface(colours[0], base, warmth), Surface(colours[1], accent, warmth + faint)


def _draw_garment(rng: Generator, name: str, cut: Cut, pattern_odds: Sequence[float]) -> Garment:
    base, accent = _two_tones(rng, warmth=float(cut.warmth + rng.normal(0.0, 0.03)))
    return Garment(
        cut=name,
        length=float(rng.uniform(0.84, 1.0)),
        hem=float(rng.uniform(0.6, 1.5)),
        ease=float(rng.uniform(0.92, 1.16)),
        pattern=str(rng.choice(PATTERNS, p=pattern_odds)),
        period=float(np.exp(rng.uniform(np.log(0.06), np.log(0.18)))),
        duty=float(rng.uniform(0.35, 0.6)),
        phase=float(rng.uniform(0.0, 6.2832)),
        base=base,
        accent=accent,
    )


def _draw_clothes(rng: Generator) -> tuple[Garment, Garment]:
    """(upper, lower)"""
    upper = str(rng.choice(list(UPPER_CUTS), p=(0.08, 0.22, 0.16, 0.14, 0.12, 0.11, 0.17)))
    lower = str(rng.choice(list(LOWER_CUTS), p=(0.18, 0.22, 0.15, 0.09, 0.14, 0.12, 0.1)))
    upper_odds, lower_odds = zip(*PATTERN_ODDS.values(), strict=True)
    return (
        _draw_garment(rng, upper, UPPER_CUTS[upper], upper_odds),
        _draw_garment(rng, lower, LOWER_CUTS[lower], lower_odds),
    )


def draw_person(rng: Generator) -> Person:
    """Draw one identity; equal generators give equal persons."""
    build = rng.uniform(-1.0, 1.0)  # thin to heavy
    hip = 0.09 + 0.016 * build + rng.uniform(-0.009, 0.009)
    skin = SKIN_COLOURS[rng.integers(len(SKIN_COLOURS))]
    hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    upper, lower = _draw_clothes(rng)
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
        skin=Surface(similar_colour(skin, rng, spread=0.02), float(rng.uniform(0.56, 0.68)), 0.9),
        hair=Surface(
            similar_colour(hair, rng, spread=0.02),
            float(rng.uniform(0.14, 0.4)),
            float(rng.uniform(0.5, 0.6)),
        ),
        hat_surface=_accessory(rng, warmth=float(rng.uniform(0.4, 0.52))),
        shoes=_accessory(rng, warmth=float(AMBIENT_WARMTH + rng.uniform(0.04, 0.12))),
        upper=upper,
        lower=lower,
        bag=Bag(
            kind=str(rng.choice(BAGS, p=(0.3, 0.3, 0.2, 0.2))),
            half_width=float(rng.uniform(0.065, 0.11)),
            height=float(rng.uniform(0.14, 0.27)),
            left=bool(rng.random() < 0.5),
            surface=_accessory(rng, warmth=float(AMBIENT_WARMTH + rng.uniform(0.0, 0.08))),
        ),
    )
