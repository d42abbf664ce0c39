"""The map of body parts that a figure is painted on: labels and patterns, but no colours yet."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from vireid.synthetic.pedestrians.person import Garment, Person
from vireid.synthetic.pedestrians.skeleton import Frame, Joint, PicturePoint, tube

# Named as the attributes of a person that hold their surfaces, but for the last one.
PARTS = (
    "skin", "hair", "upper.base", "upper.accent", "lower.base",
    "lower.accent", "shoes", "bag.surface", "hat_surface", "occluder",
)  # fmt: skip
SHADES = (1.0, 0.82, 0.6)  # lit, turned away, crease
BACKGROUND = 255
TRUNK_HALF_WIDTH = 0.11  # body heights; places the seam between left and right half
SPLIT_HEIGHTS = {True: (0.6, 0.72), False: (0.22, 0.34)}  # upper and lower garments
WHOLE = frozenset({"plain", "logo", "contrast_sleeves"})  # one tone all over the piece

Paint = int | Image.Image


def label(part: str, shade: int = 0) -> int:
    """Value of a part at a shade in the map."""
    return len(SHADES) * PARTS.index(part) + shade


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


def _columns(cloth: Cloth, garment: Garment) -> np.ndarray:
    return _share(np.abs(cloth.across), garment, garment.duty / 2)


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
    "vertical": _columns,
    "checks": lambda cloth, garment: _share(cloth.up, garment) ^ _columns(cloth, garment),
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


def _plain(part: str) -> list[Paint]:
    return [label(part, shade) for shade in range(2)]


class Painter:
    """Paints parts onto one map, later ones over earlier ones.

    Args:
        size: (width, height) of the map in pixels.
    """

    def __init__(self, person: Person, frame: Frame, size: tuple[int, int]) -> None:
        self.person, self.frame, self.size = person, frame, size
        self.image = Image.new("L", size, BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)
        cloth = Cloth.seen_by(frame, size)
        self.upper = self._paints("upper", person.upper, cloth)
        self.lower = self._paints("lower", person.lower, cloth)
        contrast = person.upper.pattern == "contrast_sleeves"
        self.sleeves = _plain("upper.accent") if contrast else self.upper

    def _paints(self, part: str, garment: Garment, cloth: Cloth) -> list[Paint]:
        """One paint per shade; patterned garments are painted from a picture-sized tile."""
        if garment.pattern in WHOLE:
            return _plain(f"{part}.base")
        mask = accent_mask(garment, cloth, upper=part == "upper")
        values = np.where(mask, label(f"{part}.accent"), label(f"{part}.base")).astype(np.uint8)
        tile = np.broadcast_to(values, self.size[::-1])
        return [Image.fromarray(tile + np.uint8(shade)) for shade in range(2)]

    def polygon(
        self, points: list[PicturePoint], paint: Paint, *, crease: int | None = None
    ) -> None:
        """Fill a polygon; ``crease`` is the label of an outline between parts of one label."""
        if isinstance(paint, int):
            self.draw.polygon(points, fill=paint)
        else:
            (xs, ys), (width, height) = zip(*points, strict=True), self.size
            left, top = max(int(min(xs)), 0), max(int(min(ys)), 0)
            right, bottom = min(int(max(xs)) + 2, width), min(int(max(ys)) + 2, height)
            if right <= left or bottom <= top:
                return
            mask = Image.new("1", (right - left, bottom - top), 0)
            ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=1)
            box = (left, top, right, bottom)
            self.image.paste(paint.crop(box), box, mask)
        if crease is not None:
            self.draw.line([*points, points[0]], fill=crease, width=max(self.size[0] // 128, 1))

    def ellipse(self, centre: PicturePoint, half_x: float, half_y: float, paint: int) -> None:
        """An ellipse; everything in pixels."""
        x, y = centre
        self.draw.ellipse((x - half_x, y - half_y, x + half_x, y + half_y), fill=paint)

    def ball(self, joint: Joint, half_x: float, half_y: float, paint: int) -> None:
        """An ellipse around a body point; half axes in body heights."""
        frame = self.frame
        self.ellipse(frame.point(joint), half_x * frame.unit_x, half_y * frame.unit_y, paint)

    def limb(
        self, chain: list[Joint], widths: list[float], paint: Paint, *, crease: int | None = None
    ) -> None:
        """A tube along joints; half widths in body heights."""
        points = [self.frame.point(joint) for joint in chain]
        pixels = [self.frame.unit_x * half for half in widths[: len(points)]]
        self.polygon(tube(points, pixels), paint, crease=crease)

    def slab(
        self,
        levels: list[tuple[float, float, float]],
        paint: Paint,
        *,
        forward: float = 0.0,
        side: float = 0.0,
        crease: int | None = None,
    ) -> None:
        """An upright body given by (up, side half axis, forward half axis) from top to bottom."""
        frame = self.frame
        rows = [
            (frame.point((side, up, forward)), frame.breadth(half, depth))
            for up, half, depth in levels
        ]
        left = [(x - half, y) for (x, y), half in rows]
        right = [(x + half, y) for (x, y), half in rows]
        self.polygon(left + right[::-1], paint, crease=crease)
