"""Materials: how a surface looks in each spectrum, and the tones of cloth.

A surface has one colour in visible light, a reflectance in near infrared that was drawn apart
from it, and a warmth that depends on what wears it: colour cannot link two spectra.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPECTRA = ("visible", "near_infrared", "thermal")

Rgb = tuple[float, float, float]

AMBIENT_WARMTH = 0.24  # of things at the temperature of the air; bare skin is near 0.9
NEAR_INFRARED_CLOTH = (0.42, 0.72)  # most dyes are transparent there, so cloth is pale
NEAR_INFRARED_THINGS = (0.2, 0.75)  # leather, rubber, plastics
MIN_TONE_STEP = 0.3  # luma between the two tones of a pattern
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


@dataclass(frozen=True, slots=True)
class Surface:
    """How one material looks in every spectrum the renderer knows."""

    visible: Rgb  # in [0, 1]
    near_infrared: float  # reflectance in [0, 1]
    thermal: float = AMBIENT_WARMTH  # apparent warmth in [0, 1]

    def seen_in(self, spectrum: str) -> Rgb:
        """RGB in [0, 1]; three equal values in a spectrum of one band.

        Raises:
            ValueError: unknown spectrum.
        """
        if spectrum == "visible":
            return self.visible
        if spectrum == "near_infrared":
            return (self.near_infrared,) * 3
        if spectrum == "thermal":
            return (self.thermal,) * 3
        raise ValueError(f"spectrum={spectrum!r} is unknown; choose one of {SPECTRA}")


def luminance(rgb: Sequence[float]) -> float:
    """Rec. 601 luma of an RGB triple, in the unit of its input."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def near(rgb: Rgb, rng: np.random.Generator, *, spread: float) -> Rgb:
    """A colour in [0.02, 0.98] about ``rgb``."""
    red, green, blue = np.clip(np.asarray(rgb) + rng.normal(0.0, spread, 3), 0.02, 0.98)
    return float(red), float(green), float(blue)


def _cloth_colour(rng: np.random.Generator) -> Rgb:
    return near(CLOTH_COLOURS[rng.integers(len(CLOTH_COLOURS))], rng, spread=0.03)


def thing(rng: np.random.Generator, *, warmth: float) -> Surface:
    """A bag, shoe or hat of any colour."""
    return Surface(_cloth_colour(rng), float(rng.uniform(*NEAR_INFRARED_THINGS)), warmth)


def two_tones(rng: np.random.Generator, *, warmth: float) -> tuple[Surface, Surface]:
    """(base, accent) of a fabric, well apart in visible light and in near infrared.

    Which of the two is the lighter one is drawn apart for each spectrum, so that a pattern keeps
    its geometry but not its sign. A print hardly changes how warm the cloth gets.
    """
    colours = [_cloth_colour(rng) for _ in range(2)]
    while abs(luminance(colours[0]) - luminance(colours[1])) < MIN_TONE_STEP:
        colours = [_cloth_colour(rng) for _ in range(2)]
    base = float(rng.uniform(*NEAR_INFRARED_CLOTH))
    step = float(rng.uniform(0.26, 0.4)) * (1 if rng.random() < 0.5 else -1)
    accent = float(np.clip(base + step, 0.08, 0.98))
    faint = float(rng.uniform(0.008, 0.025)) * (1 if rng.random() < 0.5 else -1)
    return Surface(colours[0], base, warmth), Surface(colours[1], accent, warmth + faint)
