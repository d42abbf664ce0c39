"""What happens to an image before the model sees it."""

from collections.abc import Sequence
from functools import cache

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vireid.data.corruptions.draw import CorruptionRule
from vireid.structures import Modality

RESIZE_FILTER = v2.InterpolationMode.BILINEAR


def train_transform(
    size: tuple[int, int],
    *,
    pad: int,
    flip: float,
    erase: float,
    erase_area: tuple[float, float],
    mean: Sequence[float],
    grayscale: float = 0.0,
    channel_exchange: float = 0.0,
    corrupt: float = 0.0,
    modality: Modality = Modality.VISIBLE,
) -> v2.Transform:
    """Resize, corrupt, change colours, pad and crop, flip, erase: PIL image → (3, H, W) uint8.

    Resizing comes first and draws no random number, so that an image resized before
    (``vireid.data.cache``) gives the same result.

    Args:
        size: (height, width), pixels.
        pad: pixels on every side before the random crop back to ``size``.
        flip, erase: probabilities.
        erase_area: smallest and largest erased share of the image.
        mean: normalisation mean in [0, 1]; erased pixels take it, so that they become zero.
        grayscale: probability of dropping the colours.
        channel_exchange: probability of ``ChannelExchange``.
        corrupt: probability of ``RandomCorruption``.
        modality: of the images, which decides the kinds of corruption.
    """
    fill = [round(255 * value) for value in mean]
    steps = [
        resize(size),
        *([RandomCorruption(corrupt, modality)] if corrupt else []),
        *([v2.RandomGrayscale(grayscale)] if grayscale else []),
        v2.PILToTensor(),
        *([ChannelExchange(channel_exchange)] if channel_exchange else []),
        *([v2.RandomCrop(list(size), padding=pad)] if pad else []),
        v2.RandomHorizontalFlip(flip),
        v2.RandomErasing(erase, scale=erase_area, value=fill),
    ]
    return v2.Compose(steps)


class RandomCorruption:
    """Corrupts an image by one kind and one severity, drawn at random.

    Args:
        probability: of a corruption; otherwise the image stays as it is.
        modality: of the images.
    """

    def __init__(self, probability: float, modality: Modality) -> None:
        self.probability, self.modality = probability, modality

    def __call__(self, image: Image.Image) -> Image.Image:
        if torch.rand(()) >= self.probability:
            return image
        seed = int(torch.randint(2**62, ()))
        rule = CorruptionRule(frozenset({self.modality}), seed=seed)
        return rule.apply(image, "", self.modality)


class ChannelExchange:
    """Replaces all three channels by one of them, drawn at random.

    Args:
        probability: of a replacement; otherwise the image stays as it is.
    Source: Ye et al., Channel Augmented Joint Learning for Visible-Infrared Recognition, ICCV 2021.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) → (3, H, W)."""
        if torch.rand(()) >= self.probability:
            return image
        return image[torch.randint(3, ())].expand_as(image).clone()


def eval_transform(size: tuple[int, int]) -> v2.Transform:
    """Resize only: PIL image → (3, H, W) uint8."""
    return v2.Compose([resize(size), v2.PILToTensor()])


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, 3, H, W) uint8 → float32, ``(x / 255 - mean) / std`` per channel, on its device."""
    means, stds = (_per_channel(tuple(values), images.device) for values in (mean, std))
    return (images.float() / 255 - means) / stds


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, C, 1, 1); kept, because a copy to a GPU waits for everything that the GPU has to do."""
    with torch.inference_mode(False):  # so that training can use it, too
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


def resize(size: tuple[int, int]) -> v2.Transform:
    """PIL image → PIL image of (height, width); an image of this size stays as it is."""
    return v2.Resize(list(size), interpolation=RESIZE_FILTER, antialias=True)
