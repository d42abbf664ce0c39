"""What people wear and carry: cuts, fabrics with patterns, bags."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid.synthetic.pedestrians.surfaces import AMBIENT_WARMTH, Surface, thing, two_tones


@dataclass(frozen=True, slots=True)
class UpperCut:
    """Shape of an upper garment; lengths in body heights unless said otherwise."""

    sleeve: float  # covered fraction of the arm
    hem: float  # how far below the hip joint it ends
    ease: float  # widening over the body
    warmth: float  # of its outside; the thicker, the nearer to the air
    hood: bool = False
    flare: float = 0.0  # extra half width at the hem


@dataclass(frozen=True, slots=True)
class LowerCut:
    """Shape of a lower garment."""

    length: float  # covered fraction of the leg
    ease: float  # width of the leg tube relative to the leg
    warmth: float  # as of an upper garment
    skirt: bool = False


UPPER_CUTS: dict[str, UpperCut] = {
    "tank": UpperCut(sleeve=0.0, hem=0.00, ease=1.00, warmth=0.72),
    "t_shirt": UpperCut(sleeve=0.38, hem=0.01, ease=1.06, warmth=0.68),
    "long_sleeve": UpperCut(sleeve=0.97, hem=0.02, ease=1.03, warmth=0.6),
    "hoodie": UpperCut(sleeve=1.0, hem=0.04, ease=1.18, warmth=0.48, hood=True),
    "bomber": UpperCut(sleeve=1.0, hem=-0.05, ease=1.3, warmth=0.42),
    "tunic": UpperCut(sleeve=0.68, hem=0.13, ease=1.08, warmth=0.64, flare=0.03),
    "coat": UpperCut(sleeve=1.0, hem=0.22, ease=1.2, warmth=0.38, flare=0.035),
}
LOWER_CUTS: dict[str, LowerCut] = {
    "tight": LowerCut(length=0.97, ease=1.05, warmth=0.66),
    "trousers": LowerCut(length=0.99, ease=1.35, warmth=0.56),
    "wide": LowerCut(length=1.0, ease=2.0, warmth=0.46),
    "cropped": LowerCut(length=0.76, ease=1.3, warmth=0.58),
    "shorts": LowerCut(length=0.46, ease=1.5, warmth=0.56),
    "skirt": LowerCut(length=0.42, ease=1.4, warmth=0.54, skirt=True),
    "long_skirt": LowerCut(length=0.82, ease=1.6, warmth=0.48, skirt=True),
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
BAGS = ("none", "backpack", "shoulder_bag", "handbag")


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


def _garment(
    rng: np.random.Generator, cut: str, *, warmth: float, pattern_odds: Sequence[float]
) -> Garment:
    base, accent = two_tones(rng, warmth=float(warmth + rng.normal(0.0, 0.03)))
    return Garment(
        cut=cut,
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


def draw_clothes(rng: np.random.Generator) -> tuple[Garment, Garment]:
    """(upper, lower)"""
    upper_cut = str(rng.choice(list(UPPER_CUTS), p=(0.08, 0.22, 0.16, 0.14, 0.12, 0.11, 0.17)))
    lower_cut = str(rng.choice(list(LOWER_CUTS), p=(0.18, 0.22, 0.15, 0.09, 0.14, 0.12, 0.1)))
    upper_odds, lower_odds = zip(*PATTERN_ODDS.values(), strict=True)
    return (
        _garment(rng, upper_cut, warmth=UPPER_CUTS[upper_cut].warmth, pattern_odds=upper_odds),
        _garment(rng, lower_cut, warmth=LOWER_CUTS[lower_cut].warmth, pattern_odds=lower_odds),
    )


def draw_bag(rng: np.random.Generator) -> Bag:
    """A bag, or one of the kind ``none``."""
    return Bag(
        kind=str(rng.choice(BAGS, p=(0.3, 0.3, 0.2, 0.2))),
        half_width=float(rng.uniform(0.065, 0.11)),
        height=float(rng.uniform(0.14, 0.27)),
        left=bool(rng.random() < 0.5),
        surface=thing(rng, warmth=float(AMBIENT_WARMTH + rng.uniform(0.0, 0.08))),
    )
