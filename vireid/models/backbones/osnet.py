"""OSNet from torchreid's own file; no other module uses torchreid.

Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019.

torchreid's package cannot be imported without libraries that it does not declare, so its model
files are located in the installed distribution and executed on their own.
"""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import nn

from vireid.models.backbones.base import Backbone

PLAIN = ("osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0")
AIN = ("osnet_ain_x1_0", "osnet_ain_x0_75", "osnet_ain_x0_5", "osnet_ain_x0_25")
VARIANTS = PLAIN + AIN
# torchreid's names of what each stage runs, in order; osnet.py keeps the transitions inside
# conv2 and conv3, osnet_ain.py beside them, and the stages end at the same maps in both.
MODULES = {
    "osnet.py": (("conv1", "maxpool"), ("conv2",), ("conv3",), ("conv4",), ("conv5",)),
    "osnet_ain.py": (
        ("conv1", "maxpool"),
        ("conv2", "pool2"),
        ("conv3", "pool3"),
        ("conv4",),
        ("conv5",),
    ),
}


class OSNetBackbone(Backbone):
    """OSNet; conv1 includes the max pooling.

    Args:
        variant: one of ``VARIANTS``; weights are torchreid's random initialisation.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        whole, file_name = torchreid_osnet(variant, 1), _file_of(variant)
        self.stages = nn.ModuleList(
            nn.Sequential(OrderedDict((name, getattr(whole, name)) for name in names))
            for names in MODULES[file_name]
        )
        self.stage_strides = (4, 8, 16, 16, 16)
        self.stage_channels = tuple(_out_channels(stage) for stage in self.stages)


def torchreid_osnet(variant: str, num_classes: int) -> nn.Module:
    """torchreid's whole model with random weights: (B, 3, H, W) → logits in training mode.

    Args:
        variant: one of ``VARIANTS``.
    """
    build = getattr(_torchreid_file(_file_of(variant)), variant)
    return build(num_classes=num_classes, pretrained=False)


def _file_of(variant: str) -> str:
    return "osnet.py" if variant in PLAIN else "osnet_ain.py"


def _out_channels(stage: nn.Module) -> int:
    norms = [m for m in stage.modules() if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d))]
    return norms[-1].num_features


@cache
def _torchreid_file(name: str) -> ModuleType:
    """One of torchreid's model files as a module, without running the package around it.

    Raises:
        ModuleNotFoundError: torchreid is not installed, or holds no such file.
    """
    package = importlib.util.find_spec("torchreid")
    folders = (package.submodule_search_locations or []) if package else []
    # The registry's 0.2.5 has reid/models/, the author's repository models/.
    for path in (Path(root) / sub / name for root in folders for sub in ("reid/models", "models")):
        if path.is_file():
            spec = importlib.util.spec_from_file_location(f"_vireid_torchreid_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ModuleNotFoundError(
        f"torchreid's {name} was not found; install it with: pip install torchreid",
        name="torchreid",
    )
