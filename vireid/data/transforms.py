"""What happens to an image before the model sees it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

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
    scale: float = 0.0,
    rotate: float = 0.0,
    jitter: Sequence[float] = (),
    invert: float = 0.0,
    grayscale: float = 0.0,
    channel_exchange: float = 0.0,
    channel_mix: float = 0.0,
    channel_erase: float = 0.0,
    corrupt: float = 0.0,
    modality: Modality = Modality.VISIBLE,
) -> v2.Transform:
    """Resize, corrupt, crop, rotate, change colours, pad, flip, erase: PIL image → (3, H, W) uint8.

    Resizing comes first and draws no random number, so that an image resized before
    (``vireid.data.cache``) gives the same result.

    Args:
        size: (height, width), pixels.
        pad: pixels on every side before the random crop back to ``size``.
        flip, erase: probabilities.
        erase_area: smallest and largest erased share of the image.
        mean: normalisation mean in [0, 1]; erased pixels take it, so that they become zero.
        scale: smallest share of the area that a random crop keeps; 0 or 1: no such crop.
        rotate: largest angle of a random rotation, degrees; corners take ``mean``.
        jitter: see ``colour_jitter``.
        invert: probability of a negative; whether warm is bright or dark is up to a thermal camera.
        grayscale: probability of dropping the colours.
        channel_exchange, channel_mix, channel_erase: probabilities of the classes of these names.
        corrupt: probability of ``RandomCorruption``.
        modality: of the images, which decides kinds of corruption, jitter and channel erasing: by
            one value where all images are grey.
    """
    fill = [round(255 * value) for value in mean]
    grey = modality is Modality.INFRARED or grayscale == 1
    steps = [
        resize(size),
        *([RandomCorruption(corrupt, modality)] if corrupt else []),
        *([scaled_crop(size, scale)] if 0 < scale < 1 else []),
        *([v2.RandomRotation(rotate, RESIZE_FILTER, fill=fill)] if rotate else []),
        *([colour_jitter(jitter, modality)] if any(jitter) else []),
        *([v2.RandomInvert(invert)] if invert else []),
        *([v2.RandomGrayscale(grayscale)] if grayscale else []),
        v2.PILToTensor(),
        *([ChannelExchange(channel_exchange)] if channel_exchange else []),
        *([ChannelMix(channel_mix)] if channel_mix else []),
        *([v2.RandomCrop(list(size), padding=pad)] if pad else []),
        v2.RandomHorizontalFlip(flip),
        v2.RandomErasing(erase, scale=erase_area, value=fill),
        *([ChannelErase(channel_erase, erase_area, grey=grey)] if channel_erase else []),
    ]
    return v2.Compose(steps)


def scaled_crop(size: tuple[int, int], smallest: float) -> v2.Transform:
    """A random crop of at least the share ``smallest`` of the area, resized to ``size``.

    The sides of the crop relate as those of ``size``, within a factor of 4 / 3.
    """
    aspect = size[1] / size[0]
    ratio = (3 / 4 * aspect, 4 / 3 * aspect)
    return v2.RandomResizedCrop(list(size), (smallest, 1.0), ratio, RESIZE_FILTER)


def colour_jitter(strengths: Sequence[float], modality: Modality) -> v2.Transform:
    """Random brightness, contrast, saturation and hue.

    Args:
        strengths: of these four, in this order; those that are not given are 0. One number: of all
            but the hue. The factor of each is between 1 − strength and 1 + strength, and the hue
            moves by at most its strength of the colour circle.
        modality: infrared images have no colours; the first two apply.
    """
    values = [*strengths] * 3 if len(strengths) == 1 else [*strengths]
    return v2.ColorJitter(*(values[:2] if modality is Modality.INFRARED else values))


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


class ChannelMix:
    """Makes an image grey by a random mean of its channels.

    The weights are drawn from Beta(1/2, 1/2) and divided by their sum.

    Args:
        probability: of a mean; otherwise the image stays as it is.
    Source: moderate random linear enhancement of Tan et al., RLE: A Unified Perspective of Data
        Augmentation for Cross-Spectral Re-Identification, NeurIPS 2024.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) → (3, H, W)."""
        if torch.rand(()) >= self.probability:
            return image
        drawn = torch.sin(torch.rand(3) * (torch.pi / 2)) ** 2  # Beta(1/2, 1/2) by its inverse
        grey = torch.einsum("c,chw->hw", drawn / drawn.sum(), image.float())
        return grey.round().to(image.dtype).expand_as(image).clone()


class ChannelErase(v2.RandomErasing):
    """Random erasing by a colour drawn at random: one value for each channel.

    CAJ's channel-level erasing has three constants in its published code, the means of the
    channels; so has ``INPUT.ERASE``.

    Args:
        probability: of erasing.
        area: smallest and largest erased share of the image.
        grey: draw one value for all channels, so that grey images stay grey.
    """

    def __init__(self, probability: float, area: tuple[float, float], *, grey: bool) -> None:
        super().__init__(probability, scale=area)
        self.grey = grey

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Place and colour of the rectangle."""
        params = super().make_params(flat_inputs)
        if params["v"] is not None:  # a rectangle of this area was found
            params["v"] = torch.randint(256, (1 if self.grey else 3, 1, 1), dtype=torch.uint8)
        return params


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
