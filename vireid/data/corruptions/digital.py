"""Exposure, colour, geometry and compression.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019; constants of ImageNet-C (github.com/hendrycks/robustness); those of
``elastic_transform``, which depend on the image's size, of github.com/bethgelab/imagecorruptions.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from vireid.data.corruptions.arrays import as_bytes, fractions


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Raises HSV's value; hue and saturation stay. Draws nothing."""
    added = (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]
    values = fractions(image)
    highest = values.max(axis=2, keepdims=True)  # HSV's value
    raised = np.minimum(highest + np.float32(added), 1)
    ratio = raised / np.where(highest > 0, highest, 1)
    return as_bytes(np.where(highest > 0, values * ratio, raised))


def contrast(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Moves all values towards the mean of their channel. Draws nothing."""
    share = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    values = fractions(image)
    mean = values.mean(axis=(0, 1), keepdims=True, dtype=np.float64)
    return as_bytes((values - mean) * share + mean)


def saturate(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Scales HSV's saturation: less colour at severity 1 and 2, more from 3 on. Draws nothing.

    Grey pixels have the hue of red, so that severity 4 and 5 make them reddish, as in the source.
    """
    scale, added = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[severity - 1]
    values = fractions(image)
    highest = values.max(axis=2, keepdims=True)
    below = highest - values
    chroma = below.max(axis=2, keepdims=True)
    if image.shape[2] == 3:  # red has no part of its complement
        below = np.where(chroma > 0, below, highest * np.array([0, 1, 1], dtype=np.float32))
    saturation = chroma / np.where(highest > 0, highest, 1)
    wanted = np.clip(saturation * np.float32(scale) + np.float32(added), 0, 1)
    factor = np.where(chroma > 0, wanted / np.where(chroma > 0, saturation, 1), wanted)
    return as_bytes(highest - below * factor)


def elastic_transform(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Moves each pixel by a smooth random field."""
    strength = 250 * (0.05, 0.065, 0.085, 0.1, 0.12)[severity - 1]
    height, width = image.shape[:2]
    reach = 0.005 * height
    fields = rng.uniform(-reach, reach, size=(2, height, width))
    sigmas = (0, 0.01 * height, 0.01 * width)
    moves = strength * gaussian_filter(fields, sigmas, mode="reflect", truncate=3)
    places = np.mgrid[:height, :width] + moves
    channels = np.moveaxis(fractions(image), 2, 0)
    moved = [map_coordinates(one, places, order=1, mode="reflect") for one in channels]
    return as_bytes(np.stack(moved, axis=2))


def pixelate(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Shows fewer, larger pixels. Draws nothing."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    height, width = image.shape[:2]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    few = _picture(image).resize(small, Image.Resampling.BOX)
    large = few.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(large).reshape(image.shape)


def jpeg_compression(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Compresses by JPEG at a low quality. Draws nothing."""
    quality = (25, 18, 15, 10, 7)[severity - 1]
    file = BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as compressed:
        return np.asarray(compressed).reshape(image.shape)


def _picture(image: np.ndarray) -> Image.Image:
    """(H, W, C) as an image of one or three channels."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
