"""Blur of lenses, glass and movement.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019; constants of ImageNet-C (github.com/hendrycks/robustness), for images of
any size as in github.com/bethgelab/imagecorruptions.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from vireid.data.corruptions.arrays import as_bytes, blurred, convolved, fractions, moved, zoomed


def gaussian_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Blurs by a Gaussian; draws nothing."""
    sigma = (1, 2, 3, 4, 6)[severity - 1]
    return as_bytes(blurred(fractions(image), sigma))


def defocus_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Blurs by a disc, as a lens out of focus; draws nothing."""
    radius, sigma = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    reach, smoothing = (8, 1) if radius <= 8 else (radius, 2)
    distances = np.arange(-reach, reach + 1) ** 2
    disc = (distances[:, None] + distances <= radius**2).astype(np.float32)
    kernel = gaussian_filter(disc / disc.sum(), sigma, mode="mirror", radius=smoothing)
    return as_bytes(convolved(fractions(image), kernel))


def motion_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Blurs along a line of a random angle between -45 and 45 degrees."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    angle = rng.uniform(-45, 45)
    return as_bytes(moved(fractions(image), radius=radius, sigma=sigma, angle=angle))


def zoom_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Averages enlarged images, as a camera that moves towards the person; draws nothing."""
    last, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[
        severity - 1
    ]
    factors = np.arange(1, last, step)
    values = fractions(image)
    total = values.copy()
    for factor in factors:
        total += zoomed(values, factor)
    return as_bytes(total / (len(factors) + 1))


def glass_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gives each pixel the value of a random neighbour, as frosted glass, between two blurs.

    The published code means to swap two pixels, but its assignment copies one of them. The
    published images come from the copies, and so do these.
    """
    sigma, reach, times = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[
        severity - 1
    ]
    values = as_bytes(blurred(fractions(image), sigma))
    height, width, channels = values.shape
    pixels = values.reshape(-1, channels)
    for _ in range(times):
        pixels = pixels[_neighbours(height, width, reach, rng)]
    return as_bytes(blurred(fractions(pixels.reshape(values.shape)), sigma))


def _neighbours(height: int, width: int, reach: int, rng: np.random.Generator) -> np.ndarray:
    """(H · W,) which pixel's value each pixel takes.

    Pixels are changed from the last one to the first. So a neighbour that comes later already has
    another's value, which has to be followed to its origin: in steps of 1, 2, 4, …
    """
    rows = np.arange(reach + 1, height - reach + 1)
    columns = np.arange(reach + 1, width - reach + 1)
    rows, columns = rows[rows < height], columns[columns < width]
    places = (rows[:, None] * width + columns).ravel()
    steps = rng.integers(-reach, reach, size=(2, len(rows), len(columns)))
    across = np.clip(columns + steps[1], 0, width - 1)
    down = np.clip(rows[:, None] + steps[0], 0, height - 1)
    source = np.arange(height * width)
    source[places] = (down * width + across).ravel()
    changed = np.zeros(len(source), dtype=bool)
    changed[places] = True
    open_ = changed & changed[source] & (source > np.arange(len(source)))
    while open_.any():
        open_, source = open_ & open_[source], np.where(open_, source[source], source)
    return source
