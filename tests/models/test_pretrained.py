import pickle
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import load_line
from vireid.config.schema import default_config
from vireid.errors import CheckpointError
from vireid.models.backbones.osnet import OSNetBackbone
from vireid.models.build import build_model
from vireid.models.pretrained import imagenet_file
from vireid.models.weight_files import read_tensors

VARIANT = "osnet_x0_25"


def backbone_tensors(backbone: OSNetBackbone) -> dict[str, Tensor]:
    return tensors_of(backbone.stages)


def tensors_of(stages: Iterable[nn.Module]) -> dict[str, Tensor]:
    """Everything that decides an output: all but BatchNorm's step counters."""
    return {
        key: tensor
        for stage in stages
        for key, tensor in stage.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def published(seed: int = 5) -> dict[str, Tensor]:
    """What torchreid's file of this network would hold, with random numbers in it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(tensor.shape, generator=generator).to(tensor.dtype)
        for key, tensor in backbone_tensors(OSNetBackbone(VARIANT)).items()
    }


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [False, True])
def test_backbone_takes_every_tensor_of_a_torchreid_file(tmp_path: Path, prefix: str, nested: bool):
    weights = published()
    extra = {"classifier.weight": torch.ones(9, 512), "fc.0.weight": torch.ones(512, 128)}
    content: dict = {prefix + key: tensor for key, tensor in {**weights, **extra}.items()}
    content = {"state_dict": content, "epoch": 3} if nested else content
    backbone = OSNetBackbone(VARIANT)
    path = save(tmp_path / "weights.pth", content)
    line = load_line(backbone, path)
    loaded = backbone_tensors(backbone)
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)
    assert line == f"loaded {len(weights)} of {len(weights)} backbone entries from {path}"


@pytest.mark.parametrize("how", ["missing", "other shape"])
def test_at_least_95_percent_of_the_entries_must_match(tmp_path: Path, how: str):
    weights = published()
    allowed = len(weights) - -(-95 * len(weights) // 100)  # rounded up: what must match
    for count, fits in ((allowed, True), (allowed + 1, False)):
        content = dict(weights)
        for key in list(weights)[-count:]:
            if how == "missing":
                del content[key]
            else:
                content[key] = torch.ones(2, 3, 5)
        backbone = OSNetBackbone(VARIANT)
        before = {key: t.clone() for key, t in backbone_tensors(backbone).items()}
        path = save(tmp_path / "weights.pth", content)
        if fits:
            line = load_line(backbone, path)
            assert f"loaded {len(weights) - count} of {len(weights)}" in line
            assert f"{how}: " in line and f"({count})" in line
            now = backbone_tensors(backbone)
            assert torch.equal(now["conv1.conv.weight"], weights["conv1.conv.weight"])
            assert torch.equal(now[list(weights)[-1]], before[list(weights)[-1]])
        else:
            with pytest.raises(CheckpointError, match=rf"{how}: .*\({count}\)"):
                load_line(backbone, path)
            now = backbone_tensors(backbone)
            assert all(torch.equal(now[key], before[key]) for key in before)


def test_weights_of_another_network_are_refused_with_what_did_not_match(tmp_path: Path):
    other = backbone_tensors(OSNetBackbone("osnet_x0_5")) | {"layer1.weight": torch.ones(1)}
    path = save(tmp_path / "other.pth", other)
    message = (
        r"other shape: conv1\.conv\.weight \(32, 3, 7, 7\) instead of \(16, 3, 7, 7\)"
        r".*not used: layer1\.weight \(1\)"
    )
    with pytest.raises(CheckpointError, match=message):
        load_line(OSNetBackbone(VARIANT), path)


@pytest.mark.parametrize(
    "content", [torch.ones(3), [1, 2], {"epoch": 3}, {"state_dict": {}}], ids=repr
)
def test_file_without_a_state_dict_is_refused(tmp_path: Path, content: object):
    path = save(tmp_path / "other.pth", content)
    with pytest.raises(CheckpointError, match=r"not a state dict|only 0 of"):
        load_line(OSNetBackbone(VARIANT), path)


def test_missing_files_and_folders_are_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        read_tensors(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        read_tensors(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_file_cut_anywhere_is_damaged_and_nothing_else(tmp_path: Path, zipped: bool):
    path = tmp_path / "cut.pth"
    content = {"a": torch.arange(4.0), "b": {"c": torch.ones(2, 2)}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    # the first half; a stream of tensors that lacks only its end may still be readable
    for length in range(0, len(whole) // 2, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pth is damaged"):
            read_tensors(path)


class Touch:
    """Unpickled, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dump", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_code_in_a_file_is_never_executed(tmp_path: Path, dump):
    mark, path = tmp_path / "executed", tmp_path / "weights.pth"
    dump({"conv1.conv.weight": torch.ones(1), "x": Touch(mark)}, path)
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_tensors(path)
    assert not mark.exists()
    torch.load(path, weights_only=False) if dump is torch.save else pickle.loads(path.read_bytes())
    assert mark.exists()  # the trap was armed


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"TORCH_HOME": "{}/home", "XDG_CACHE_HOME": "{}/cache"}, "home/checkpoints"),
        ({"XDG_CACHE_HOME": "{}/cache"}, "cache/torch/checkpoints"),
    ],
)
def test_imagenet_weights_are_looked_for_where_torchreid_keeps_them(
    tmp_path: Path, environment: dict[str, str], folder: str
):
    environment = {key: value.format(tmp_path) for key, value in environment.items()}
    path = tmp_path / folder / "osnet_x1_0_imagenet.pth"
    with pytest.raises(CheckpointError) as caught:
        imagenet_file("osnet_x1_0", environment)
    assert str(path) in str(caught.value)
    assert "MODEL_ZOO" in str(caught.value) and "MODEL.PRETRAINED none" in str(caught.value)
    path.parent.mkdir(parents=True)
    path.touch()
    assert imagenet_file("osnet_x1_0", environment) == path


@pytest.mark.parametrize("shared_depth", [0, 3])
@pytest.mark.parametrize("by_name", [False, True])
def test_both_streams_start_from_the_files_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_depth: int, by_name: bool
):
    weights = published()
    path = tmp_path / "checkpoints" / f"{VARIANT}_imagenet.pth"
    path.parent.mkdir()
    save(path, weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.SHARED_DEPTH = VARIANT, shared_depth
    cfg.MODEL.PRETRAINED = "imagenet" if by_name else str(path)
    network, start = build_model(cfg, 4)
    assert str(path) in start.origin
    streams = network.backbone
    for specific in (streams.visible, streams.infrared):
        held = tensors_of([*specific, *streams.shared])
        assert held.keys() == weights.keys()
        assert all(torch.equal(held[key], weights[key]) for key in weights)


def test_pretrained_none_starts_at_random_and_says_so():
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = VARIANT, "none"
    firsts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network, start = build_model(cfg, 4)
        assert start.origin == f"{VARIANT} starts from random weights"
        firsts.append(network.backbone.visible[0].conv1.conv.weight)
    assert torch.equal(firsts[0], firsts[1]) and not torch.equal(firsts[0], firsts[2])


def test_weights_are_not_needed_before_a_checkpoint(monkeypatch: pytest.MonkeyPatch):
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = VARIANT, "/absent/weights.pth"
    _, start = build_model(cfg, 4, load_weights=False)
    assert start.origin == f"{VARIANT} starts from random weights"
    with pytest.raises(CheckpointError, match=r"/absent/weights\.pth does not exist"):
        build_model(cfg, 4)


def test_step_counters_are_neither_needed_nor_reported(tmp_path: Path):
    counter = {"conv1.bn.num_batches_tracked": torch.tensor(7)}
    path = save(tmp_path / "weights.pth", published() | counter)
    backbone = OSNetBackbone(VARIANT)
    assert "not used" not in load_line(backbone, path)
    assert backbone.stages[0].conv1.bn.num_batches_tracked == 0


def test_without_a_home_folder_the_message_names_torch_home(monkeypatch):
    """A user without an entry in the system's list, as containers with a chosen id have."""

    def unknown(_):
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    with pytest.raises(CheckpointError, match="has no home folder: TORCH_HOME must name one"):
        imagenet_file("osnet_x1_0", {})
    with pytest.raises(CheckpointError, match=r"/w/checkpoints/\S+ \(TORCH_HOME names another"):
        imagenet_file("osnet_x1_0", {"TORCH_HOME": "/w"})
