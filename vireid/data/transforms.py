"""What happens to an image before the network sees it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from vireid.structures import Modality


def train_transforms(
    size: tuple[int, int],
    *,
    pad: int,
    flip: float,
    erase: float,
    erase_area: tuple[float, float],
    grayscale: float = 0.0,
    mean: Sequence[float],
) -> dict[Modality, v2.Transform]:
    """Resize, pad and crop, flip, erase; visible images also lose their colours at times.

    PIL image → (3, H, W) uint8, for each modality.

    Args:
        size: (height, width), pixels.
        pad: pixels on every side before the random crop back to ``size``.
        flip, erase: probabilities.
        erase_area: smallest and largest erased share of the image.
        grayscale: probability of dropping a visible image's colours, which infrared has not.
        mean: normalisation mean in [0, 1]; erased pixels take it, so that they become zero.
    """
    fill = [round(255 * value) for value in mean]
    steps = [
        *_to_uint8(size),
        v2.RandomCrop(list(size), padding=pad) if pad else v2.Identity(),
        v2.RandomHorizontalFlip(flip),
        v2.RandomErasing(erase, scale=erase_area, value=fill),
    ]
    visible = [v2.RandomGrayscale(grayscale), *steps] if grayscale else steps
    return {Modality.VISIBLE: v2.Compose(visible), Modality.INFRARED: v2.Compose(steps)}


def eval_transforms(size: tuple[int, int]) -> dict[Modality, v2.Transform]:
    """Resize only: PIL image → (3, H, W) uint8, for each modality."""
    return dict.fromkeys(Modality, v2.Compose(_to_uint8(size)))


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, 3, H, W) uint8 → float32, ``(x / 255 - mean) / std`` per channel, on its device."""
    shape = (1, 3, 1, 1)
    means = torch.tensor(mean, device=images.device).view(shape)
    stds = torch.tensor(std, device=images.device).view(shape)
    return (images.float() / 255 - means) / stds


def _to_uint8(size: tuple[int, int]) -> list[v2.Transform]:
    return [v2.Resize(list(size), antialias=True), v2.PILToTensor()]
