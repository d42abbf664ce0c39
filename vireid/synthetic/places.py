"""The places that cameras watch, painted once as a panorama in every spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vireid.synthetic.surfaces import AMBIENT_WARMTH, Surface, as_rgb

SCENE_HEIGHT = 240
SCENE_WIDTH = 480


@dataclass(frozen=True, slots=True)
class Place:
    """Painted geometry, the same in every spectrum."""

    labels: np.ndarray  # (SCENE_HEIGHT, SCENE_WIDTH) uint8, an index into ``surfaces``
    surfaces: tuple[Surface, ...]


class PlacePainter:
    """Collects shapes and the surface of each."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.image = Image.new("L", (SCENE_WIDTH, SCENE_HEIGHT), 0)
        self.draw = ImageDraw.Draw(self.image)
        self.surfaces: list[Surface] = []

    def surface(
        self,
        hue: Sequence[float],
        *,
        spread: float = 0.02,
        near_infrared: tuple[float, float] = (0.15, 0.75),
        warmth: float = AMBIENT_WARMTH,
    ) -> int:
        """Label of a new surface with a colour near ``hue``."""
        colour = as_rgb(np.asarray(hue) + self.rng.normal(0, spread, 3), 0.03, 0.97)
        reflectance = float(self.rng.uniform(*near_infrared))
        thermal = max(warmth + float(self.rng.normal(0.0, 0.02)), 0.0)
        self.surfaces.append(Surface(colour, reflectance, thermal))
        return len(self.surfaces) - 1

    def muted(self, low: float, high: float, *, chroma: float = 0.05) -> tuple[float, ...]:
        """A colour near the grey axis, as most walls and floors have."""
        return tuple(self.rng.uniform(low, high) + self.rng.normal(0.0, chroma, 3))

    def place(self) -> Place:
        return Place(np.asarray(self.image).copy(), tuple(self.surfaces))


def indoor_place(rng: np.random.Generator) -> Place:
    """A room: wall, floor, doors, shelves and notices."""
    painter = PlacePainter(rng)
    draw = painter.draw
    floor_y = int(rng.integers(160, 190))
    wall = painter.surface(painter.muted(0.55, 0.85), near_infrared=(0.3, 0.7))
    draw.rectangle((0, 0, SCENE_WIDTH, floor_y), fill=wall)
    floor_hue = painter.muted(0.3, 0.6)
    draw.rectangle((0, floor_y, SCENE_WIDTH, SCENE_HEIGHT), fill=painter.surface(floor_hue))
    joint = painter.surface([0.8 * channel for channel in floor_hue], spread=0.0)
    for x in range(-SCENE_WIDTH, 2 * SCENE_WIDTH, 48):  # floor tiles run to a vanishing point
        middle = SCENE_WIDTH // 2
        draw.line((x, SCENE_HEIGHT, middle + (x - middle) // 2, floor_y), fill=joint)
    draw.rectangle((0, floor_y - 6, SCENE_WIDTH, floor_y), fill=painter.surface((0.3, 0.25, 0.2)))
    for _ in range(3):  # doors
        x = int(rng.integers(0, SCENE_WIDTH - 50))
        hue = painter.muted(0.25, 0.6)
        draw.rectangle((x, 50, x + 46, floor_y), fill=painter.surface(hue))
        draw.rectangle((x + 8, 62, x + 38, 100), fill=painter.surface(hue, spread=0.06))
    for _ in range(16):  # notices, shelves, tables
        x, y = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(20, floor_y - 10))
        width, height = int(rng.integers(12, 60)), int(rng.integers(8, 50))
        hue = painter.muted(0.2, 0.85, chroma=0.1)
        draw.rectangle((x, y, x + width, y + height), fill=painter.surface(hue))
    _add_posts(painter, floor_y)
    _add_heat(painter, floor_y)
    return painter.place()


def outdoor_place(rng: np.random.Generator) -> Place:
    """A street front: sky, building with windows, hedge, trees and pavement."""
    painter = PlacePainter(rng)
    draw = painter.draw
    ground_y = int(rng.integers(130, 170))
    sky = painter.surface((0.7, 0.78, 0.86), near_infrared=(0.05, 0.15), warmth=0.06)
    draw.rectangle((0, 0, SCENE_WIDTH, SCENE_HEIGHT), fill=sky)
    glass = painter.surface((0.25, 0.3, 0.36), near_infrared=(0.08, 0.3), warmth=0.17)
    x = 0
    while x < SCENE_WIDTH:  # buildings
        width, top = int(rng.integers(70, 150)), int(rng.integers(0, 50))
        hue = painter.muted(0.4, 0.75)
        draw.rectangle((x, top, x + width, ground_y), fill=painter.surface(hue))
        for column in range(x + 10, x + width - 14, 26):
            for row in range(top + 10, ground_y - 30, 34):
                draw.rectangle((column, row, column + 13, row + 20), fill=glass)
        x += width + int(rng.integers(0, 24))
    paving = painter.muted(0.4, 0.62, chroma=0.02)
    draw.rectangle(
        (0, ground_y, SCENE_WIDTH, SCENE_HEIGHT), fill=painter.surface(paving, warmth=0.31)
    )
    kerb = painter.surface([0.75 * channel for channel in paving], spread=0.01)
    for y in (ground_y + 14, ground_y + 34, ground_y + 66):
        draw.line((0, y, SCENE_WIDTH, y + 4), fill=kerb, width=2)
    for _ in range(12):  # trees and bushes; leaves are bright in near infrared
        x, radius = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(12, 38))
        y = ground_y - int(rng.integers(0, 70))
        draw.rectangle((x - 3, y, x + 3, ground_y + 4), fill=painter.surface((0.3, 0.22, 0.15)))
        leaves = painter.surface((0.24, 0.36, 0.2), near_infrared=(0.6, 0.9), warmth=0.19)
        draw.ellipse((x - radius, y - radius, x + radius, y + int(radius * 0.8)), fill=leaves)
    _add_posts(painter, ground_y)
    _add_heat(painter, ground_y)
    return painter.place()


def road_place(rng: np.random.Generator) -> Place:
    """A road seen from above: lanes and kerbs that run into the distance, verge, houses behind."""
    painter = PlacePainter(rng)
    draw = painter.draw
    horizon = int(rng.integers(20, 70))
    verge = painter.surface((0.3, 0.38, 0.24) if rng.random() < 0.6 else painter.muted(0.35, 0.55))
    draw.rectangle((0, 0, SCENE_WIDTH, SCENE_HEIGHT), fill=verge)
    x = 0
    while x < SCENE_WIDTH:  # houses, walls, bushes
        width, top = int(rng.integers(30, 110)), int(rng.integers(0, horizon))
        hue = painter.muted(0.25, 0.75, chroma=0.06)
        draw.rectangle((x, top, x + width, horizon + 6), fill=painter.surface(hue))
        x += width
    _paint_road(painter, horizon)
    return painter.place()


def _paint_road(painter: PlacePainter, horizon: int) -> None:
    rng = painter.rng
    middle = int(rng.integers(SCENE_WIDTH // 4, 3 * SCENE_WIDTH // 4))
    half = int(rng.integers(300, 600))  # width at the lower edge

    def across(share: float, y: int) -> float:
        """x where a line along the road crosses a row; ``share``: of the road's half width."""
        near = (y - horizon) / (SCENE_HEIGHT - horizon)
        return middle + share * (40 + (half - 40) * near)

    def strip(left: float, right: float, top: int, bottom: int, paint: int) -> None:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        painter.draw.polygon([(across(share, y), y) for share, y in corners], fill=paint)

    tar = painter.muted(0.3, 0.5, chroma=0.015)
    strip(-1.0, 1.0, horizon, SCENE_HEIGHT, painter.surface(tar, spread=0.0))
    line = painter.surface((0.8, 0.8, 0.76))
    for share in (-0.95, 0.93):
        strip(share, share + 0.02, horizon, SCENE_HEIGHT, line)
    for lane in (-0.32, 0.32):
        for start in range(horizon, SCENE_HEIGHT, 40):
            strip(lane, lane + 0.015, start, min(start + 22, SCENE_HEIGHT), line)
    worn = painter.surface([0.88 * channel for channel in tar], spread=0.01)
    for _ in range(6):  # patches of newer tar
        y, share = int(rng.integers(horizon, SCENE_HEIGHT - 20)), float(rng.uniform(-0.9, 0.6))
        strip(share, share + float(rng.uniform(0.1, 0.4)), y, y + int(rng.integers(6, 20)), worn)


def _add_posts(painter: PlacePainter, ground_y: int) -> None:
    for _ in range(5):  # lamp posts, frames, pipes
        x, width = int(painter.rng.integers(0, SCENE_WIDTH)), int(painter.rng.integers(3, 9))
        top = int(painter.rng.integers(0, 60))
        hue = painter.muted(0.15, 0.8)
        painter.draw.rectangle((x, top, x + width, ground_y + 8), fill=painter.surface(hue))


def _add_heat(painter: PlacePainter, ground_y: int) -> None:
    """Radiators, engines, vents: warm in thermal only."""
    for _ in range(2):
        x, y = int(painter.rng.integers(0, SCENE_WIDTH)), int(painter.rng.integers(60, ground_y))
        width, height = int(painter.rng.integers(14, 44)), int(painter.rng.integers(10, 26))
        warm = painter.surface(painter.muted(0.3, 0.8), warmth=painter.rng.uniform(0.35, 0.55))
        painter.draw.rectangle((x, y, x + width, y + height), fill=warm)


def photograph(place: Place, spectrum: str, rng: np.random.Generator) -> np.ndarray:
    """The panorama of a place in one spectrum, with fixed surface texture.

    Returns:
        (SCENE_HEIGHT, SCENE_WIDTH, 3) uint8
    """
    palette = np.array([surface.seen_in(spectrum) for surface in place.surfaces])
    if spectrum == "near_infrared":  # the lamp beside the camera hardly lights the background
        palette *= 0.5
    grain = rng.normal(0.0, 0.025, (SCENE_HEIGHT, SCENE_WIDTH, 1))
    blots = rng.normal(0.0, 0.03, (SCENE_HEIGHT // 20, SCENE_WIDTH // 20)).astype(np.float32)
    stains = np.asarray(
        Image.fromarray(blots).resize((SCENE_WIDTH, SCENE_HEIGHT), Image.Resampling.BICUBIC)
    )[..., None]
    # (H, W, 3): patches and grain are grey, so a one-band spectrum stays grey.
    texture = palette[place.labels] + grain + stains
    image = Image.fromarray((np.clip(texture, 0, 1) * 255).astype(np.uint8))
    half = image.resize((SCENE_WIDTH // 2, SCENE_HEIGHT // 2), Image.Resampling.BOX)
    return np.asarray(half.resize(image.size, Image.Resampling.BILINEAR)).copy()
