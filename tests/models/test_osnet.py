import importlib.util
import sys

import pytest
import torch
from torch import nn

from vireid.models.backbones import osnet
from vireid.models.backbones.osnet import PLAIN, OSNetBackbone

COMPARED = ("osnet_x1_0", "osnet_ibn_x1_0", "osnet_ain_x1_0", "osnet_x0_25")


def randomise_norms(network: nn.Module) -> None:
    """Fresh norms are the identity, and a stage that skipped one would go unnoticed."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)


def torchreid_network(variant: str) -> nn.Module:
    file_name = "osnet.py" if variant in PLAIN else "osnet_ain.py"
    network = getattr(osnet._torchreid_file(file_name), variant)(num_classes=1, pretrained=False)
    randomise_norms(network)
    return network.eval()


@pytest.mark.parametrize("variant", COMPARED)
def test_stages_compute_what_torchreids_network_computes(variant: str):
    torch.manual_seed(0)
    network = torchreid_network(variant)
    backbone = OSNetBackbone(variant).eval()
    weights = network.state_dict()
    for stage in backbone.stages:
        stage.load_state_dict({key: weights[key] for key in stage.state_dict()}, strict=True)
    covered = {key for stage in backbone.stages for key in stage.state_dict()}
    assert {key.split(".")[0] for key in weights.keys() - covered} == {"fc", "classifier"}
    images = torch.randn(2, 3, 128, 64)
    with torch.no_grad():
        expected, actual = network.featuremaps(images), backbone(images)
    assert expected.std() > 0.1
    assert (actual - expected).abs().max() < 1e-6


def test_building_imports_nothing_of_torchreids_package():
    osnet._torchreid_file.cache_clear()
    before = set(sys.modules)
    OSNetBackbone("osnet_x0_25")
    OSNetBackbone("osnet_ain_x0_25")
    new = set(sys.modules) - before
    assert not {name for name in new if name.split(".")[0] == "torchreid"}


def test_absent_torchreid_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    osnet._torchreid_file.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torchreid") as caught:
        OSNetBackbone("osnet_x0_25")
    assert caught.value.name == "torchreid"
    monkeypatch.undo()
    OSNetBackbone("osnet_x0_25")  # the failure was not remembered
