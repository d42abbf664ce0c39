"""Weather between the camera and the person, and what it leaves on the lens.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019; constants of ImageNet-C (github.com/hendrycks/robustness), for images of
any size as in github.com/bethgelab/imagecorruptions. Rain: Chen et al., Benchmarks for Corruption
Invariant Person Re-identification, NeurIPS 2021 (github.com/MinghuiChen43/CIL-ReID).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import (
    binary_erosion,
    convolve,
    distance_transform_edt,
    gaussian_filter,
    uniform_filter,
)

from vireid.data.corruptions.arrays import (
    as_bytes,
    blurred,
    fractions,
    grey,
    moved,
    tint,
    zoomed,
)

# Mean and standard deviation of R, G, B in the five photographs of ice that ImageNet-C draws from.
ICE = (
    ((78, 149, 166), (27, 17, 15)),
    ((201, 205, 215), (21, 22, 23)),
    ((201, 205, 215), (21, 22, 23)),
    ((138, 153, 165), (29, 29, 30)),
    ((112, 123, 135), (44, 43, 42)),
)
WATER, MUD = (175, 238, 238), (63, 42, 20)  # RGB
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from above, at the left
DROP = 200  # grey of a rain drop
LOWEST = 65  # rows of an image that rain falls through; lower ones are enlarged


def snow(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Adds flakes that fall in a random direction, and whitens the scene."""
    mean, scale, zoom, threshold, radius, sigma, share = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[severity - 1]
    flakes = rng.standard_normal(image.shape[:2], dtype=np.float32) * scale + mean
    flakes = zoomed(flakes, zoom)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1).astype(np.float32)
    flakes = moved(flakes, radius=radius, sigma=sigma, angle=rng.uniform(-135, -45))
    values = fractions(image)
    white = np.maximum(values, grey(values) * 1.5 + 0.5)
    return as_bytes(share * values + (1 - share) * white + (flakes + flakes[::-1, ::-1])[..., None])


def frost(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Mixes the image with ice.

    ImageNet-C crops photographs of ice. Here needles of ice are drawn, with the brightness, colour
    and contrast of one of these photographs.
    """
    clear, frozen = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[severity - 1]
    mean, spread = ICE[rng.integers(len(ICE))]
    height, width, channels = image.shape
    needles = _needles(height, width, rng)[..., None]
    ice = tint(mean, channels) + tint(spread, channels) * needles
    return as_bytes(clear * fractions(image) + frozen * np.clip(ice, 0, 1))


def _needles(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bright needles in patches of different directions; mean 0, standard deviation 1."""
    total = np.zeros((height, width), dtype=np.float32)
    for _ in range(4):
        angle = rng.uniform(0, 360)
        points = rng.standard_normal((height, width), dtype=np.float32)
        lines = moved(np.maximum(points, 0) ** 2, radius=9, sigma=6, angle=angle)
        patches = gaussian_filter(
            rng.standard_normal((height, width), dtype=np.float32), max(2, width / 12)
        )
        weights = np.clip(patches / max(float(patches.std()), 1e-6) + 0.5, 0, None)
        total += weights * (lines - lines.mean()) / max(float(lines.std()), 1e-6)
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def fog(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Adds clouds, which are fractals, and darkens the sum to the image's highest value."""
    amount, decay = ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[severity - 1]
    height, width = image.shape[:2]
    clouds = _plasma(max(height, width), decay, rng)[:height, :width, None]
    values = fractions(image)
    highest = float(values.max())
    return as_bytes((values + amount * clouds) * highest / (highest + amount))


def _plasma(size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """(N, N) heights in [0, 1] by the diamond-square algorithm; N: power of 2, at least ``size``.

    The array continues at its opposite edge.
    """
    side = 2 ** max(1, (size - 1).bit_length())
    heights = np.zeros((side, side), dtype=np.float32)
    step, wobble = side, 100.0

    def displaced(total: np.ndarray) -> np.ndarray:
        return total / 4 + wobble * rng.uniform(-wobble, wobble, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        rows = corners + np.roll(corners, -1, 0)
        heights[half::step, half::step] = displaced(rows + np.roll(rows, -1, 1))
        centres = heights[half::step, half::step]
        vertical = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = displaced(vertical)
        across = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = displaced(across)
        step, wobble = half, wobble / decay
    heights -= heights.min()
    return heights / max(float(heights.max()), 1e-6)


def spatter(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Drops of water (severity 1 to 3) or mud (4 and 5) on the lens.

    The published code finds the edges of the drops by Canny's method; here they are the drops'
    outermost pixels.
    """
    mean, scale, sigma, threshold, strength, is_mud = (
        (0.65, 0.3, 4, 0.69, 0.6, False),
        (0.65, 0.3, 3, 0.68, 0.6, False),
        (0.65, 0.3, 2, 0.68, 0.5, False),
        (0.65, 0.3, 1, 0.65, 1.5, True),
        (0.67, 0.4, 1, 0.65, 1.5, True),
    )[severity - 1]
    liquid = rng.standard_normal(image.shape[:2], dtype=np.float32) * scale + mean
    liquid = blurred(liquid, sigma)
    values, channels = fractions(image), image.shape[2]
    if is_mud:
        cover = blurred((liquid > threshold).astype(np.float32), strength)
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return as_bytes(values * (1 - cover) + cover * tint(MUD, channels))
    liquid = as_bytes(np.where(liquid < threshold, 0, liquid))
    shine = liquid * _relief(liquid > 0)
    shine *= strength / max(float(shine.max()), 1e-6)
    return as_bytes(values + shine[..., None] * tint(WATER, channels))


def _relief(drops: np.ndarray) -> np.ndarray:
    """(H, W) how bright each pixel of drops is: they rise from their edges, lit from one side."""
    inner = binary_erosion(drops, border_value=1)
    if not (drops & ~inner).any():
        return np.ones(drops.shape, dtype=np.float32)
    depth = np.minimum(distance_transform_edt(~(drops & ~inner)), 20).astype(np.float32)
    depth = uniform_filter(depth, 3, mode="mirror").astype(np.uint8)
    shares = np.cumsum(np.bincount(depth.ravel(), minlength=256))
    lowest = shares[depth.min()]
    even = np.rint((shares - lowest) * (255 / max(1, depth.size - lowest)))[depth]
    lit = np.clip(convolve(even, RELIEF[::-1, ::-1], mode="mirror"), 0, 255)
    return uniform_filter(lit.astype(np.float32), 3, mode="mirror")


def rain(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Draws falling drops, blurs the scene and darkens it.

    Numbers and lengths of drops are those of albumentations' ``RandomRain`` (``drizzle`` at
    severity 1, ``heavy`` at 2 and 3, ``torrential`` at 4 and 5), which the source uses.
    """
    height, width = image.shape[:2]
    if height < LOWEST - 4:
        size = (max(1, int(width * LOWEST / height)), LOWEST)
        enlarged = np.asarray(_picture(image).resize(size)).reshape(LOWEST, size[0], -1)
        rainy = _picture(rain(enlarged, severity, rng)).resize((width, height))
        return np.asarray(rainy).reshape(image.shape)
    area, length = ((770, 10), (600, 30), (600, 30), (500, 60), (500, 60))[severity - 1]
    picture = _picture(image)
    draw = ImageDraw.Draw(picture)
    slant, count = int(rng.uniform(-10, 10)), height * width // area
    left, right = (slant, width) if slant < 0 else (0, max(0, width - slant))
    starts = rng.integers(left, right, size=count, endpoint=True)
    tops = rng.integers(0, height - length, size=count, endpoint=True)
    fill = DROP if image.shape[2] == 1 else (DROP,) * 3
    for start, top in zip(starts.tolist(), tops.tolist(), strict=True):
        draw.line((start, top, start + slant, top + length), fill=fill, width=1)
    falling = np.asarray(picture, dtype=np.float32).reshape(image.shape)
    box = 2 + severity
    scene = np.rint(uniform_filter(falling, (box, box, 0), mode="mirror"))
    return as_bytes(scene / 255 - (0.05 + 0.05 * severity))


def _picture(image: np.ndarray) -> Image.Image:
    """A copy of (H, W, C) as an image of one or three channels."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).copy()
