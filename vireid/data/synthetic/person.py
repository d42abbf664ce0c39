"""What an identity is: proportions, garments, carried things and their look in each spectrum.

Shape is shared by all spectra. The surface of every part has one colour in visible light and an
independently drawn reflectance in near infrared, so colour cannot link the two modalities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPECTRA = ("visible", "near_infrared")

Rgb = tuple[float, float, float]

CLOTH_COLOURS: tuple[Rgb, ...] = (
    (0.09, 0.09, 0.10),
    (0.92, 0.92, 0.90),
    (0.52, 0.53, 0.55),
    (0.12, 0.16, 0.33),
    (0.22, 0.38, 0.66),
    (0.72, 0.12, 0.14),
    (0.45, 0.10, 0.16),
    (0.15, 0.42, 0.24),
    (0.42, 0.44, 0.24),
    (0.78, 0.68, 0.50),
    (0.42, 0.28, 0.18),
    (0.88, 0.74, 0.20),
    (0.86, 0.46, 0.16),
    (0.84, 0.55, 0.66),
    (0.45, 0.28, 0.55),
    (0.25, 0.62, 0.64),
)
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


@dataclass(frozen=True, slots=True)
class Surface:
    """How one material looks in every spectrum the renderer knows."""

    visible: Rgb  # in [0, 1]
    near_infrared: float  # reflectance in [0, 1]

    def seen_in(self, spectrum: str) -> Rgb:
        """RGB in [0, 1]; three equal values in a spectrum of one band.

        Raises:
            ValueError: unknown spectrum.
        """
        if spectrum == "visible":
            return self.visible
        if spectrum == "near_infrared":
            return (self.near_infrared,) * 3
        raise ValueError(f"spectrum={spectrum!r} is unknown; choose one of {SPECTRA}")


@dataclass(frozen=True, slots=True)
class UpperCut:
    """Shape of an upper garment; lengths in body heights unless said otherwise."""

    sleeve: float  # covered fraction of the arm
    hem: float  # how far below the hip joint it ends
    ease: float  # widening over the body
    hood: bool = False
    flare: float = 0.0  # extra half width at the hem


@dataclass(frozen=True, slots=True)
class LowerCut:
    """Shape of a lower garment."""

    length: float  # covered fraction of the leg
    ease: float  # width of the leg tube relative to the leg
    skirt: bool = False


UPPER_CUTS: dict[str, UpperCut] = {
    "tank": UpperCut(sleeve=0.0, hem=0.00, ease=1.00),
    "t_shirt": UpperCut(sleeve=0.38, hem=0.01, ease=1.06),
    "long_sleeve": UpperCut(sleeve=0.97, hem=0.02, ease=1.03),
    "hoodie": UpperCut(sleeve=1.0, hem=0.04, ease=1.18, hood=True),
    "bomber": UpperCut(sleeve=1.0, hem=-0.05, ease=1.28),
    "tunic": UpperCut(sleeve=0.68, hem=0.13, ease=1.08, flare=0.025),
    "coat": UpperCut(sleeve=1.0, hem=0.22, ease=1.18, flare=0.03),
}
LOWER_CUTS: dict[str, LowerCut] = {
    "tight": LowerCut(length=0.97, ease=1.05),
    "trousers": LowerCut(length=0.99, ease=1.35),
    "wide": LowerCut(length=1.0, ease=1.95),
    "cropped": LowerCut(length=0.76, ease=1.3),
    "shorts": LowerCut(length=0.46, ease=1.5),
    "skirt": LowerCut(length=0.42, ease=1.4, skirt=True),
    "long_skirt": LowerCut(length=0.82, ease=1.6, skirt=True),
}
PATTERNS = ("plain", "horizontal", "vertical", "checks", "block", "logo")
HAIR_STYLES = ("short", "bald", "bun", "bob", "long")
BAGS = ("none", "backpack", "shoulder_bag", "handbag")
HATS = ("none", "cap", "beanie")


@dataclass(frozen=True, slots=True)
class Garment:
    """A piece of clothing; its pattern has one geometry in all spectra."""

    cut: str
    length: float  # factor on the sleeve (upper) or leg (lower) length of the cut
    ease: float  # factor on the ease of the cut
    pattern: str
    period: float  # pattern repeat in body heights
    duty: float  # accent share of one repeat, in (0, 1)
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


@dataclass(frozen=True, slots=True)
class Person:
    """One identity. Lengths are in body heights, half widths measured from the middle line."""

    height_m: float
    shoulder: float  # half width
    waist: float  # half width
    hip: float  # half width
    hip_height: float
    head: float  # head height
    limb: float  # thickness factor of arms and legs
    swing: float  # gait amplitude factor
    hair_style: str
    hat: str
    shoe_height: float
    skin: Surface
    hair: Surface
    hat_surface: Surface
    shoes: Surface
    upper: Garment
    lower: Garment
    bag: Bag


def luminance(rgb: Sequence[float]) -> float:
    """Rec. 601 luma of an RGB triple, in the unit of its input."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def _near(rgb: Rgb, rng: np.random.Generator, *, spread: float) -> Rgb:
    red, green, blue = np.clip(np.asarray(rgb) + rng.normal(0.0, spread, 3), 0.02, 0.98)
    return float(red), float(green), float(blue)


def _cloth(rng: np.random.Generator) -> Surface:
    colour = CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))]
    return Surface(_near(colour, rng, spread=0.03), float(rng.uniform(0.12, 0.95)))


def _accent_of(base: Surface, rng: np.random.Generator) -> Surface:
    """A second surface whose contrast to ``base`` is drawn apart for each spectrum."""
    candidates = [_cloth(rng) for _ in range(4)]
    distances = [np.abs(np.subtract(c.visible, base.visible)).sum() for c in candidates]
    visible = candidates[int(np.argmax(distances))].visible
    # Dyes often vanish in near infrared: one pattern in six is all but invisible there.
    lost = rng.random() < 1 / 6
    contrast = float(rng.uniform(0.0, 0.05) if lost else rng.uniform(0.25, 0.5))
    upward = base.near_infrared + contrast <= 0.97 and (
        base.near_infrared - contrast < 0.06 or rng.random() < 0.5
    )
    near_infrared = base.near_infrared + (contrast if upward else -contrast)
    return Surface(visible, float(np.clip(near_infrared, 0.04, 0.99)))


def _garment(
    rng: np.random.Generator,
    cuts: Sequence[str],
    *,
    cut_odds: Sequence[float],
    pattern_odds: Sequence[float],
) -> Garment:
    base = _cloth(rng)
    return Garment(
        cut=str(rng.choice(cuts, p=cut_odds)),
        length=float(rng.uniform(0.88, 1.0)),
        ease=float(rng.uniform(0.94, 1.08)),
        pattern=str(rng.choice(PATTERNS, p=pattern_odds)),
        period=float(np.exp(rng.uniform(np.log(0.04), np.log(0.11)))),
        duty=float(rng.uniform(0.3, 0.6)),
        base=base,
        accent=_accent_of(base, rng),
    )


def _bag(rng: np.random.Generator) -> Bag:
    return Bag(
        kind=str(rng.choice(BAGS, p=(0.34, 0.28, 0.2, 0.18))),
        half_width=float(rng.uniform(0.055, 0.085)),
        height=float(rng.uniform(0.12, 0.22)),
        left=bool(rng.random() < 0.5),
        surface=_cloth(rng),
    )


def _clothes(rng: np.random.Generator) -> tuple[Garment, Garment]:
    """(upper, lower)"""
    upper = _garment(
        rng,
        list(UPPER_CUTS),
        cut_odds=(0.08, 0.22, 0.18, 0.14, 0.12, 0.1, 0.16),
        pattern_odds=(0.34, 0.16, 0.1, 0.13, 0.14, 0.13),
    )
    lower = _garment(
        rng,
        list(LOWER_CUTS),
        cut_odds=(0.2, 0.24, 0.12, 0.08, 0.14, 0.12, 0.1),
        pattern_odds=(0.68, 0.07, 0.09, 0.08, 0.08, 0.0),
    )
    return upper, lower


def draw_person(rng: np.random.Generator) -> Person:
    """Draw one identity; equal generators give equal persons."""
    hip = rng.uniform(0.074, 0.1)
    skin = SKIN_COLOURS[rng.integers(len(SKIN_COLOURS))]
    hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    upper, lower = _clothes(rng)
    return Person(
        height_m=float(np.clip(rng.normal(1.70, 0.09), 1.45, 2.0)),
        shoulder=float(rng.uniform(0.1, 0.132)),
        waist=float(hip * rng.uniform(0.82, 1.12)),
        hip=float(hip),
        hip_height=float(rng.uniform(0.47, 0.53)),
        head=float(rng.uniform(0.128, 0.15)),
        limb=float(rng.uniform(0.85, 1.25)),
        swing=float(rng.uniform(0.7, 1.15)),
        hair_style=str(rng.choice(HAIR_STYLES, p=(0.38, 0.1, 0.12, 0.16, 0.24))),
        hat=str(rng.choice(HATS, p=(0.74, 0.16, 0.1))),
        shoe_height=float(rng.choice((0.0, 0.04, 0.13), p=(0.65, 0.2, 0.15))),
        # Melanin hardly absorbs near infrared, so skin tone and hair colour are lost there too.
        skin=Surface(_near(skin, rng, spread=0.02), float(rng.uniform(0.56, 0.68))),
        hair=Surface(_near(hair, rng, spread=0.02), float(rng.uniform(0.14, 0.4))),
        hat_surface=_cloth(rng),
        shoes=_cloth(rng),
        upper=upper,
        lower=lower,
        bag=_bag(rng),
    )
