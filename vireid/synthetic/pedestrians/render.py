"""One picture of a person: figure, shadow and occluder before a camera's background."""

from dataclasses import dataclass
from math import pi
from operator import attrgetter

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw

from vireid.synthetic.cameras import Camera
from vireid.synthetic.optics import View, background, draw_exposure, take_picture
from vireid.synthetic.pedestrians.figure import paint_person
from vireid.synthetic.pedestrians.painter import BACKGROUND, PARTS, SHADES, label
from vireid.synthetic.pedestrians.person import Person
from vireid.synthetic.pedestrians.skeleton import Frame
from vireid.synthetic.surfaces import Surface, as_rgb

SUPERSAMPLING = 2
OCCLUDERS = ("none", "post", "low", "passer_by")  # in tracks also "crossing", who walks through


@dataclass(frozen=True, slots=True, kw_only=True)
class PedestrianView(View):
    """How one picture of a person is taken."""

    phase: float  # gait, radians
    shadow: float  # in [0, 1]: to which side it falls
    occluder_surface: Surface


def draw_view(camera: Camera, rng: Generator, *, from_behind: bool = False) -> PedestrianView:
    """Draw a view that is usual for a camera.

    Args:
        from_behind: for cameras that see people from the front or the back only.
    """
    if camera.both_ways:
        azimuth = from_behind * pi + rng.normal(0.0, 0.4)
    else:  # a third of the people walk along the usual path of the camera, the others anywhere
        path = camera.azimuth if rng.random() < 0.35 else rng.integers(8) * pi / 4
        azimuth = path + rng.normal(0.0, 0.18)
    exposure = draw_exposure(camera, rng)
    grey = rng.uniform(0.15, 0.75)
    occluder_colour = as_rgb(grey + rng.normal(0.0, 0.08, 3), 0.02, 0.98)
    return PedestrianView(
        azimuth=float(azimuth),
        exposure=exposure,
        phase=float(rng.uniform(0, 2 * pi)),
        scale=float(np.clip(camera.scale * rng.normal(1.0, 0.06), 0.7, 1.05)),
        shift_x=float(rng.normal(0.0, 0.022)),
        shift_y=float(rng.normal(0.0, 0.022)),
        side_light=float(rng.uniform(-0.25, 0.25)),
        window=(float(rng.random()), float(rng.random()), float(rng.uniform(0.7, 1.0))),
        sharpness=float(rng.uniform(0.8, 1.35)),
        occluder=str(rng.choice(OCCLUDERS, p=(0.8, 0.06, 0.07, 0.07))),
        occluder_at=(at := float(rng.random())),
        shadow=at,
        occluder_surface=Surface(occluder_colour, float(rng.uniform(0.15, 0.85))),
    )


def _palette(person: Person, view: PedestrianView, spectrum: str) -> np.ndarray:
    """(BACKGROUND + 1, 3) uint8 colour of every label, before the camera."""
    surfaces = [*(attrgetter(part)(person) for part in PARTS[:-1]), view.occluder_surface]
    colours = np.array([surface.seen_in(spectrum) for surface in surfaces])  # (parts, 3)
    # Heat is emitted, not reflected: folds and far sides are hardly darker.
    shades = np.array(SHADES) ** (0.25 if spectrum == "thermal" else 1.0)
    shaded = colours[:, None, :] * shades[None, :, None]  # (parts, shades, 3)
    palette = np.zeros((BACKGROUND + 1, 3), np.uint8)
    palette[: len(PARTS) * len(SHADES)] = (shaded.reshape(-1, 3) * 235 + 10).astype(np.uint8)
    return palette


def _paint_occluder(parts: Image.Image, view: View) -> None:
    """Something between the camera and the person, over the map of parts."""
    draw, (width, height), at = ImageDraw.Draw(parts), parts.size, view.occluder_at
    lit, dark = label("occluder"), label("occluder", 1)
    if view.occluder == "post":
        x, half = width * (0.15 + 0.7 * at), width * 0.04
        draw.rectangle((x - half, 0, x + half, height), fill=lit)
        draw.rectangle((x + half * 0.3, 0, x + half, height), fill=dark)
    elif view.occluder == "low":  # a bench, a car bonnet, a hedge
        top = height * (0.7 + 0.2 * at)
        draw.rectangle((0, top, width, height), fill=dark)
        draw.rectangle((0, top, width, top + height * 0.03), fill=lit)
    elif view.occluder in ("passer_by", "crossing"):
        edge = 0.02 if at < 0.5 else 0.98
        x = width * (1.6 * at - 0.3 if view.occluder == "crossing" else edge)
        draw.ellipse((x - width * 0.1, height * 0.06, x + width * 0.1, height * 0.18), fill=dark)
        draw.rectangle((x - width * 0.2, height * 0.19, x + width * 0.2, height * 0.55), fill=lit)
        draw.rectangle((x - width * 0.15, height * 0.55, x + width * 0.15, height), fill=dark)


def _cast_shadow(picture: Image.Image, frame: Frame, shift: float) -> None:
    half_x, half_y = 0.17 * frame.unit_x, 0.022 * frame.unit_y
    x, y = frame.centre_x + shift * half_x, frame.ground_y - 0.004 * frame.unit_y
    box = (int(x - half_x), int(y - half_y), int(x + half_x), int(y + half_y))
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=110)
    picture.paste((12, 12, 12), box[:2], mask)


def _cool_edges(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Limbs and the rim of the trunk emit less heat towards the camera than its middle."""
    width, height = picture.size
    depth = mask.resize((width // 12, height // 12), Image.Resampling.BOX)
    depth = depth.point([160 + 3 * level // 8 for level in range(256)])  # 0.63 … 1
    shade = depth.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")
    return Image.composite(ImageChops.multiply(picture, shade), picture, mask)


def _add_person(
    picture: Image.Image, person: Person, camera: Camera, view: PedestrianView
) -> Image.Image:
    """The person, the shadow, and the occluder before them."""
    width, height = picture.size
    frame = Frame(
        centre_x=width * (0.5 + 2 * view.shift_x),
        ground_y=height * (0.5 + 0.5 * view.scale + view.shift_y) - 0.02 * height,
        unit_x=2 * width * view.scale,
        unit_y=height * view.scale,
        azimuth=view.azimuth,
        pitch=camera.pitch,
    )
    parts = paint_person(person, frame, picture.size, view.phase)
    _paint_occluder(parts, view)
    if camera.spectrum != "thermal":
        _cast_shadow(picture, frame, shift=view.shadow - 0.5)
    mask = parts.point([255] * BACKGROUND + [0])
    parts.putpalette(_palette(person, view, camera.spectrum).tobytes())
    picture.paste(parts.convert("RGB"), mask=mask)
    return _cool_edges(picture, mask) if camera.spectrum == "thermal" else picture


def render_person(
    person: Person | None,
    camera: Camera,
    view: PedestrianView,
    size: tuple[int, int],
    rng: Generator,
) -> np.ndarray:
    """Render one picture.

    Args:
        person: None shows the place without anyone, as a control needs it.
        size: (height, width) in pixels; shapes are drawn for 2 : 1 and stretched otherwise.
        rng: folds and sensor noise only; all else is in ``view``.
    Returns:
        (height, width, 3) uint8; three equal channels in a one-band spectrum.
    """
    height, width = (side * SUPERSAMPLING for side in size)
    # The window shows a 1 : 2 box, whatever it is stretched to.
    picture = background(camera, view, (width, height), aspect=(1, 2))
    if person is not None:
        picture = _add_person(picture, person, camera, view)
    return take_picture(picture, camera, view, size, rng, least_width=8)
