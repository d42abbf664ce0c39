"""Noise of sensors and of transmission.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019; constants of ImageNet-C (github.com/hendrycks/robustness).
"""

from __future__ import annotations

import numpy as np

from vireid.data.corruptions.arrays import as_bytes, fractions


def gaussian_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Adds normal noise, as in low light."""
    scale = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return as_bytes(fractions(image) + np.float32(scale) * noise)


def shot_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Counts few photons: Poisson noise."""
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return as_bytes(rng.poisson(image * (photons / 255)) / photons)


def impulse_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Replaces values by the lowest or the highest one: salt and pepper."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    chance = rng.random(image.shape, dtype=np.float32)
    noisy = np.where(chance < amount / 2, np.uint8(0), image)
    return np.where(chance >= 1 - amount / 2, np.uint8(255), noisy)


def speckle_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Adds normal noise in proportion to the value."""
    scale = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return as_bytes(fractions(image) * (1 + np.float32(scale) * noise))
