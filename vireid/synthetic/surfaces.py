"""Materials: how a surface looks in each spectrum.

A surface has one colour in visible light, a near-infrared reflectance that is drawn independently
of it, and a thermal warmth that depends on what the surface is: colour cannot link two spectra.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

Rgb = tuple[float, float, float]
AMBIENT_WARMTH = 0.24  # of things at the temperature of the air; bare skin is near 0.9


@dataclass(frozen=True, slots=True)
class Surface:
    """One material in every spectrum of the renderer; all numbers in [0, 1]."""

    visible: Rgb
    near_infrared: float  # reflectance
    thermal: float = AMBIENT_WARMTH  # apparent warmth

    def seen_in(self, spectrum: str) -> Rgb:
        """RGB in [0, 1]; three equal values in a spectrum of one band."""
        if spectrum == "visible":
            return self.visible
        return ({"near_infrared": self.near_infrared, "thermal": self.thermal}[spectrum],) * 3


def luminance(rgb: Sequence[float]) -> float:
    """Rec. 601 luma of an RGB triple, in the unit of its input."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def as_rgb(values: Sequence[float] | np.ndarray, low: float, high: float) -> Rgb:
    """Three numbers, limited to [low, high]."""
    red, green, blue = np.clip(values, low, high).tolist()
    return red, green, blue


def similar_colour(rgb: Rgb, rng: Generator, *, spread: float) -> Rgb:
    """A colour near ``rgb``, ``spread`` standard deviations per channel."""
    return as_rgb(np.asarray(rgb) + rng.normal(0.0, spread, 3), 0.02, 0.98)
