"""The cost of a model: parameters, and multiply-accumulates of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

COUNTER = "torch.utils.flop_counter.FlopCounterMode / 2"  # what tables name beside their numbers


def unique_parameters(*modules: nn.Module) -> int:
    """Numbers that training changes, each counted once however many modules share it.

    :func:`~vireid.models.inference_model.build_inference_model` gives the part that is deployed.
    """
    return sum({id(p): p.numel() for module in modules for p in module.parameters()}.values())


def count_macs(module: nn.Module, *inputs: Any) -> int:
    """Multiply-accumulates of ``module(*inputs)``, over the whole batch.

    Counted are convolutions and matrix products (linear layers are such), by torch's own
    ``FlopCounterMode``, which counts two operations per multiply-accumulate: its number is halved.
    Normalisation, activations, pooling and additions are not counted, as in most tables of the
    field. The model runs once in evaluation mode, without gradients, and is left as it was.

    Args:
        inputs: what the module takes; a :class:`~vireid.models.reid_model.ReidModel` takes
            :func:`example_batch`.
    """
    counter = FlopCounterMode(display=False)
    with evaluating(module), torch.no_grad(), counter:
        module(*inputs)
    return counter.get_total_flops() // 2


def example_batch(
    size: Sequence[int], *, count: int = 1, infrared: bool = False, device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """The input of a two-stream model: noise of one modality, the same at every call.

    Args:
        size: [height, width], pixels.
        count: images.
    Returns:
        (count, 3, H, W) float32 and (count,) bool.
    """
    images = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))
    return images.to(device), torch.full((count,), infrared, device=device)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within; every part's own mode comes back afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
