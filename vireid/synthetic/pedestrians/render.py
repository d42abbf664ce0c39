"""One picture: a person seen by a camera, with the camera's background, optics and sensor."""

from dataclasses import dataclass
from math import pi
from typing import Protocol

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from vireid.synthetic.pedestrians.body import Frame
from vireid.synthetic.pedestrians.cameras import Camera
from vireid.synthetic.pedestrians.figure import paint_person
from vireid.synthetic.pedestrians.painter import BACKGROUND, PARTS, SHADES, label
from vireid.synthetic.pedestrians.person import Person
from vireid.synthetic.pedestrians.places import SCENE_HEIGHT, SCENE_WIDTH
from vireid.synthetic.pedestrians.surfaces import Surface

RENDERER_VERSION = 2  # raise it whenever the same seed gives other pixels

SUPERSAMPLING = 2
OCCLUDERS = ("none", "post", "low", "passer_by")


class Exposed(Protocol):
    """What the sensor needs to know of a view; see :class:`View`."""

    @property
    def gain(self) -> tuple[float, float, float]: ...
    @property
    def lift(self) -> float: ...
    @property
    def steepness(self) -> float: ...
    @property
    def side_light(self) -> float: ...


@dataclass(frozen=True, slots=True)
class View:
    """How one picture was taken; lengths as fractions of the picture height."""

    azimuth: float  # radians, 0 faces the camera
    phase: float  # gait, radians
    scale: float  # body height
    shift_x: float  # of the body against the middle of the picture
    shift_y: float
    gain: tuple[float, float, float]  # brightness factor per channel, equal in one band
    lift: float  # grey levels added by automatic exposure
    steepness: float  # exponent of the tone curve
    side_light: float  # relative gain of light from the middle to the right edge
    window: tuple[float, float, float]  # left, top, size of the background window, in [0, 1]
    sharpness: float  # factor on the blur of the camera
    occluder: str
    occluder_at: float  # in [0, 1]
    occluder_surface: Surface


def _draw_azimuth(camera: Camera, rng: np.random.Generator, *, from_behind: bool) -> float:
    if camera.both_ways:
        return float(from_behind * pi + rng.normal(0.0, 0.4))
    # A third of the people walk along the usual path of the camera, the others anywhere.
    turn = camera.azimuth if rng.random() < 0.35 else rng.integers(8) * pi / 4
    return float(turn + rng.normal(0.0, 0.18))


def draw_exposure(
    camera: Camera, rng: np.random.Generator
) -> tuple[tuple[float, float, float], float, float]:
    """(gain per channel, lift, steepness): no absolute grey level says who someone is."""
    level = float(np.exp(rng.uniform(np.log(0.75), np.log(1.25))))
    white = rng.normal(1.0, 0.05, 3) if camera.spectrum == "visible" else np.ones(3)
    red, green, blue = (level * np.clip(white, 0.8, 1.2)).tolist()
    return (red, green, blue), float(rng.uniform(-8, 12)), float(np.exp(rng.normal(0.0, 0.12)))


def draw_view(camera: Camera, rng: np.random.Generator, *, from_behind: bool = False) -> View:
    """Draw a view that is usual for a camera.

    Args:
        from_behind: for cameras that see people from the front or the back only.
    """
    azimuth = _draw_azimuth(camera, rng, from_behind=from_behind)
    gain, lift, steepness = draw_exposure(camera, rng)
    grey = rng.uniform(0.15, 0.75)
    hue = np.clip(grey + rng.normal(0.0, 0.08, 3), 0.02, 0.98)
    return View(
        azimuth=azimuth,
        phase=float(rng.uniform(0, 2 * pi)),
        scale=float(np.clip(camera.scale * rng.normal(1.0, 0.06), 0.7, 1.05)),
        shift_x=float(rng.normal(0.0, 0.022)),
        shift_y=float(rng.normal(0.0, 0.022)),
        gain=gain,
        lift=lift,
        steepness=steepness,
        side_light=float(rng.uniform(-0.25, 0.25)),
        window=(float(rng.random()), float(rng.random()), float(rng.uniform(0.7, 1.0))),
        sharpness=float(rng.uniform(0.8, 1.35)),
        occluder=str(rng.choice(OCCLUDERS, p=(0.8, 0.06, 0.07, 0.07))),
        occluder_at=float(rng.random()),
        occluder_surface=Surface(
            (float(hue[0]), float(hue[1]), float(hue[2])), float(rng.uniform(0.15, 0.85))
        ),
    )


def _palette(person: Person, view: View, spectrum: str) -> np.ndarray:
    """(BACKGROUND + 1, 3) uint8 colour of every label, before the camera."""
    surfaces = {
        "skin": person.skin,
        "hair": person.hair,
        "hat": person.hat_surface,
        "shoes": person.shoes,
        "bag": person.bag.surface,
        "upper": person.upper.base,
        "upper_accent": person.upper.accent,
        "lower": person.lower.base,
        "lower_accent": person.lower.accent,
        "occluder": view.occluder_surface,
    }
    colours = np.array([surfaces[part].seen_in(spectrum) for part in PARTS])  # (parts, 3)
    # Heat is given off, not reflected: folds and far sides are hardly darker.
    shades = np.array(SHADES) ** (0.25 if spectrum == "thermal" else 1.0)
    shaded = colours[:, None, :] * shades[None, :, None]  # (parts, shades, 3)
    palette = np.zeros((BACKGROUND + 1, 3), np.uint8)
    palette[: len(PARTS) * len(SHADES)] = (shaded.reshape(-1, 3) * 235 + 10).astype(np.uint8)
    return palette


def _paint_occluder(parts: Image.Image, view: View) -> None:
    """Something between the camera and the person, over the map of parts."""
    if view.occluder == "none":
        return
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
    else:
        x = width * (0.02 if at < 0.5 else 0.98)
        draw.ellipse((x - width * 0.1, height * 0.06, x + width * 0.1, height * 0.18), fill=dark)
        draw.rectangle((x - width * 0.2, height * 0.19, x + width * 0.2, height * 0.55), fill=lit)
        draw.rectangle((x - width * 0.15, height * 0.55, x + width * 0.15, height), fill=dark)


def _background(camera: Camera, view: View, size: tuple[int, int]) -> Image.Image:
    """A window of the panorama of the camera, scaled to ``size`` (width, height)."""
    left, top, extent = view.window
    height = SCENE_HEIGHT * extent
    width = height / 2  # pictures show a 1 : 2 box whatever they are stretched to
    x, y = left * (SCENE_WIDTH - width), top * (SCENE_HEIGHT - height)
    return Image.fromarray(camera.scene).resize(
        size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height)
    )


def _cast_shadow(picture: Image.Image, frame: Frame, shift: float) -> None:
    half_x, half_y = 0.17 * frame.unit_x, 0.022 * frame.unit_y
    x, y = frame.centre_x + shift * half_x, frame.ground_y - 0.004 * frame.unit_y
    box = (int(x - half_x), int(y - half_y), int(x + half_x), int(y + half_y))
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=110)
    picture.paste((12, 12, 12), box[:2], mask)


def expose(
    picture: Image.Image, camera: Camera, view: Exposed, rng: np.random.Generator
) -> np.ndarray:
    """Optics and sensor: (height, width, 3) uint8."""
    curve = (np.arange(256, dtype=np.float32) / 255) ** np.float32(view.steepness) * 255
    values = curve[np.asarray(picture)]  # (H, W, 3)
    height, width, channels = values.shape
    gain = np.asarray(camera.cast, np.float32) * np.asarray(view.gain, np.float32)
    gain *= camera.exposure * camera.contrast
    lift = 255 * 0.5 * (1 - camera.contrast) * 0.6 + view.lift
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    falloff = 1 - camera.vignette * 0.5 * (rows**2 + columns**2)  # (H, W)
    # Folds and uneven light: soft blots, about two across a body.
    blots = rng.normal(1.0, 0.065, (16, 8)).astype(np.float32)
    soft = Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)
    light = falloff * np.asarray(soft) * (1 + np.float32(view.side_light) * columns)
    # A one-band sensor has one noise for all channels.
    planes = channels if camera.spectrum == "visible" else 1
    noise = rng.standard_normal((height, width, planes), np.float32)
    values = (values * gain + lift) * light[..., None] + noise * np.float32(camera.noise)
    return np.clip(values, 0, 255).astype(np.uint8)


def _cool_edges(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Limbs and the rim of the trunk give off less heat towards the camera than its middle."""
    width, height = picture.size
    depth = mask.resize((width // 12, height // 12), Image.Resampling.BOX)
    depth = depth.point([160 + 3 * level // 8 for level in range(256)])  # 0.63 … 1
    shade = depth.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")
    return Image.composite(ImageChops.multiply(picture, shade), picture, mask)


def _put_person(
    picture: Image.Image, person: Person, camera: Camera, view: View, frame: Frame
) -> Image.Image:
    """The person, the shadow, and whatever stands before them."""
    parts = paint_person(person, frame, picture.size, view.phase)
    _paint_occluder(parts, view)
    if camera.spectrum != "thermal":
        _cast_shadow(picture, frame, shift=view.occluder_at - 0.5)
    mask = parts.point([255] * BACKGROUND + [0])
    parts.putpalette(_palette(person, view, camera.spectrum).tobytes())
    picture.paste(parts.convert("RGB"), mask=mask)
    return _cool_edges(picture, mask) if camera.spectrum == "thermal" else picture


def render(
    person: Person | None,
    camera: Camera,
    view: View,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Render one picture.

    Args:
        person: None leaves the place without anyone, as a control needs it.
        size: (height, width) in pixels; shapes are drawn for 2 : 1 and stretched otherwise.
        rng: folds and sensor noise only; all else is in ``view``.
    Returns:
        (height, width, 3) uint8; three equal channels in a one-band spectrum.
    """
    height, width = (side * SUPERSAMPLING for side in size)
    frame = Frame(
        centre_x=width * (0.5 + 2 * view.shift_x),
        ground_y=height * (0.5 + 0.5 * view.scale + view.shift_y) - 0.02 * height,
        unit_x=2 * width * view.scale,
        unit_y=height * view.scale,
        azimuth=view.azimuth,
        pitch=camera.pitch,
    )
    picture = _background(camera, view, (width, height))
    if person is not None:
        picture = _put_person(picture, person, camera, view, frame)
    # Detail is lost in a small picture, as for people far away; BOX also smooths the edges.
    loss = max(camera.blur * view.sharpness * size[0] / 256, 1.0)
    small = (max(round(size[1] / loss), 8), max(round(size[0] / loss), 16))
    picture = picture.resize(small, Image.Resampling.BOX)
    picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return expose(picture, camera, view, rng)
