"""The geometry of fabric patterns: where a garment shows its second tone."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from vireid.synthetic.pedestrians.body import Frame
from vireid.synthetic.pedestrians.clothing import Garment

TRUNK_HALF_WIDTH = 0.11  # body heights; places the seam between left and right half
SPLIT_HEIGHTS = {True: (0.6, 0.72), False: (0.22, 0.34)}  # upper and lower garments
WHOLE = frozenset({"plain", "logo", "contrast_sleeves"})  # one tone all over the piece


@dataclass(frozen=True, slots=True)
class Cloth:
    """Where the pixels of a picture lie on a person, in body heights."""

    up: np.ndarray  # (H, 1)
    across: np.ndarray  # (1, W), from the middle line to the right of the picture
    on_left: np.ndarray  # (1, W) bool, on the left half of the person's body

    @classmethod
    def seen_by(cls, frame: Frame, size: tuple[int, int]) -> "Cloth":
        """Of a picture of ``size`` (width, height) pixels."""
        width, height = size
        up = (frame.ground_y - np.arange(height, dtype=np.float32)[:, None]) / frame.unit_y
        across = np.arange(width, dtype=np.float32)[None, :] - np.float32(frame.centre_x)
        across = across / np.float32(frame.unit_x)
        # The trunk as an upright cylinder: the side of its axis on which each column lies.
        u = np.clip(across / TRUNK_HALF_WIDTH, -1, 1)
        side = cos(frame.azimuth) * u - sin(frame.azimuth) * np.sqrt(1 - u * u)
        return cls(up.astype(np.float32), across, side > 0)


def _share(position: np.ndarray, garment: Garment, offset: float = 0.0) -> np.ndarray:
    return (position / garment.period + offset) % 1.0 < garment.duty


def _checks(cloth: Cloth, garment: Garment) -> np.ndarray:
    columns = _share(np.abs(cloth.across), garment, garment.duty / 2)
    return _share(cloth.up, garment) ^ columns


def _zigzag(cloth: Cloth, garment: Garment) -> np.ndarray:
    tooth = np.abs(2 * ((cloth.across / (1.2 * garment.period)) % 1.0) - 1)
    return _share(cloth.up + 0.7 * garment.period * tooth, garment)


def _dots(cloth: Cloth, garment: Garment) -> np.ndarray:
    rows = (cloth.up / garment.period) % 1.0 - 0.5
    columns = (cloth.across / garment.period + 0.5) % 1.0 - 0.5
    return rows**2 + columns**2 < garment.duty / pi


def _camouflage(cloth: Cloth, garment: Garment) -> np.ndarray:
    """Two bent waves whose sum has islands, half a repeat wide."""
    turn, phase = 2 * pi / (1.3 * garment.period), garment.phase
    up, across = cloth.up * turn, cloth.across * turn
    first = np.sin(across + 1.1 * np.sin(0.55 * up + phase) + phase)
    second = np.sin(0.9 * up + 1.2 * np.sin(0.6 * across + 2 * phase))
    return first + second > 0.9 - 1.4 * garment.duty


def _chest_band(cloth: Cloth, garment: Garment) -> np.ndarray:
    middle = 0.66 + 0.16 * (garment.duty - 0.35)
    return np.abs(cloth.up - middle) < 0.02 + 0.3 * garment.period


MASKS: dict[str, Callable[[Cloth, Garment], np.ndarray]] = {
    "horizontal": lambda cloth, garment: _share(cloth.up, garment),
    "vertical": lambda cloth, garment: _share(np.abs(cloth.across), garment, garment.duty / 2),
    "checks": _checks,
    "diagonal": lambda cloth, garment: _share(cloth.up + cloth.across, garment),
    "zigzag": _zigzag,
    "dots": _dots,
    "camouflage": _camouflage,
    "chest_band": _chest_band,
    "two_tone": lambda cloth, garment: cloth.on_left,
}


def accent_mask(garment: Garment, cloth: Cloth, *, upper: bool) -> np.ndarray:
    """Where a patterned garment shows its accent: bool, broadcastable to (H, W)."""
    if garment.pattern == "block":
        low, high = SPLIT_HEIGHTS[upper]
        return cloth.up > low + (high - low) * (garment.duty - 0.35) / 0.25
    return MASKS[garment.pattern](cloth, garment)
