"""What happens to an image before the network sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor
from torchvision.transforms import v2

from vireid.structures import Modality

RESIZE_FILTER = v2.InterpolationMode.BILINEAR


def train_transforms(
    size: tuple[int, int],
    *,
    pad: int,
    flip: float,
    erase: float,
    erase_area: tuple[float, float],
    grayscale: float = 0.0,
    channel_exchange: float = 0.0,
    infrared_erase: float | None = None,
    infrared_exchange: float = 0.0,
    mean: Sequence[float],
) -> dict[Modality, v2.Transform]:
    """Resize, exchange colours, pad and crop, flip, erase.

    PIL image → (3, H, W) uint8, for each modality. Resizing comes first and draws nothing, so that
    an image resized before (:mod:`vireid.data.cache`) comes out the same.

    Args:
        size: (height, width), pixels.
        pad: pixels on every side before the random crop back to ``size``.
        flip, erase: probabilities.
        erase_area: smallest and largest erased share of the image.
        grayscale: probability of dropping a visible image's colours, which infrared has not.
        channel_exchange: probability of :class:`ChannelExchange` on a visible image.
        infrared_erase: probability of erasing in an infrared image; None: as in a visible one.
        infrared_exchange: probability of :class:`ChannelExchange` on an infrared image, which
            matters where its file has false colours.
        mean: normalisation mean in [0, 1]; erased pixels take it, so that they become zero.
    """
    drop = partial(v2.RandomErasing, scale=erase_area, value=[round(255 * v) for v in mean])
    move = [v2.RandomCrop(list(size), padding=pad)] if pad else []
    move.append(v2.RandomHorizontalFlip(flip))
    infrared_erase = erase if infrared_erase is None else infrared_erase
    visible = [*_colours(grayscale, channel_exchange), *move, drop(erase)]
    infrared = [*_colours(0.0, infrared_exchange), *move, drop(infrared_erase)]
    return {
        Modality.VISIBLE: v2.Compose([resize(size), *visible]),
        Modality.INFRARED: v2.Compose([resize(size), *infrared]),
    }


def _colours(grayscale: float, exchange: float) -> list[Callable]:
    """PIL image → tensor whose colours are dropped or exchanged with these probabilities."""
    return [
        *([v2.RandomGrayscale(grayscale)] if grayscale else []),
        v2.PILToTensor(),
        *([ChannelExchange(exchange)] if exchange else []),
    ]


class ChannelExchange:
    """One channel, drawn at random, in place of all three: the same clothes, another grey.

    Args:
        probability: of doing so; otherwise the image stays as it is.
    Source: Ye et al., Channel Augmented Joint Learning for Visible-Infrared Recognition, ICCV 2021.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) → (3, H, W)."""
        if torch.rand(()) >= self.probability:
            return image
        return image[torch.randint(3, ())].expand_as(image).clone()


def eval_transforms(size: tuple[int, int]) -> dict[Modality, v2.Transform]:
    """Resize only: PIL image → (3, H, W) uint8, for each modality."""
    return dict.fromkeys(Modality, v2.Compose([resize(size), v2.PILToTensor()]))


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, 3, H, W) uint8 → float32, ``(x / 255 - mean) / std`` per channel, on its device."""
    means, stds = (_per_channel(tuple(values), images.device) for values in (mean, std))
    return (images.float() / 255 - means) / stds


@cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, C, 1, 1). Kept, for a copy to a GPU waits for all that the GPU has still to do."""
    with torch.inference_mode(False):  # so that it serves training, too
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


def resize(size: tuple[int, int]) -> v2.Transform:
    """PIL image → PIL image of (height, width); one of that size already stays as it is."""
    return v2.Resize(list(size), interpolation=RESIZE_FILTER, antialias=True)
