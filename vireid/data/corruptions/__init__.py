"""Corruptions of images: to add one, write a function and add a line to the table.

A corruption is a pure function of an image, (H, W, C) uint8 with C 3 or, of a grey image, 1; of a
severity from 1 to 5; and of a NumPy generator. It returns an image of the same shape.
"""

from collections.abc import Callable

import numpy as np

from vireid.data.corruptions import blur, digital, noise, weather
from vireid.structures import Modality

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
SEVERITIES = (1, 2, 3, 4, 5)
# Name of a kind → its function. Names and order are those of ImageNet-C's code, then rain.
CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        noise.gaussian_noise,
        noise.shot_noise,
        noise.impulse_noise,
        blur.defocus_blur,
        blur.glass_blur,
        blur.motion_blur,
        blur.zoom_blur,
        weather.snow,
        weather.frost,
        weather.fog,
        digital.brightness,
        digital.contrast,
        digital.elastic_transform,
        digital.pixelate,
        digital.jpeg_compression,
        noise.speckle_noise,
        blur.gaussian_blur,
        weather.spatter,
        digital.saturate,
        weather.rain,
    )
}
# Kinds that an image of each modality may get. Infrared images have no colour to saturate: Josi et
# al., Fusion for Visual-Infrared Person ReID in Real-World Surveillance Using Corrupted Multimodal
# Data, 2023 (github.com/art2611/MREiD-UCD-CCD).
KINDS: dict[Modality, tuple[str, ...]] = {
    Modality.VISIBLE: tuple(CORRUPTIONS),
    Modality.INFRARED: tuple(kind for kind in CORRUPTIONS if kind != "saturate"),
}


def corrupt(
    image: np.ndarray,
    kind: str,
    severity: int,
    rng: np.random.Generator,
    *,
    one_channel: bool = False,
) -> np.ndarray:
    """A corrupted copy of an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        kind: a name in ``CORRUPTIONS``.
        severity: 1 to 5.
        one_channel: of an infrared image: a grey image stays grey, so that its three channels get
            the same noise.
    Returns:
        (H, W, 3) uint8.

    >>> black = np.zeros((2, 1, 3), dtype=np.uint8)
    >>> corrupt(black, "brightness", 5, np.random.default_rng(0))[0, 0].tolist()
    [127, 127, 127]
    """
    if one_channel and (image == image[..., :1]).all():
        return corrupt(image[..., :1], kind, severity, rng).repeat(3, axis=2)
    return CORRUPTIONS[kind](image, severity, rng)
