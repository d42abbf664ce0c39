"""Images of any kind → what a model takes; the numbers are those of training's test images.

``vireid.data.transforms`` does the same with torch, which an exported model needs not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import PLAIN, PixelRule, UnknownRangeError, array_as_rgb, as_rgb
from vireid.errors import DataError

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray


def load_resized(image: ImageLike, size: tuple[int, int], rule: PixelRule = PLAIN) -> np.ndarray:
    """One image as (H, W, 3) uint8 RGB of ``size``.

    Args:
        image: a file's path, a PIL image of any mode, or an array: (h, w), (h, w, 1), (h, w, 3) RGB
            or, of uint8, (h, w, 4) RGBA.
        size: (height, width), pixels.
        rule: what becomes of more than eight bits and of transparent pixels.
    Raises:
        DataError: a file that is missing or no image, an array of another kind, or more than eight
            bits without a range for them.
    """
    if isinstance(image, (str, os.PathLike)):
        picture = read_image(Path(image), rule)
    elif isinstance(image, (Image.Image, np.ndarray)):
        try:
            picture = (
                as_rgb(image, rule) if isinstance(image, Image.Image) else array_as_rgb(image, rule)
            )
        except UnknownRangeError as error:
            raise DataError(f"it {error}") from error
        except Exception as error:  # files are decoded late, and Pillow raises a dozen types
            raise DataError(f"an image cannot be decoded ({error})") from error
    else:
        raise DataError(
            f"an image must be a path, a PIL image or an array, got {type(image).__name__}"
        )
    height, width = size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def normalized(
    images: Sequence[np.ndarray], mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """(H, W, 3) uint8 each → (B, 3, H, W) float32, ``(x / 255 - mean) / std`` per channel."""
    stacked = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32, order="C")
    shape = (1, 3, 1, 1)
    stacked /= np.float32(255)
    stacked -= np.asarray(mean, np.float32).reshape(shape)
    stacked /= np.asarray(std, np.float32).reshape(shape)
    return stacked
