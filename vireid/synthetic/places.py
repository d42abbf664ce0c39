"""The places that cameras watch, painted once as a panorama in every spectrum."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from vireid.synthetic.surfaces import AMBIENT_WARMTH, Surface, as_rgb

SCENE_HEIGHT = 240
SCENE_WIDTH = 480


class Place:
    """Painted shapes and the surface of each, the same in every spectrum."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.labels = Image.new("L", (SCENE_WIDTH, SCENE_HEIGHT), 0)  # index into ``surfaces``
        self.draw = ImageDraw.Draw(self.labels)
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

    def box(self, box: tuple[float, ...], hue: Sequence[float], **options: Any) -> None:
        """A rectangle (left, top, right, bottom); ``options`` of ``surface``."""
        self.draw.rectangle(box, fill=self.surface(hue, **options))

    def muted(self, low: float, high: float, *, chroma: float = 0.05) -> tuple[float, ...]:
        """A colour near the grey axis, as most walls and floors have."""
        return tuple(self.rng.uniform(low, high) + self.rng.normal(0.0, chroma, 3))


def indoor_place(rng: Generator) -> Place:
    """A room: wall, floor, doors, shelves and notices."""
    place = Place(rng)
    floor_y = int(rng.integers(160, 190))
    place.box((0, 0, SCENE_WIDTH, floor_y), place.muted(0.55, 0.85), near_infrared=(0.3, 0.7))
    floor_hue = place.muted(0.3, 0.6)
    place.box((0, floor_y, SCENE_WIDTH, SCENE_HEIGHT), floor_hue)
    joint = place.surface([0.8 * channel for channel in floor_hue], spread=0.0)
    for x in range(-SCENE_WIDTH, 2 * SCENE_WIDTH, 48):  # floor tiles run to a vanishing point
        middle = SCENE_WIDTH // 2
        place.draw.line((x, SCENE_HEIGHT, middle + (x - middle) // 2, floor_y), fill=joint)
    place.box((0, floor_y - 6, SCENE_WIDTH, floor_y), (0.3, 0.25, 0.2))
    for _ in range(3):  # doors
        x = int(rng.integers(0, SCENE_WIDTH - 50))
        hue = place.muted(0.25, 0.6)
        place.box((x, 50, x + 46, floor_y), hue)
        place.box((x + 8, 62, x + 38, 100), hue, spread=0.06)
    for _ in range(16):  # notices, shelves, tables
        x, y = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(20, floor_y - 10))
        width, height = int(rng.integers(12, 60)), int(rng.integers(8, 50))
        place.box((x, y, x + width, y + height), place.muted(0.2, 0.85, chroma=0.1))
    _add_clutter(place, floor_y)
    return place


def outdoor_place(rng: Generator) -> Place:
    """A street front: sky, building with windows, hedge, trees and pavement."""
    place = Place(rng)
    draw = place.draw
    ground_y = int(rng.integers(130, 170))
    sky = {"near_infrared": (0.05, 0.15), "warmth": 0.06}
    place.box((0, 0, SCENE_WIDTH, SCENE_HEIGHT), (0.7, 0.78, 0.86), **sky)
    glass = place.surface((0.25, 0.3, 0.36), near_infrared=(0.08, 0.3), warmth=0.17)
    x = 0
    while x < SCENE_WIDTH:  # buildings
        width, top = int(rng.integers(70, 150)), int(rng.integers(0, 50))
        place.box((x, top, x + width, ground_y), place.muted(0.4, 0.75))
        for column in range(x + 10, x + width - 14, 26):
            for row in range(top + 10, ground_y - 30, 34):
                draw.rectangle((column, row, column + 13, row + 20), fill=glass)
        x += width + int(rng.integers(0, 24))
    paving = place.muted(0.4, 0.62, chroma=0.02)
    place.box((0, ground_y, SCENE_WIDTH, SCENE_HEIGHT), paving, warmth=0.31)
    kerb = place.surface([0.75 * channel for channel in paving], spread=0.01)
    for y in (ground_y + 14, ground_y + 34, ground_y + 66):
        draw.line((0, y, SCENE_WIDTH, y + 4), fill=kerb, width=2)
    for _ in range(12):  # trees and bushes; leaves are bright in near infrared
        x, radius = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(12, 38))
        y = ground_y - int(rng.integers(0, 70))
        place.box((x - 3, y, x + 3, ground_y + 4), (0.3, 0.22, 0.15))
        leaves = place.surface((0.24, 0.36, 0.2), near_infrared=(0.6, 0.9), warmth=0.19)
        draw.ellipse((x - radius, y - radius, x + radius, y + int(radius * 0.8)), fill=leaves)
    _add_clutter(place, ground_y)
    return place


def road_place(rng: Generator) -> Place:
    """A road seen from above: lanes and kerbs that run into the distance, verge, houses behind."""
    place = Place(rng)
    horizon = int(rng.integers(20, 70))
    verge = (0.3, 0.38, 0.24) if rng.random() < 0.6 else place.muted(0.35, 0.55)
    place.box((0, 0, SCENE_WIDTH, SCENE_HEIGHT), verge)
    x = 0
    while x < SCENE_WIDTH:  # houses, walls, bushes
        width, top = int(rng.integers(30, 110)), int(rng.integers(0, horizon))
        place.box((x, top, x + width, horizon + 6), place.muted(0.25, 0.75, chroma=0.06))
        x += width
    _paint_road(place, horizon)
    return place


def _paint_road(place: Place, horizon: int) -> None:
    rng = place.rng
    middle = int(rng.integers(SCENE_WIDTH // 4, 3 * SCENE_WIDTH // 4))
    half = int(rng.integers(300, 600))  # width at the lower edge

    def across(share: float, y: int) -> float:
        """x where a line along the road crosses a row; ``share``: of the road's half width."""
        near = (y - horizon) / (SCENE_HEIGHT - horizon)
        return middle + share * (40 + (half - 40) * near)

    def strip(left: float, right: float, top: int, bottom: int, paint: int) -> None:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        place.draw.polygon([(across(share, y), y) for share, y in corners], fill=paint)

    tar = place.muted(0.3, 0.5, chroma=0.015)
    strip(-1.0, 1.0, horizon, SCENE_HEIGHT, place.surface(tar, spread=0.0))
    line = place.surface((0.8, 0.8, 0.76))
    for share in (-0.95, 0.93):
        strip(share, share + 0.02, horizon, SCENE_HEIGHT, line)
    for lane in (-0.32, 0.32):
        for start in range(horizon, SCENE_HEIGHT, 40):
            strip(lane, lane + 0.015, start, min(start + 22, SCENE_HEIGHT), line)
    worn = place.surface([0.88 * channel for channel in tar], spread=0.01)
    for _ in range(6):  # patches of newer tar
        y, share = int(rng.integers(horizon, SCENE_HEIGHT - 20)), float(rng.uniform(-0.9, 0.6))
        strip(share, share + float(rng.uniform(0.1, 0.4)), y, y + int(rng.integers(6, 20)), worn)


def _add_clutter(place: Place, ground_y: int) -> None:
    """Posts and pipes; then radiators, engines and vents, which are warm in thermal only."""
    rng = place.rng
    for _ in range(5):
        x, width = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(3, 9))
        top = int(rng.integers(0, 60))
        place.box((x, top, x + width, ground_y + 8), place.muted(0.15, 0.8))
    for _ in range(2):
        x, y = int(rng.integers(0, SCENE_WIDTH)), int(rng.integers(60, ground_y))
        width, height = int(rng.integers(14, 44)), int(rng.integers(10, 26))
        hue, warmth = place.muted(0.3, 0.8), rng.uniform(0.35, 0.55)
        place.box((x, y, x + width, y + height), hue, warmth=warmth)


def photograph(place: Place, spectrum: str, rng: Generator) -> np.ndarray:
    """The panorama of a place in one spectrum, with fixed surface texture.

    Returns:
        (SCENE_HEIGHT, SCENE_WIDTH, 3) uint8
    """
    palette = np.array([surface.seen_in(spectrum) for surface in place.surfaces])
    if spectrum == "near_infrared":  # the lamp beside the camera hardly lights the background
        palette *= 0.5
    grain = rng.normal(0.0, 0.025, (SCENE_HEIGHT, SCENE_WIDTH, 1))
    blots = rng.normal(0.0, 0.03, (SCENE_HEIGHT // 20, SCENE_WIDTH // 20)).astype(np.float32)
    stains = Image.fromarray(blots).resize(place.labels.size, Image.Resampling.BICUBIC)
    # (H, W, 3): patches and grain are grey, so a one-band spectrum stays grey.
    texture = palette[np.asarray(place.labels)] + grain + np.asarray(stains)[..., None]
    image = Image.fromarray((np.clip(texture, 0, 1) * 255).astype(np.uint8))
    half = image.resize((SCENE_WIDTH // 2, SCENE_HEIGHT // 2), Image.Resampling.BOX)
    return np.asarray(half.resize(image.size, Image.Resampling.BILINEAR)).copy()
