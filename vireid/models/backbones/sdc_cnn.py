"""A shortly and densely connected CNN (SDC-CNN): this project's reconstruction.

Zhu et al., A Shortly and Densely Connected Convolutional Neural Network for Vehicle
Re-identification, ICPR 2018, names it; no table of its layers was available. Units, widths and
depth below are choices of this project; results with them are not the authors'.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vireid.models.backbones.base import Backbone


class Plan(NamedTuple):
    """How an SDC-CNN is built.

    Args:
        stem: channels of the first convolution.
        widths: channels of every convolution in each of the four units.
        layers: convolutions of a unit.
        joined: a unit's output are all its convolutions' maps; otherwise the last one's.
    """

    stem: int = 64
    widths: tuple[int, int, int, int] = (64, 64, 64, 64)
    layers: int = 3
    joined: bool = True


PLANS = {
    "sdc_cnn": Plan(),
    "sdc_cnn_short": Plan(layers=2),
    "sdc_cnn_last": Plan(joined=False),
    "sdc_cnn_growing": Plan(widths=(32, 64, 96, 128)),
    "sdc_cnn_growing_last": Plan(widths=(64, 128, 192, 256), joined=False),
    "sdc_cnn_x0_5": Plan(stem=32, widths=(32, 32, 32, 32)),
    "sdc_cnn_x0_25": Plan(stem=16, widths=(16, 16, 16, 16)),
}
# The same without the last pooling: small images keep a map with lines to pool.
STRIDE_16 = "_s16"
VARIANTS = (*PLANS, *(name + STRIDE_16 for name in PLANS))


class DenseUnit(nn.Module):
    """A short list of 3 × 3 convolutions, each on the input and all maps before it.

    Args:
        channels: of the input.
        width: channels of each convolution.
        layers: how many.
        joined: the output are all their maps side by side; otherwise the last one.
    """

    def __init__(self, channels: int, width: int, *, layers: int, joined: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv_norm_relu(channels + number * width, width) for number in range(layers)
        )
        self.joined = joined

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, layers · width, H, W), or (B, width, H, W)."""
        found = [maps]
        for layer in self.layers:
            found.append(layer(torch.cat(found, dim=1)))
        return torch.cat(found[1:], dim=1) if self.joined else found[-1]


class SDCBackbone(Backbone):
    """Five stages: a convolution and four dense units, each followed by 2 × 2 max pooling.

    Args:
        variant: one of ``VARIANTS``; random weights.
    """

    def __init__(self, variant: str = "sdc_cnn") -> None:
        super().__init__()
        plan, last_pool = PLANS[variant.removesuffix(STRIDE_16)], not variant.endswith(STRIDE_16)
        times = plan.layers if plan.joined else 1
        self.stage_channels = (plan.stem, *(times * width for width in plan.widths))
        units = [
            DenseUnit(channels, width, layers=plan.layers, joined=plan.joined)
            for channels, width in zip(self.stage_channels, plan.widths, strict=False)
        ]
        self.stages = nn.ModuleList()
        for number, module in enumerate([conv_norm_relu(3, plan.stem), *units], start=1):
            # Names that no other stage has, so that a file of weights can hold all.
            stage = nn.Sequential(OrderedDict({f"conv{number}": module}))
            if number <= len(units) or last_pool:
                stage.append(nn.MaxPool2d(2))
            self.stages.append(stage)
        self.stage_strides = (2, 4, 8, 16, 32 if last_pool else 16)


def conv_norm_relu(channels: int, width: int) -> nn.Sequential:
    """A 3 × 3 convolution that keeps the map's size, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
