"""Images of any kind → what a model takes; the numbers are those of training's test images.

:mod:`vireid.data.transforms` does the same with torch, which an exported model needs not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.data.images import as_rgb, read_image
from vireid.errors import DataError

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray


def load_resized(image: ImageLike, size: tuple[int, int]) -> np.ndarray:
    """One image as (H, W, 3) uint8 RGB of ``size``.

    Args:
        image: a file's path, a PIL image of any mode, or (h, w, 3) uint8 RGB.
        size: (height, width), pixels.
    Raises:
        DataError: a file that is missing or no image, or an array of another kind.
    """
    if isinstance(image, (str, os.PathLike)):
        picture = read_image(Path(image))
    elif isinstance(image, Image.Image):
        try:
            picture = as_rgb(image)
        except (OSError, ValueError) as error:  # files are decoded late
            raise DataError(f"an image cannot be decoded ({error})") from error
    elif isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(
                f"an array of an image must be (height, width, 3) uint8 in RGB, got {image.shape} "
                f"{image.dtype}"
            )
        picture = Image.fromarray(image)
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
