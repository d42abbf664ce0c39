"""ResNets from torchvision, with or without AGW's non-local blocks.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Ye et al., Deep Learning for
Person Re-identification: A Survey and Outlook (AGW), TPAMI 2021.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vireid.models.backbones.base import Backbone

if TYPE_CHECKING:
    from torchvision.models import ResNet

# variant → inner channels of a non-local block on C channels. The paper halves them; AGW's code
# (e817a26), and much that was copied from it, divides the reduction by itself and so keeps one.
INNER = {
    "resnet50_nonlocal": lambda channels: channels // 2,
    "resnet50_nonlocal1": lambda channels: 1,
}
VARIANTS = ("resnet18", "resnet50", *INNER)
CHANNELS = {"resnet18": (64, 64, 128, 256, 512)}  # of each stage; the others are ResNet-50s
CHANNELS |= dict.fromkeys(VARIANTS[1:], (64, 256, 512, 1024, 2048))
MODULES = (("conv1", "bn1", "relu", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
BLOCKS = {"layer2": 2, "layer3": 3}  # AGW: so many non-local blocks, each after a last bottleneck
NONLOCAL = "nonlocal"  # how the names of these blocks begin, so that bottlenecks keep torchvision's


class NonLocal(nn.Module):
    """Adds to every position a mean over all positions, weighted by their similarity to it.

    With θ, φ, g and W 1 × 1 convolutions and N positions: ``x + BN(W(θ(x)ᵀ φ(x) / N · g(x)))``;
    dot products, no softmax. The norm starts at weight and bias zero, so that a new block changes
    nothing.

    Args:
        channels: C of the map.
        inner: channels of θ, φ and g.
    Source: Wang et al., Non-local Neural Networks, CVPR 2018, equation 4 and section 3.3.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        theta, phi, g = (conv(maps).flatten(2) for conv in (self.theta, self.phi, self.g))
        # Divided before the product, which half precision may not hold.
        similarity = torch.matmul((theta / theta.shape[2]).mT, phi)  # (B, N, N)
        mixed = torch.matmul(similarity, g.mT).mT  # (B, inner, N)
        return maps + self.norm(self.out(mixed.unflatten(2, maps.shape[2:])))


class ResNetBackbone(Backbone):
    """A ResNet whose last stage keeps the resolution; conv1 includes the max pooling.

    The stages are torchvision's stem and layer1 … layer4.

    Args:
        variant: one of ``VARIANTS``; weights are torchvision's random initialisation.
    """

    def __init__(self, variant: str = "resnet50") -> None:
        super().__init__()
        whole = _torchvision_resnet(variant.split("_")[0])
        for name, count in BLOCKS.items() if variant in INNER else ():
            layer = getattr(whole, name)
            channels = layer[-1].bn3.num_features
            blocks = [NonLocal(channels, INNER[variant](channels)) for _ in range(count)]
            setattr(whole, name, _interleave(layer, blocks))
        self.stages = nn.ModuleList(
            nn.Sequential(OrderedDict((name, getattr(whole, name)) for name in names))
            for names in MODULES
        )
        self.stage_channels = CHANNELS[variant]
        self.stage_strides = (4, 4, 8, 16, 16)


def _torchvision_resnet(name: str) -> ResNet:
    # Here, for the many commands that never build a ResNet: torchvision takes a second to import.
    from torchvision.models import resnet18, resnet50

    whole = {"resnet18": resnet18, "resnet50": resnet50}[name](weights=None, num_classes=1)
    first = whole.layer4[0]
    strided = first.conv1 if name == "resnet18" else first.conv2  # a block of two or of three
    strided.stride = first.downsample[0].stride = (1, 1)
    return whole


def _interleave(layer: nn.Sequential, blocks: list[NonLocal]) -> nn.Sequential:
    """The bottlenecks under their own names, one block after each of the last ones."""
    members: OrderedDict[str, nn.Module] = OrderedDict()
    first = len(layer) - len(blocks)
    for index, bottleneck in enumerate(layer):
        members[str(index)] = bottleneck
        if index >= first:
            members[f"{NONLOCAL}{index}"] = blocks[index - first]
    return nn.Sequential(members)
