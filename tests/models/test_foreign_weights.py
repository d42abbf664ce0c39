"""Files of other code: wrapped, with values of numpy and options in them; never executed."""

import argparse
import builtins
import collections
import datetime
import functools
import os
import pathlib
import subprocess
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from yacs.config import CfgNode

from tests.helpers import load_line
from vireid.config.schema import default_config
from vireid.errors import CheckpointError
from vireid.models.backbones.sdc_cnn import SDCBackbone
from vireid.models.build import build_model
from vireid.models.weight_files import read_tensors

BACKBONE = "sdc_cnn_x0_25_s16"
REAL = Path(__file__).resolve().parents[3] / "shared/weights/osnet_x0_25_msmt17.pth"


def published(seed: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(tensor.shape, generator=generator).to(tensor.dtype)
        for stage in SDCBackbone(BACKBONE).stages
        for key, tensor in stage.state_dict().items()
    }


def named(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in published().items()}


def options() -> CfgNode:
    cfg = CfgNode({"MODEL": CfgNode({"NAME": "x", "SIZE": [1, 2]})})
    cfg.freeze()
    return cfg


class Settings(argparse.Namespace):
    """Attributes of the names that mappings have for methods."""


OPTIMIZER = {
    "state": {0: {"exp_avg": torch.ones(7), "step": torch.tensor(3.0)}},
    "param_groups": [],
}
CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "torchreid": lambda: {
        "state_dict": collections.OrderedDict(named("module.")),
        "epoch": 60,
        "rank1": np.float64(0.71),
        "optimizer": OPTIMIZER,
        "scheduler": {"last_epoch": 60, "base_lrs": [np.float32(1)], "milestones": np.arange(3)},
    },
    "lightning": lambda: {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": collections.OrderedDict(
            named("model.backbone.") | {"loss.centers": torch.ones(3)}
        ),
        "optimizer_states": [OPTIMIZER],
        "callbacks": {
            "ModelCheckpoint": {"dirpath": Path("/x"), "best_model_score": np.float32(1)}
        },
        "hyper_parameters": argparse.Namespace(
            lr=np.float32(3), items=1, keys=Path("/a"), tags={1}
        ),
    },
    "DDP": lambda: {"model": named("model.module.backbone."), "best": np.array([0.1, 0.2])},
    "compiled": lambda: {"net": named("module._orig_mod."), "mAP": np.float16(0.3)},
    "fast-reid": lambda: {"model": named("backbone."), "cfg": options(), "iteration": np.int64(8)},
    "AGW": lambda: {"net": named("base_resnet.base."), "cmc": np.linspace(0, 1, 5), "epoch": 3},
    "mixed": lambda: {
        ("module." if number % 2 else "model.net.encoder.") + key: tensor
        for number, (key, tensor) in enumerate(published().items())
    },
    "numpy": lambda: {"params": {key: tensor.numpy() for key, tensor in published().items()}},
    "nn.Parameter": lambda: {
        "model_state_dict": {
            k: nn.Parameter(v) if v.is_floating_point() else v for k, v in published().items()
        }
    },
    "EMA": lambda: {"model": None, "ema": {"module": named("")}, "optimizer": OPTIMIZER},
    "unknown": lambda: {"trained": {"now": {"weights": named("student.trunk.")}}},
    "many values": lambda: {
        **{
            "when": datetime.datetime.now(),
            "took": datetime.timedelta(1),
            "path": pathlib.Path("a"),
        },
        **{"counts": collections.defaultdict(list, {"a": [np.int32(1)]}), "set": frozenset([1])},
        **{
            "flag": np.bool_(True),
            "text": np.array(["a", "bc"]),
            "any": np.array(["a", 1], object),
        },
        **{
            "empty": np.empty((0, 3)),
            "fortran": np.asfortranarray(np.eye(3)),
            "rng": os.urandom(9),
        },
        **{"big": np.arange(3, dtype=">f8"), "state": np.random.get_state(), "ellipsis": ...},
        **{"size": torch.Size([1]), "dtype": np.dtype("f4"), "kind": np.float32, "type": int},
        **{"space": types.SimpleNamespace(a=1), "weights": named("net.")},
    },
}


def loaded(backbone: SDCBackbone) -> bool:
    """Whether a backbone has all published numbers."""
    state = {k: v for stage in backbone.stages for k, v in stage.state_dict().items()}
    return all(
        torch.equal(state[key], tensor)
        for key, tensor in published().items()
        if "num_batches" not in key
    )


@pytest.mark.parametrize("numpy_1", [False, True])
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints_of_other_code_load_whole(tmp_path: Path, kind: str, numpy_1: bool):
    path, backbone = tmp_path / "model.pth.tar", SDCBackbone(BACKBONE)
    torch.save(CHECKPOINTS[kind](), path)
    if numpy_1:
        rename(path, b"numpy._core.", b"numpy.core.")
    line = load_line(backbone, path)
    count = sum("num_batches" not in key for key in published())
    assert line.startswith(f"loaded {count} of {count} backbone entries from {path}")
    assert loaded(backbone)
    assert ("student.trunk.*" in line) == (kind == "unknown")


def rename(path: Path, before: bytes, after: bytes) -> None:
    """Writes a file as an older version of a library would have."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            new = content.replace(before, after) if name.endswith("data.pkl") else content
            archive.writestr(name, new)


def test_scalars_become_numbers_and_arrays_stay_arrays(tmp_path: Path):
    values = {
        **{"half": np.float16(0.25), "flag": np.bool_(True), "text": np.str_("é")},
        **{"swapped": np.arange(3, dtype=">i4"), "grid": np.arange(6.0).reshape(2, 3).T},
    }
    torch.save(values, tmp_path / "values.pth")
    found = read_tensors(tmp_path / "values.pth")
    assert [found["half"], found["flag"], found["text"]] == [0.25, True, "é"]
    assert type(found["half"]) is float and type(found["flag"]) is bool
    assert found["swapped"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found["grid"], values["grid"])


def test_safetensors_load_under_any_name(tmp_path: Path):
    backbone, path = SDCBackbone(BACKBONE), tmp_path / "weights.bin"
    save_file(named("model."), path)
    assert "loaded" in load_line(backbone, path) and loaded(backbone)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"weights\.bin is damaged"):
        load_line(backbone, path)


@pytest.mark.parametrize("whole", [False, True])
def test_streams_of_a_two_stream_model_start_ours(tmp_path: Path, whole: bool):
    """Each modality's first stage, and a whole backbone of which the rest is used.

    AGW's streams hold a whole backbone, too: what both have alike was never trained.
    """
    visible, infrared, shared, unused = (published(seed) for seed in (1, 2, 3, 4))
    first = [key for key in shared if key.startswith("conv1.")]
    net = {f"base_resnet.base.{key}": tensor for key, tensor in shared.items()}
    for stream in ("visible_module.visible.", "thermal_module.thermal.") if whole else ():
        net |= {stream + key: tensor for key, tensor in unused.items()}
    net |= {f"visible_module.visible.{key}": visible[key] for key in first}
    net |= {f"thermal_module.thermal.{key}": infrared[key] for key in first}
    path = tmp_path / "agw.t"
    torch.save({"net": {f"module.{key}": tensor for key, tensor in net.items()}}, path)
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = [64, 32], BACKBONE, str(path)
    cfg.MODEL.MGIM.ENABLED = False
    for depth in (3, 5):
        cfg.MODEL.SHARED_DEPTH = depth
        model, start = build_model(cfg, 3)
        state = model.state_dict()
        if depth == 3:
            for stream, tensors in (("visible", visible), ("infrared", infrared)):
                name = "conv1.0.weight"
                assert torch.equal(state[f"backbone.{stream}.0.{name}"], tensors[name])
                conv2 = [k for k in shared if k.startswith("conv2.") and k.endswith("0.weight")]
                assert torch.equal(state[f"backbone.{stream}.1.{conv2[0]}"], shared[conv2[0]])
        else:
            assert torch.equal(state["backbone.shared.0.conv1.0.weight"], visible["conv1.0.weight"])
            assert "of two streams the visible one starts the shared: conv1" in start.origin


class Code:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), r"(posix|nt)\.system"),
        (builtins.eval, ("open('{}', 'w')",), "eval"),
        (builtins.getattr, ("", "join"), "getattr"),
        (subprocess.check_output, (["touch", "{}"],), r"(subprocess|commands)\.check_output"),
        (functools.partial, (os.remove,), r"functools\.partial"),
        (Settings, (), r"Settings"),
        (np.load, ("{}",), r"numpy\.(lib\S*\.)?load"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_pickle_with_code_is_refused_by_name(tmp_path: Path, function, arguments, name):
    mark, path = tmp_path / "mark", tmp_path / "weights.pth"
    filled = [a.format(mark) if isinstance(a, str) else a for a in arguments]
    filled = [[x.format(mark) for x in a] if isinstance(a, list) else a for a in filled]
    torch.save({"state_dict": published(), "extra": Code(function, *filled)}, path)
    with pytest.raises(CheckpointError, match=rf"more than tensors \((\S*\.)?{name}, which"):
        load_line(SDCBackbone(BACKBONE), path)
    assert not mark.exists()


def test_a_forged_dtype_is_never_given_to_numpy(tmp_path: Path):
    """With it, numpy takes any bytes for pointers, and the process dies when they are read."""
    fields = {"a": (np.dtype("O"), 0)}
    forged = Code(np.dtype, "V8", False, True)
    forged.call += ((3, "|", None, ("a",), fields, 8, 1, 0),)  # type: ignore[assignment]
    array = Code(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b")
    array.call += ((1, (1,), forged, False, b"A" * 8),)  # type: ignore[assignment]
    torch.save({"state_dict": published(), "array": array}, tmp_path / "weights.pth")
    assert not isinstance(read_tensors(tmp_path / "weights.pth")["array"], np.ndarray)
    assert "loaded" in load_line(SDCBackbone(BACKBONE), tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "a web page"),
        (b"", "damaged"),
    ],
)
def test_what_lies_in_place_of_weights_is_named(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"weights\.pth is.* {words}"):
        load_line(SDCBackbone(BACKBONE), path)


def test_five_keys_of_both_when_nothing_fits(tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save({f"blocks.{n}.attn.qkv.weight": torch.ones(n + 1, 2) for n in range(9)}, path)
    with pytest.raises(CheckpointError) as caught:
        load_line(SDCBackbone(BACKBONE), path)
    theirs, ours = str(caught.value).split("The file has ")[1].split("; the model has ")
    assert theirs.count("attn.qkv.weight") == ours.count("conv1.") == 5
    assert "blocks.0.attn.qkv.weight (1, 2)" in theirs
    assert "conv1.0.weight (16, 3, 3, 3)" in ours


@pytest.mark.skipif(not REAL.is_file(), reason="the published OSNet is not here")
def test_a_published_osnet_loads_whole():
    cfg = default_config()
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = "osnet_x0_25", str(REAL)
    model, start = build_model(cfg, 3)
    assert start.origin.startswith(f"loaded 479 of 479 backbone entries from {REAL}")
    weights = read_tensors(REAL)["state_dict"]["conv1.conv.weight"]
    for stream in (model.backbone.visible, model.backbone.infrared):
        assert torch.equal(stream[0].conv1.conv.weight, weights)
