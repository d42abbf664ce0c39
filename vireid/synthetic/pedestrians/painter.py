"""The drawing board of a figure: a map of labels, filled with shapes given in body axes."""

import numpy as np
from PIL import Image, ImageDraw

from vireid.synthetic.pedestrians.body import Frame, Joint, Point, tube
from vireid.synthetic.pedestrians.clothing import Garment
from vireid.synthetic.pedestrians.patterns import WHOLE, Cloth, accent_mask
from vireid.synthetic.pedestrians.person import Person

PARTS = (
    "skin",
    "hair",
    "upper",
    "upper_accent",
    "lower",
    "lower_accent",
    "shoes",
    "bag",
    "hat",
    "occluder",
)
SHADES = (1.0, 0.82, 0.6)  # lit, turned away, crease
BACKGROUND = 255
_LABEL = {part: len(SHADES) * i for i, part in enumerate(PARTS)}

Paint = int | Image.Image


def label(part: str, shade: int = 0) -> int:
    """Value of a part at a shade in the map."""
    return _LABEL[part] + shade


def _plain(part: str) -> list[Paint]:
    return [label(part, shade) for shade in range(2)]


class Painter:
    """Paints parts onto one map, later ones over earlier ones."""

    def __init__(self, person: Person, frame: Frame, size: tuple[int, int]) -> None:
        self.person, self.frame, self.size = person, frame, size
        self.image = Image.new("L", size, BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)
        self.cloth = Cloth.seen_by(frame, size)
        self.upper = self._paints("upper", person.upper)
        self.lower = self._paints("lower", person.lower)
        # Sleeves of the other tone are known from every side.
        apart = person.upper.pattern == "contrast_sleeves"
        self.sleeves = _plain("upper_accent") if apart else self.upper

    def _paints(self, part: str, garment: Garment) -> list[Paint]:
        """One paint per shade; patterned garments are painted from a picture-sized tile."""
        if garment.pattern in WHOLE:
            return _plain(part)
        mask = accent_mask(garment, self.cloth, upper=part == "upper")
        values = np.where(mask, np.uint8(label(f"{part}_accent")), np.uint8(label(part)))
        width, height = self.size
        tile = np.broadcast_to(values, (height, width))
        return [Image.fromarray(tile + np.uint8(shade)) for shade in range(2)]

    def polygon(self, points: list[Point], paint: Paint, *, crease: int | None = None) -> None:
        """Fill a polygon; ``crease`` outlines it so that it stands out from its like."""
        if isinstance(paint, int):
            self.draw.polygon(points, fill=paint)
        else:
            xs, ys = zip(*points, strict=True)
            left, top = max(int(min(xs)), 0), max(int(min(ys)), 0)
            right = min(int(max(xs)) + 2, self.size[0])
            bottom = min(int(max(ys)) + 2, self.size[1])
            if right <= left or bottom <= top:
                return
            mask = Image.new("1", (right - left, bottom - top), 0)
            ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=1)
            box = (left, top, right, bottom)
            self.image.paste(paint.crop(box), box, mask)
        if crease is not None:
            self.draw.line([*points, points[0]], fill=crease, width=max(self.size[0] // 128, 1))

    def ellipse(self, centre: Point, half_x: float, half_y: float, paint: int) -> None:
        x, y = centre
        self.draw.ellipse((x - half_x, y - half_y, x + half_x, y + half_y), fill=paint)

    def limb(
        self,
        chain: list[Joint],
        half_widths: list[float],
        paint: Paint,
        *,
        crease: int | None = None,
    ) -> None:
        """A tube along joints; half widths in body heights."""
        points = [self.frame.point(joint) for joint in chain]
        widths = [self.frame.unit_x * half for half in half_widths[: len(points)]]
        self.polygon(tube(points, widths), paint, crease=crease)

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
