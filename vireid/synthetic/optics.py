"""What every picture passes through, of a person or a vehicle: background, exposure, sensor."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from vireid.synthetic.cameras import Camera
from vireid.synthetic.places import SCENE_HEIGHT, SCENE_WIDTH


@dataclass(frozen=True, slots=True)
class Exposure:
    """Automatic exposure of one picture."""

    gain: tuple[float, float, float]  # brightness factor per channel, equal in one band
    lift: float  # grey levels that are added
    steepness: float  # exponent of the tone curve


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one picture is taken; lengths are fractions of the picture's height."""

    azimuth: float  # radians, 0 faces the camera
    scale: float  # body height; of a vehicle, its longer side
    shift_x: float  # of the body against the middle of the picture
    shift_y: float
    exposure: Exposure
    side_light: float  # relative gain of light from the middle to the right edge
    window: tuple[float, float, float]  # left, top, size of the background window, in [0, 1]
    sharpness: float  # factor on the blur of the camera
    occluder: str
    occluder_at: float  # in [0, 1]


def draw_exposure(camera: Camera, rng: Generator) -> Exposure:
    """Varies so much that no absolute grey level identifies anyone."""
    level = float(np.exp(rng.uniform(np.log(0.75), np.log(1.25))))
    white = rng.normal(1.0, 0.05, 3) if camera.spectrum == "visible" else np.ones(3)
    red, green, blue = (level * np.clip(white, 0.8, 1.2)).tolist()
    lift = float(rng.uniform(-8, 12))
    return Exposure((red, green, blue), lift, float(np.exp(rng.normal(0.0, 0.12))))


def background(
    camera: Camera, view: View, size: tuple[int, int], *, aspect: tuple[int, int]
) -> Image.Image:
    """A window of the camera's panorama.

    Args:
        size: (width, height) of the result in pixels.
        aspect: width : height of the window.
    """
    left, top, extent = view.window
    height = SCENE_HEIGHT * extent
    width = min(height * aspect[0] / aspect[1], SCENE_WIDTH)
    x, y = left * (SCENE_WIDTH - width), top * (SCENE_HEIGHT - height)
    return Image.fromarray(camera.scene).resize(
        size, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height)
    )


def take_picture(
    scene: Image.Image,
    camera: Camera,
    view: View,
    size: tuple[int, int],
    rng: Generator,
    *,
    least_width: int,
) -> np.ndarray:
    """Blur, exposure and noise of a camera.

    Args:
        scene: what is before the camera, larger than the picture.
        size: (height, width) of the picture in pixels.
        rng: uneven light and sensor noise.
        least_width: pixels that blur leaves across the picture.
    Returns:
        (height, width, 3) uint8.
    """
    # Detail is lost in a small picture, as for people far away; BOX also smooths the edges.
    loss = max(camera.blur * view.sharpness * size[0] / 256, 1.0)
    small = (max(round(size[1] / loss), least_width), max(round(size[0] / loss), 16))
    picture = scene.resize(small, Image.Resampling.BOX)
    picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    exposure = view.exposure
    curve = (np.arange(256, dtype=np.float32) / 255) ** np.float32(exposure.steepness) * 255
    values = curve[np.asarray(picture)]  # (H, W, 3)
    height, width, channels = values.shape
    gain = np.asarray(camera.cast, np.float32) * np.asarray(exposure.gain, np.float32)
    gain *= camera.exposure * camera.contrast
    lift = 255 * 0.5 * (1 - camera.contrast) * 0.6 + exposure.lift
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
