"""Models of this project start others: any shared depth, kind of norm, heads and parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vireid.config.schema import default_config
from vireid.errors import CheckpointError
from vireid.models.build import build_model
from vireid.models.pretrained import InitialWeights
from vireid.models.reid_model import ReidModel

BACKBONE = "sdc_cnn_x0_25_s16"  # every stage is a few layers
STAGES = [f"conv{number}" for number in range(1, 6)]


def make(depth: int, classes: int = 5, **options: Any) -> tuple[ReidModel, InitialWeights]:
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = [64, 32], BACKBONE, "none"
    cfg.MODEL.MGIM.GRANULARITIES, cfg.MODEL.MGIM.DIM, cfg.MODEL.SHARED_DEPTH = [2, 4], 8, depth
    cfg.merge_from_list(
        [
            word
            for key, value in options.items()
            for word in (f"MODEL.{key.replace('__', '.')}", value)
        ]
    )
    return build_model(cfg, classes)


def is_classifier(name: str) -> bool:
    return ".classifier" in name


def saved(path: Path, depth: int, **options: Any) -> dict[str, Tensor]:
    """The tensors of a checkpoint with different numbers everywhere."""
    torch.manual_seed(7)
    model, _ = make(depth, 9, **options)
    state = {
        key: torch.rand_like(tensor) if tensor.is_floating_point() else tensor
        for key, tensor in model.state_dict().items()
    }
    torch.save({"model": state, "progress": {"epoch": 3}}, path)
    return state


def stage_entries(state: Mapping[str, Tensor], stream: str) -> list[dict[str, Tensor]]:
    """What images of one modality pass through, stage by stage."""
    entries: list[dict[str, Tensor]] = [{} for _ in STAGES]
    specific = {key.split(".")[2] for key in state if key.startswith(f"backbone.{stream}.")}
    for key, tensor in state.items():
        _, kind, number, name = [*key.split(".", 3), "", ""][:4]
        if key.startswith("backbone.") and kind in (stream, "shared"):
            entries[int(number) + (len(specific) if kind == "shared" else 0)][name] = tensor
    return entries


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("theirs", range(6))
@pytest.mark.parametrize("ours", range(6))
def test_any_shared_depth_starts_any_other(tmp_path: Path, theirs: int, ours: int):
    state = saved(tmp_path / "last.pth", theirs)
    model, start = make(ours, PRETRAINED=str(tmp_path / "last.pth"))
    now = model.state_dict()
    for stream in ("visible", "infrared"):
        expected, found = stage_entries(state, stream), stage_entries(now, stream)
        for stage in range(5):
            shared_from_two = theirs < ours and 5 - ours <= stage < 5 - theirs
            if stream == "visible" or not shared_from_two:
                assert equal(found[stage], expected[stage]), (stream, stage)
            else:
                assert equal(found[stage], stage_entries(state, "visible")[stage])
    outside = [k for k in now if not k.startswith("backbone.") and not is_classifier(k)]
    assert outside and all(torch.equal(now[key], state[key]) for key in outside)
    assert start.loaded == {key for key in now if not is_classifier(key)}
    count = sum(not k.endswith("num_batches_tracked") for k in start.loaded)
    assert f"loaded {count} of {count} entries from {tmp_path / 'last.pth'} (class" in start.origin
    notes = {
        "of two streams the visible one starts the shared": STAGES[5 - ours : 5 - theirs],
        "shared stages start both streams": STAGES[5 - theirs : 5 - ours],
    }
    for words, stages in notes.items():
        assert (f"{words}: {', '.join(stages)}" in start.origin) == bool(stages)
        assert (words in start.origin) == bool(stages)


def test_classifiers_stay_random_also_for_as_many_identities(tmp_path: Path):
    saved(tmp_path / "last.pth", 3)
    fresh, _ = make(3, 9)
    model, _ = make(3, 9, PRETRAINED=str(tmp_path / "last.pth"))
    classifiers = [key for key in model.state_dict() if is_classifier(key)]
    assert len(classifiers) == 1 + 3 + 2  # deep, students, granularities
    for key in classifiers:
        assert model.state_dict()[key].abs().max() < 0.01  # CLASSIFIER_STD 0.001, not rand's 0 to 1
        assert model.state_dict()[key].shape == fresh.state_dict()[key].shape


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ({}, {"SDM__ENABLED": False}, ["not used: ", "shallow.shallow1", "shallow.shallow3"]),
        ({"SDM__ENABLED": False}, {}, ["missing: shallow.shallow1"]),
        ({"MGIM__ENABLED": False}, {}, ["missing: parts.features"]),
        (
            {},
            {"MGIM__DIM": 16},
            ["other shape: parts.features.aggregate", "parts.features.bnnecks"],
        ),
        ({}, {"MGIM__GRANULARITIES": [2]}, ["not used: parts.features.aggregate"]),
        ({"POOL": "avg"}, {}, ["missing: pool.exponent (1)"]),
    ],
    ids=str,
)
def test_of_models_with_other_modules_what_fits_is_taken(tmp_path: Path, theirs, ours, words):
    state = saved(tmp_path / "last.pth", 3, **theirs)
    model, start = make(3, **ours, PRETRAINED=str(tmp_path / "last.pth"))
    now = model.state_dict()
    expected = {
        key
        for key, tensor in now.items()
        if not is_classifier(key) and key in state and state[key].shape == tensor.shape
    }
    assert start.loaded == expected and len(expected) < len({*now, *state})
    assert all(torch.equal(now[key], state[key]) for key in expected)
    assert all(word in start.origin for word in words)


def test_statistics_per_modality_start_from_those_of_both_and_of_streams(tmp_path: Path):
    joint = saved(tmp_path / "last.pth", 3)
    model, start = make(5, NORM_STATISTICS="dual", PRETRAINED=str(tmp_path / "last.pth"))
    now = model.state_dict()
    norm, mean = "backbone.shared.0.conv1.1", "running_mean"
    assert torch.equal(now[f"{norm}.norm.{mean}"], joint[f"backbone.visible.0.conv1.1.{mean}"])
    assert torch.equal(now[f"{norm}.infrared.{mean}"], joint[f"backbone.infrared.0.conv1.1.{mean}"])
    assert torch.equal(now[f"{norm}.norm.weight"], joint["backbone.visible.0.conv1.1.weight"])
    for part in ("norm", "infrared"):
        assert torch.equal(now[f"head.bnneck.{part}.{mean}"], joint[f"head.bnneck.{mean}"])
    assert "joint statistics start those of each modality" in start.origin
    assert start.loaded == {key for key in now if not is_classifier(key)}


def test_joint_statistics_start_from_the_visible_ones_and_streams_from_each_modalitys(
    tmp_path: Path,
):
    dual = saved(tmp_path / "last.pth", 5, NORM_STATISTICS="dual")
    model, start = make(4, PRETRAINED=str(tmp_path / "last.pth"))
    now = model.state_dict()
    norm, var = "backbone.shared.0.conv1.1", "running_var"
    assert torch.equal(now[f"backbone.visible.0.conv1.1.{var}"], dual[f"{norm}.norm.{var}"])
    assert torch.equal(now[f"backbone.infrared.0.conv1.1.{var}"], dual[f"{norm}.infrared.{var}"])
    assert torch.equal(now["backbone.infrared.0.conv1.1.bias"], dual[f"{norm}.norm.bias"])
    assert torch.equal(now[f"head.bnneck.{var}"], dual[f"head.bnneck.norm.{var}"])
    assert "visible statistics start the joint ones" in start.origin


@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("kinds", [("joint", "separate"), ("dual", "separate")])
def test_separate_norms_start_with_what_the_file_computes(tmp_path: Path, depth: int, kinds):
    """Features of both modalities equal those of the model in the file."""
    theirs, ours = kinds
    saved(tmp_path / "last.pth", depth, NORM_STATISTICS=theirs)
    before, _ = make(depth, NORM_STATISTICS=theirs, PRETRAINED=str(tmp_path / "last.pth"))
    after, start = make(depth, NORM_STATISTICS=ours, PRETRAINED=str(tmp_path / "last.pth"))
    assert start.loaded == {key for key in after.state_dict() if not is_classifier(key)}
    images, flags = torch.rand(4, 3, 64, 32), torch.tensor([True, False, False, True])
    with torch.no_grad():
        one, other = (m.eval()(images, flags).deep.feature for m in (before, after))
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_separate_norms_start_streams_of_their_modality_and_joint_ones_of_the_visible(
    tmp_path: Path,
):
    file = saved(tmp_path / "last.pth", 5, NORM_STATISTICS="separate")
    model, start = make(4, PRETRAINED=str(tmp_path / "last.pth"))
    now, norm = model.state_dict(), "backbone.shared.0.conv1.1"
    for last in ("weight", "bias", "running_mean"):
        for part, stream in (("norm", "visible"), ("infrared", "infrared")):
            expected = file[f"{norm}.{part}.{last}"]
            assert torch.equal(now[f"backbone.{stream}.0.conv1.1.{last}"], expected)
        assert torch.equal(now[f"head.bnneck.{last}"], file[f"head.bnneck.norm.{last}"])
    assert "visible statistics start the joint ones" in start.origin
    dual, _ = make(5, NORM_STATISTICS="dual", PRETRAINED=str(tmp_path / "last.pth"))
    now = dual.state_dict()
    assert torch.equal(now[f"{norm}.norm.weight"], file[f"{norm}.norm.weight"])
    for part in ("norm", "infrared"):
        assert torch.equal(now[f"{norm}.{part}.running_var"], file[f"{norm}.{part}.running_var"])


def test_another_backbone_is_refused_with_entries_of_both(tmp_path: Path):
    state = saved(tmp_path / "last.pth", 3)
    config = f"MODEL:\n  BACKBONE: {BACKBONE}\n"
    torch.save({"model": state, "config": config}, tmp_path / "last.pth")
    with pytest.raises(CheckpointError, match=rf"of MODEL\.BACKBONE {BACKBONE}\.") as caught:
        make(3, BACKBONE="sdc_cnn_x0_5_s16", PRETRAINED=str(tmp_path / "last.pth"))
    file, model = str(caught.value).split("The file has ")[1].split("; the model has ")
    assert file.count("(") == model.count("(") == 5
    assert "backbone.visible.0.conv1.0.weight (16, 3, 3, 3)" in file
    assert "backbone.visible.0.conv1.0.weight (32, 3, 3, 3)" in model


def test_weights_of_a_start_and_broken_numbers_are_refused(tmp_path: Path):
    state = saved(tmp_path / "last.pth", 3)
    torch.save({"model": state, "progress": {"epoch": 0}}, tmp_path / "start.pth")
    with pytest.raises(CheckpointError, match=r"start\.pth was saved before the first epoch"):
        make(3, PRETRAINED=str(tmp_path / "start.pth"))
    state["head.bnneck.weight"][2] = torch.nan
    torch.save({"model": state}, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match=r"nan\.pth .*not finite in 1 .*head\.bnneck\.weight"):
        make(3, PRETRAINED=str(tmp_path / "nan.pth"))
