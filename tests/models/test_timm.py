"""Networks of timm: the maps are timm's, and so are the names of weights."""

import sys
from pathlib import Path

import pytest
import torch

from vireid.config.schema import default_config
from vireid.engine.distributed import synchronise_norms
from vireid.errors import CheckpointError, UsageError
from vireid.models.build import build_model, make_backbone
from vireid.models.pretrained import imagenet_file
from vireid.runs.options import choices

timm = pytest.importorskip("timm")
SMALL = "mobilenetv3_small_050"


def config(**model: object):
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = [96, 48], f"timm:{SMALL}_s16", "none"
    cfg.merge_from_list([word for key, value in model.items() for word in (f"MODEL.{key}", value)])
    return cfg


@pytest.mark.parametrize("name", [SMALL, "resnet10t", "convnext_atto"])
def test_maps_are_those_that_timm_lists(name: str):
    torch.manual_seed(0)
    backbone = make_backbone(f"timm:{name}").eval()
    torch.manual_seed(0)
    listed = timm.create_model(name, features_only=True, num_classes=0).eval()
    found, images = [], torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        # Weights by position: both have the same layers in the same order.
        ours = dict(zip(listed.state_dict(), backbone.state_dict().values(), strict=True))
        listed.load_state_dict(ours)
        expected, maps = listed(images), images
        for stage in backbone.stages:
            maps = stage(maps)
            found.append(maps)
    for one, other in zip(reversed(found), reversed(expected), strict=False):
        assert torch.equal(one, other)
    assert backbone.stage_channels == tuple(m.shape[1] for m in found)
    assert backbone.stage_strides == tuple(96 // m.shape[2] for m in found)
    strides = (4, 4, 8, 16, 32) if name == "convnext_atto" else (2, 4, 8, 16, 32)
    assert backbone.stage_strides == strides


def test_the_last_stage_can_keep_the_resolution():
    plain, kept = make_backbone(f"timm:{SMALL}"), make_backbone(f"timm:{SMALL}_s16")
    assert kept.stage_channels == plain.stage_channels == (16, 8, 16, 24, 288)
    assert (plain.stage_strides[-1], kept.stage_strides[-1]) == (32, 16)
    shapes = [{k: v.shape for k, v in b.state_dict().items()} for b in (plain, kept)]
    assert shapes[0] == shapes[1]


def test_weights_of_a_file_start_both_streams(tmp_path: Path):
    torch.manual_seed(1)
    published = timm.create_model(SMALL).state_dict()
    torch.save(published, tmp_path / "weights.pth")
    model, start = build_model(config(PRETRAINED=str(tmp_path / "weights.pth")), 7)
    of_blocks = [k for k in published if k.startswith(("conv_stem", "bn1", "blocks"))]
    count = sum(not k.endswith("num_batches_tracked") for k in of_blocks)
    assert f"loaded {count} of {count} backbone entries" in start.origin
    for stream in (model.backbone.visible, model.backbone.infrared):
        assert torch.equal(stream[0].conv_stem.weight, published["conv_stem.weight"])
    assert len(model.backbone.visible) == 2  # shared depth 3 of five stages
    deepest = model.backbone.shared[-1].state_dict()
    key = next(key for key in reversed(of_blocks) if key.endswith("weight"))
    assert torch.equal(deepest[key], published[key])


def test_the_whole_model_has_heads_for_its_maps():
    model, _ = build_model(config(), 7)
    output = model.eval()(torch.zeros(2, 3, 96, 48), torch.tensor([False, True]))
    assert {head.feature.shape for head in output.heads.values()} == {(2, 288)}
    assert len(output.heads) == 4 and len(output.parts) == 3


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("mobilenetv3_smal", "near names: mobilenetv3_small_100"),
        ("vit_tiny_patch16_224", "12 feature maps, not 4 or 5"),
        ("coat_lite_tiny", "its modules are not a row"),
        ("convnext_atto_s16", "with stride 1 in the last stage it has stride 21"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(name: str, phrase: str):
    with pytest.raises(UsageError) as caught:
        make_backbone(f"timm:{name}")
    assert phrase in str(caught.value) and "\n" not in str(caught.value)


def test_without_timm_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"needs timm: pip install 'vireid\[timm\]'"):
        make_backbone(f"timm:{SMALL}")


def test_norms_with_an_activation_have_no_statistics_of_each_modality():
    with pytest.raises(UsageError, match="cannot replace BatchNormAct2d"):
        build_model(config(NORM_STATISTICS="dual"), 7)
    with pytest.raises(CheckpointError, match=r"timm.create_model\(NAME, pretrained=True\)"):
        imagenet_file(f"timm:{SMALL}")


def test_norms_with_an_activation_are_not_synchronised():
    """torch would put a BatchNorm without the activation in their place."""
    with pytest.raises(UsageError, match="MODEL.SYNC_BN cannot replace BatchNormAct2d"):
        synchronise_norms(make_backbone(f"timm:{SMALL}"))
    plain = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    synchronise_norms(plain)
    assert type(plain[0]) is torch.nn.SyncBatchNorm


def test_the_option_takes_any_name_of_timm():
    names = choices()["MODEL.BACKBONE"]
    assert "timm:anything" in names and "osnet_x0_25" in names and "anything" not in names
    assert list(names)[-1] == "timm:<name>" and len(list(names)) == len(names)
