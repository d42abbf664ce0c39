"""Exported models: damaged files, and changed files without a checksum."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
from torch import nn

from tests.fuzz.harness import Use, corpus
from tests.fuzz.mutate import TEXTS, as_bytes, mutate_bytes, mutate_text, mutate_tree
from vireid.deploy.deployed_model import DeployedFeatures
from vireid.deploy.extractor import Extractor
from vireid.deploy.metadata import ExportMetadata, write_checksum
from vireid.deploy.model_files import convert_to_openvino, write_metadata, write_onnx

ROOT = Path(__file__).resolve().parents[2]
METADATA = ExportMetadata(
    fingerprint="ab" * 32, modalities=("infrared",), exit="deep", embedding="global", flip=False,
    dim=6, size=(16, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), backbone="none",
    precision="fp32", version="0.1.0",
)  # fmt: skip
IMAGE = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
GRAPH = ("conv", "relu", "pool", "normalize", "f32", "i64", "16", "8", "6", "-1", "Loop", "../x")


@corpus
def exported(folder: Path) -> None:
    """A model of one convolution in both formats.

    Made in another process: what OpenVINO starts in this one would not survive a fork.
    """
    code = f"from tests.fuzz.exports import write; write({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def write(name: str) -> None:
    """Writes the model, and the features of an image by it, into a folder."""
    folder = Path(name)
    layers = nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = DeployedFeatures(nn.Sequential(*layers), flip=False).eval()
    write_onnx(model, folder / "net.onnx", size=METADATA.size)
    write_metadata(folder / "net.onnx", METADATA)
    convert_to_openvino(folder / "net.onnx", folder / "net.xml", METADATA)
    for suffix in ("onnx", "xml"):
        write_checksum(folder / f"net.{suffix}")
    extractor = Extractor(folder / "net.onnx", "onnxruntime", threads=1)
    np.save(folder / "expected.npy", extractor([IMAGE], "infrared"))


def onnx(folder: Path, random: Random) -> Use:
    """An ONNX file, damaged beside its checksum, or with other metadata."""
    path = Path(shutil.copy(exported() / "net.onnx", folder))
    damaged = bool(random.randint(0, 2))
    if damaged:
        shutil.copy(exported() / "net.onnx.sha256", folder)
        path.write_bytes(mutate_bytes(path.read_bytes(), random, times=4))
    else:
        _change_metadata(path, random)
    return _opened(path, random.choice(("onnxruntime", "openvino")), unchanged=damaged)


def openvino(folder: Path, random: Random) -> Use:
    """One file of OpenVINO's pair, damaged or missing, or with other metadata."""
    paths = [Path(shutil.copy(exported() / f"net.{suffix}", folder)) for suffix in ("xml", "bin")]
    how, chosen = random.randint(0, 3), random.choice(paths)
    if how <= 2:
        shutil.copy(exported() / "net.xml.sha256", folder)
    if how <= 1:
        chosen.write_bytes(mutate_bytes(chosen.read_bytes(), random, times=4))
    elif how == 2:
        chosen.unlink()
    else:
        text = paths[0].read_text(encoding="utf-8")
        found = re.search(r"<vireid>.*</vireid>", text, re.DOTALL)
        assert found is not None
        _write_text(paths[0], text.replace(found[0], mutate_text(found[0], random)))
    return _opened(paths[0], "openvino", unchanged=how <= 2)


def crafted(folder: Path, random: Random) -> Use:
    """A changed graph without a checksum: a file that is made to do harm.

    Not ONNX in OpenVINO: some of these files crash it (docs/robustness.md).
    """
    xml = bool(random.randint(0, 1))
    for suffix in ("onnx", "xml", "bin"):
        shutil.copy(exported() / f"net.{suffix}", folder)
    path = folder / ("net.xml" if xml else "net.onnx")
    if xml and random.randint(0, 3):
        _write_text(path, _with_other_value(path.read_text(encoding="utf-8"), random))
    else:
        changed = path.with_suffix(".bin") if xml else path
        changed.write_bytes(mutate_bytes(changed.read_bytes(), random))
    return _opened(path, "openvino" if xml else "onnxruntime", unchanged=False)


def _opened(path: Path, backend: str, *, unchanged: bool) -> Use:
    """Features of an image, which a damaged file that is accepted must not change."""

    def use() -> None:
        extractor = Extractor(path, backend, threads=1)
        rows = extractor([IMAGE], extractor.modalities[0])
        assert rows.shape == (1, extractor.dim) and abs(np.linalg.norm(rows) - 1) < 1e-3
        if unchanged:
            np.testing.assert_allclose(rows, np.load(exported() / "expected.npy"), atol=1e-5)

    return use


def _change_metadata(path: Path, random: Random) -> None:
    import onnx

    model = onnx.load(path)
    tree = mutate_tree({name: json.loads(v) for name, v in METADATA.entries().items()}, random)
    del model.metadata_props[:]
    for name, value in (tree if isinstance(tree, dict) else {"x": tree}).items():
        text = as_bytes(value).decode() if random.randint(0, 4) else random.choice(TEXTS)
        entry = model.metadata_props.add()
        entry.key, entry.value = (t.encode("utf-8", "replace").decode() for t in (name, text))
    onnx.save(model, path)


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _with_other_value(text: str, random: Random) -> str:
    """An attribute of a layer, its type, a shape or an edge becomes something else."""
    found = list(re.finditer(r'="([^"]*)"', text))
    chosen = random.choice(found)
    new = random.choice((*GRAPH, "0", "2147483648", "9" * 30, "", "1,2,3"))
    return text[: chosen.start(1)] + new + text[chosen.end(1) :]
