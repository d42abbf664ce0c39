import pytest
import torch

from vireid.models.build import BACKBONES

OSNET = (64, 256, 384, 512, 512)
# The beginning of a backbone's name → published channels and strides of its maps, first match first
MAPS = {
    "osnet_x1_0": (OSNET, (4, 8, 16, 16, 16)),
    "osnet_ibn_x1_0": (OSNET, (4, 8, 16, 16, 16)),
    "osnet_ain_x1_0": (OSNET, (4, 8, 16, 16, 16)),
    "osnet_x0_25": ((16, 64, 96, 128, 128), (4, 8, 16, 16, 16)),
    "osnet": (None, (4, 8, 16, 16, 16)),
    "resnet18": ((64, 64, 128, 256, 512), (4, 4, 8, 16, 16)),
    "resnet50": ((64, 256, 512, 1024, 2048), (4, 4, 8, 16, 16)),
    "mobilenet_v2_s16": ((16, 24, 32, 96, 1280), (2, 4, 8, 16, 16)),
    "mobilenet_v2": ((16, 24, 32, 96, 1280), (2, 4, 8, 16, 32)),
    "sdc_cnn_x0_25_s16": ((16, 48, 48, 48, 48), (2, 4, 8, 16, 16)),
    "sdc_cnn": (None, None),  # test_sdc_cnn.py has the channels
}


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_have_the_published_and_stated_channels_and_strides(name: str):
    backbone, images = BACKBONES[name]().eval(), torch.zeros(1, 3, 96, 64)
    stated = backbone.stage_channels, backbone.stage_strides
    published = next(value for beginning, value in MAPS.items() if name.startswith(beginning))
    assert all(known in (None, own) for known, own in zip(published, stated, strict=True))
    maps = images
    with torch.no_grad():
        for stage, channels, stride in zip(backbone.stages, *stated, strict=True):
            maps = stage(maps)
            assert maps.shape == (1, channels, 96 // stride, 64 // stride)
        assert torch.equal(backbone(images), maps)
