"""Weights and checkpoints: cut, of other networks, of no network, and with code inside."""

from __future__ import annotations

import io
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz.mutate import mutate_bytes, mutate_tree
from tests.fuzz.payload import payload
from vireid.cli import extract, train
from vireid.models.build import BACKBONES
from vireid.models.pretrained import load_backbone_weights
from vireid.synthetic.writers import write_set

Use = Callable[[], object]
NETWORK = "osnet_x0_25"
OPTIONS = {
    "INPUT.SIZE": "[64, 32]",
    "INPUT.PAD": "2",
    "DATA.WORKERS": "0",
    "MODEL.BACKBONE": NETWORK,
    "MODEL.PRETRAINED": "none",
    "MODEL.SDM.ENABLED": "false",
    "MODEL.MGIM.ENABLED": "false",
    "SAMPLER.IDENTITIES": "2",
    "SAMPLER.IMAGES": "2",
    "SOLVER.EPOCHS": "1",
    "SOLVER.WARMUP_EPOCHS": "0",
    "PRECISION": "fp32",
    "TEST.PROTOCOLS": "[sysu_indoor_single]",
}
Content = Any


@cache
def run() -> Path:
    """A finished training of one epoch; removed when the process ends."""
    holder = tempfile.TemporaryDirectory(prefix="vireid_fuzz_")
    _HOLDERS.append(holder)
    folder = Path(holder.name)
    write_set(
        "sysu", folder / "sysu", train_ids=4, test_ids=2, images_per_camera=1, size=(64, 32), seed=1
    )
    (folder / "config.yaml").write_text("DATA: {DATASET: sysu}\n")
    options = {**OPTIONS, "DATA.ROOT": str(folder / "sysu"), "OUTPUT_DIR": str(folder / "run")}
    words = [word for pair in options.items() for word in pair]
    if train.main(["--cfg", str(folder / "config.yaml"), *words]):
        raise RuntimeError("the corpus could not be trained")
    return folder / "run"


_HOLDERS: list[tempfile.TemporaryDirectory] = []


def weights(folder: Path, random: Random) -> Use:
    """A published state dict, spoilt, into a backbone."""
    good = {
        key: tensor
        for stage in BACKBONES[NETWORK]().stages
        for key, tensor in stage.state_dict().items()
    }
    path = folder / "weights.pth"
    _spoil(path, {"state_dict": good} if random.randint(0, 1) else good, random, folder)
    return lambda: load_backbone_weights(BACKBONES[NETWORK]().stages, path)


def checkpoint(folder: Path, random: Random) -> Use:
    """A run's checkpoint, spoilt, whose features are asked for."""
    copied = _with_spoilt_checkpoint(folder, random)
    words = ["--run", str(copied), "--out", str(folder / "f.npz")]
    return lambda: _ended(extract.main(words))


def resumed(folder: Path, random: Random) -> Use:
    """A run's checkpoint, spoilt, from which training is to go on for another epoch."""
    copied = _with_spoilt_checkpoint(folder, random)
    words = ["--cfg", str(copied / "config.yaml"), "--resume", str(copied), "SOLVER.EPOCHS", "2"]
    return lambda: _ended(train.main([*words, "OUTPUT_DIR", str(copied)]))


def _with_spoilt_checkpoint(folder: Path, random: Random) -> Path:
    copied = folder / "run"
    shutil.copytree(run(), copied)
    path = copied / "checkpoints/last.pth"
    good = torch.load(path, weights_only=True)
    _spoil(path, good, random, folder)
    return copied


def _spoil(path: Path, good: Content, random: Random, folder: Path) -> None:
    how = random.randint(0, 7)
    if how <= 2:
        torch.save(mutate_tree(good, random), path)
    elif how == 3:
        torch.save(_with_odd_tensor(good, random), path)
    elif how == 4:
        _with_code(path, good, random, folder / "sentinel")
    elif how == 5:
        _rezip(path, good, random)
    else:
        file = io.BytesIO()
        torch.save(good, file, _use_new_zipfile_serialization=bool(random.randint(0, 3)))
        path.write_bytes(mutate_bytes(file.getvalue(), random))


def _with_odd_tensor(tree: Content, random: Random) -> Content:
    """One tensor becomes one of another kind, shape or range."""
    if not isinstance(tree, dict) or not tree:
        return _odd(tree, random)
    key = random.choice(list(tree))
    return {k: _with_odd_tensor(v, random) if k == key else v for k, v in tree.items()}


def _odd(value: Content, random: Random) -> Content:
    if not isinstance(value, torch.Tensor):
        return torch.tensor([1.0, 2.0])
    changes = (
        lambda t: t.to(torch.complex64),
        lambda t: t.to_sparse() if t.dim() else t,
        lambda t: t.to(torch.float16),
        lambda t: t.to(torch.int64),
        lambda t: t.bool(),
        lambda t: torch.full_like(t.float(), float("nan")),
        lambda t: torch.full_like(t.float(), 1e38),
        lambda t: t[None],
        lambda t: t.float().expand(2**40, *t.shape),
        lambda t: torch.empty(t.shape, device="meta"),
        lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    )
    return random.choice(changes)(value)


def _with_code(path: Path, good: Content, random: Random, sentinel: Path) -> None:
    """Code as a pickle, in a state dict, or as the pickle of an otherwise good archive."""
    code, how = payload(sentinel), random.randint(0, 3)
    if how == 0:
        path.write_bytes(pickle.dumps(code, protocol=random.randint(0, 5)))
    elif how == 1:
        zipped = bool(random.randint(0, 1))
        torch.save({**good, "x": code}, path, _use_new_zipfile_serialization=zipped)
    elif how == 2:
        torch.save([code, good], path)
    else:
        file = io.BytesIO()
        torch.save(good, file)
        _replaced(file, path, lambda name, old: pickle.dumps(code, protocol=2))


def _rezip(path: Path, good: Content, random: Random) -> None:
    file = io.BytesIO()
    torch.save(good, file)
    _replaced(file, path, lambda name, old: mutate_bytes(old, random))


def _replaced(file: io.BytesIO, path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """The archive with another pickle, and checksums that are right."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            old = source.read(name)
            target.writestr(name, change(name, old) if name.endswith("data.pkl") else old)


def _ended(code: int) -> None:
    if code:
        raise SystemExit(code)
