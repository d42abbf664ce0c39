"""What several corruptions need: fractions and bytes, zoom, motion blur, and shapes of noise."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # weights of R, G, B


def fractions(image: np.ndarray) -> np.ndarray:
    """uint8 → float32 in [0, 1]."""
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1] → uint8; decimals are cut off, as in the published code."""
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, C) → (H, W, 1), the brightness that people see; C is 1 or 3."""
    return image if image.shape[2] == 1 else (image @ GREY)[..., None]


def tint(colour: tuple[float, ...], channels: int) -> np.ndarray:
    """(C,) an RGB colour from 0 to 255 as fractions, or its brightness for one channel."""
    rgb = np.array(colour, dtype=np.float32) / 255
    return rgb if channels == 3 else np.array([rgb @ GREY], dtype=np.float32)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, …) blurred by a Gaussian in rows and columns; the edge is repeated."""
    sigmas = (sigma, sigma) + (0,) * (image.ndim - 2)
    return gaussian_filter(image, sigmas, mode="nearest", truncate=4)


def convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(H, W, C) convolved with a symmetric (K, K) kernel, mirrored at the edges."""
    reach = kernel.shape[0] // 2
    rows, columns = (mirrored(size, reach) for size in image.shape[:2])
    padded = image[rows][:, columns]
    shape = [next_fast_len(size, real=True) for size in padded.shape[:2]]
    spectrum = rfft2(padded, shape, axes=(0, 1)) * rfft2(kernel, shape)[..., None]
    full = irfft2(spectrum, shape, axes=(0, 1))
    return full[2 * reach :, 2 * reach :][: image.shape[0], : image.shape[1]]


def mirrored(size: int, reach: int) -> np.ndarray:
    """Indices from -reach to size + reach, mirrored at both ends without repeating the last."""
    index = np.arange(-reach, size + reach)
    period = max(1, 2 * (size - 1))
    index = np.abs(index) % period
    return np.where(index >= size, period - index, index)


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, …) the middle of an image, enlarged to its size by linear interpolation."""
    for axis in (0, 1):
        size = image.shape[axis]
        kept = int(np.ceil(size / factor))
        first, enlarged = (size - kept) // 2, max(2, round(kept * factor))
        place = np.arange(size) * ((kept - 1) / (enlarged - 1))
        place = np.minimum(place, kept - 1)
        below = np.minimum(place.astype(np.int64), max(0, kept - 2))
        share = (place - below).astype(image.dtype)
        share = share.reshape([-1 if k == axis else 1 for k in range(image.ndim)])
        low = image.take(first + below, axis)
        image = low + share * (image.take(first + np.minimum(below + 1, kept - 1), axis) - low)
    return image


def moved(image: np.ndarray, *, radius: int, sigma: float, angle: float) -> np.ndarray:
    """(H, W, …) blurred along a line, as by a moving camera; the edge is repeated.

    Args:
        radius: the line has 2 · radius + 1 pixels.
        sigma: of the one-sided Gaussian that weights them.
        angle: of the line, degrees.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    turn = np.deg2rad(angle)
    downs = np.ceil(steps * np.sin(turn) - 0.5).astype(int)
    rights = np.ceil(steps * np.cos(turn) - 0.5).astype(int)
    up, left = max(0, -downs.min()), max(0, -rights.min())
    edges = ((up, max(0, downs.max())), (left, max(0, rights.max())))
    padded = np.pad(image, edges + ((0, 0),) * (image.ndim - 2), mode="edge")
    height, width = image.shape[:2]
    total = np.zeros_like(image)
    for weight, down, right in zip(weights.astype(image.dtype), downs, rights, strict=True):
        top, start = up + down, left + right
        total += weight * padded[top : top + height, start : start + width]
    return total
