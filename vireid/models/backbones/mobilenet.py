"""MobileNetV2 from torchvision.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from vireid.models.backbones.base import Backbone

VARIANTS = {"mobilenet_v2": 32, "mobilenet_v2_s16": 16}  # the last stage's stride
# torchvision's ``features.0`` … ``features.18`` by stage; the map is halved where a stage begins.
BLOCKS = (range(0, 2), range(2, 4), range(4, 7), range(7, 14), range(14, 19))


class MobileNetBackbone(Backbone):
    """MobileNetV2; the name with ``_s16`` keeps the resolution in its last stage.

    Args:
        variant: one of ``VARIANTS``; weights are torchvision's random initialisation.
    """

    def __init__(self, variant: str = "mobilenet_v2") -> None:
        super().__init__()
        # Here, for the many commands that never build one: torchvision takes a second to import.
        from torchvision.models import mobilenet_v2

        last_stride = VARIANTS[variant]
        features = mobilenet_v2(weights=None, num_classes=1).features
        if last_stride == 16:
            features[14].conv[1][0].stride = (1, 1)  # the only stride of the last stage
        self.stages = nn.ModuleList(
            nn.Sequential(
                OrderedDict(
                    features=nn.Sequential(OrderedDict((str(k), features[k]) for k in blocks))
                )
            )
            for blocks in BLOCKS
        )
        self.stage_channels = (16, 24, 32, 96, 1280)
        self.stage_strides = (2, 4, 8, 16, last_stride)
