"""Networks of timm, ``MODEL.BACKBONE timm:<name>``; timm is optional."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from vireid.errors import UsageError
from vireid.models.backbones.base import Backbone

PREFIX = "timm:"
KEEPS_RESOLUTION = "_s16"  # the end of a name
COUNT = 5  # stages
SIDE = 64  # pixels of the image that measures channels and strides

Stage = OrderedDict[str, nn.Module]  # timm's name of each module, in the order of use


class TimmBackbone(Backbone):
    """A network of timm with feature maps (B, C, H, W), cut into five stages.

    Each stage ends with one of the five maps that timm lists for the network
    (``features_only=True``). Of a network with four maps, what comes before the module of the first
    map is conv1. Names of parameters inside the stages are timm's.

    Args:
        name: ``timm:`` and the name of the network; with ``_s16`` at its end, the last stage keeps
            the resolution: its convolutions have stride 1. Weights are timm's random
            initialisation.
    Raises:
        UsageError: timm is not installed, has no such network, or it is not a row of stages.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        network = _network(name)
        stages = _stages(network)
        if len(stages) != COUNT:
            raise _unsuited(name, f"it has {len(stages)} feature maps, not 4 or 5")
        self.stages = nn.ModuleList(map(_nested, stages))
        if name.endswith(KEEPS_RESOLUTION):
            for module in self.stages[-1].modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
        try:
            shapes = self._shapes()
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise _unsuited(name, "its modules are not a row") from error
        self.stage_channels = tuple(channels for channels, _ in shapes)
        self.stage_strides = tuple(stride for _, stride in shapes)
        listed = _listed(network, "num_chs")
        if list(self.stage_channels[-len(listed) :]) != listed:
            raise _unsuited(name, f"maps have {self.stage_channels} channels instead of {listed}")
        if name.endswith(KEEPS_RESOLUTION) and self.stage_strides[-1] != 16:
            found = self.stage_strides[-1]
            raise _unsuited(name, f"with stride 1 in the last stage it has stride {found}")

    @torch.no_grad()
    def _shapes(self) -> list[tuple[int, int]]:
        """Channels and stride of every stage's map."""
        training, maps, shapes = self.training, torch.zeros(1, 3, SIDE, SIDE), []
        for stage in self.eval().stages:
            maps = stage(maps)
            _, channels, height, _ = maps.shape
            shapes.append((channels, SIDE // height))
        self.train(training)
        return shapes


def _network(name: str) -> nn.Module:
    try:
        import timm  # here: it is optional, and takes seconds to import
    except ModuleNotFoundError as error:
        message = f"MODEL.BACKBONE={name!r} needs timm: pip install 'vireid[timm]'"
        raise UsageError(message) from error
    wanted = name.removeprefix(PREFIX).removesuffix(KEEPS_RESOLUTION)
    if not timm.is_model(wanted):
        near = get_close_matches(wanted, timm.list_models(), n=3)
        known = f"near names: {', '.join(near)}" if near else "timm.list_models() has the names"
        raise UsageError(f"MODEL.BACKBONE={name!r}: timm has no such network; {known}")
    network: nn.Module = timm.create_model(wanted, pretrained=False, num_classes=0)
    if not hasattr(network, "feature_info"):
        raise _unsuited(name, "it lists no feature maps")
    return network


def _listed(network: Any, key: str) -> list[Any]:
    """One property of all feature maps that timm lists for a network."""
    return [info[key] for info in network.feature_info]


def _unsuited(name: str, why: str) -> UsageError:
    return UsageError(f"MODEL.BACKBONE={name!r} cannot be used: {why}; choose another network")


def _stages(network: nn.Module) -> list[Stage]:
    """The modules up to each listed map, and those since the one before."""
    taps = _listed(network, "module")
    stages, current = [], Stage()
    for name, module in _modules(network, taps):
        current[name] = module
        if name in taps:
            stages.append(current)
            current = Stage()
    if len(stages) == COUNT - 1 and len(stages[0]) > 1:
        last = stages[0].popitem()
        stages.insert(1, Stage([last]))
    return stages


def _modules(network: nn.Module, taps: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network in the order of use; of a part that holds maps, its own parts."""
    for name, part in network.named_children():
        if any(tap.startswith(f"{name}.") for tap in taps):
            yield from ((f"{name}.{inner}", module) for inner, module in part.named_children())
        else:
            yield name, part


def _nested(stage: Stage) -> nn.Sequential:
    """One module, in which parameters have timm's names: ``blocks.0.0.conv_dw.weight``."""
    row = nn.Sequential()
    for name, module in stage.items():
        owner, _, inner = name.rpartition(".")
        if not owner:
            row.add_module(name, module)
            continue
        if owner not in dict(row.named_children()):
            row.add_module(owner, nn.Sequential())
        row.get_submodule(owner).add_module(inner, module)
    return row
