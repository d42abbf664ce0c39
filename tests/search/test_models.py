"""The search tool with trained models: runs and exported files find the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vireid.cli import search
from vireid.deploy import Extractor
from vireid.search import Gallery

pytest.importorskip("onnxruntime")


@pytest.fixture
def place(tiny_sysu, exported, tmp_path) -> Path:
    """Twelve visible and four infrared images, and a model in two files."""
    for camera, count, name in (("cam1", 12, "images"), ("cam3", 4, "asked")):
        found = sorted((tiny_sysu / camera).rglob("*.jpg"))[:count]
        assert len(found) == count
        for k, path in enumerate(found):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / name / f"{k:02d}.jpg")
    for modality, path in exported.items():
        shutil.copy(path, tmp_path / f"net.{modality}.onnx")
    return tmp_path


def build(place: Path, gallery: str, *model: str) -> int:
    words = ["--images", f"{place}/images", "--modality", "visible", "--threads", "1"]
    return search.main(["build", "--gallery", f"{place}/{gallery}", *words, *model])


def query(place: Path, gallery: str, *words: str) -> int:
    given = ["--gallery", f"{place}/{gallery}", "--image", f"{place}/asked", "--threads", "1"]
    return search.main(["query", *given, "--modality", "infrared", "--top", "12", *words])


def found_by(place: Path, name: str) -> tuple[list[list[str]], np.ndarray]:
    queries = json.loads((place / name).read_text())["queries"]
    ranks = [[Path(one["image"]).name for one in asked["found"]] for asked in queries]
    return ranks, np.array([[one["cosine"] for one in asked["found"]] for asked in queries])


def test_an_export_of_two_files_finds_what_its_run_finds(place, small_run):
    assert build(place, "by_file", "--model", f"{place}/net.onnx") == 0
    assert Gallery(place / "by_file").model.place == f"{place}/net.onnx"
    assert query(place, "by_file", "--json", f"{place}/file.json") == 0
    assert build(place, "by_run", "--run", str(small_run)) == 0
    assert query(place, "by_run", "--json", f"{place}/run.json") == 0
    assert query(place, "by_run", "--model", f"{place}/net.infrared.onnx") == 0
    (ranks, cosines), (by_run, wanted) = found_by(place, "file.json"), found_by(place, "run.json")
    np.testing.assert_allclose(cosines, wanted, atol=5e-6)
    for one, other, scores in zip(ranks, by_run, wanted, strict=True):
        assert sorted(one) == sorted(other) == [f"{k:02d}.jpg" for k in range(12)]
        if (np.diff(scores) < -2e-5).all():  # nearer ones may change places
            assert one == other
    gallery = Extractor(small_run)(sorted((place / "images").iterdir()), "visible")
    asked = Extractor(small_run)(sorted((place / "asked").iterdir()), "infrared")
    np.testing.assert_allclose(np.sort(asked @ gallery.T)[:, ::-1], wanted, atol=5e-6)


def test_the_wrong_stream_and_another_model_are_refused(place, small_run, capsys):
    visible = f"{place}/net.visible.onnx"
    assert build(place, "g", "--model", visible) == 0
    capsys.readouterr()
    assert query(place, "g") == 2
    error = capsys.readouterr().err
    assert "--modality infrared: the model" in error and "takes visible images; name" in error
    assert query(place, "g", "--run", str(small_run), "--backend", "tensorrt") == 2
    assert query(place, "g", "--run", str(small_run), "--device", "cuda:99") == 2
    assert "DEVICE='cuda:99' needs CUDA device 99" in capsys.readouterr().err
    assert query(place, "g", "--model", f"{place}/net.onnx", "--device", "cuda") == 2
    assert "device 'cuda': onnxruntime runs on the processor" in capsys.readouterr().err
    (place / "net.infrared.onnx").write_bytes(b"half a file")
    assert query(place, "g", "--model", f"{place}/net.onnx") == 4
    other = shutil.copytree(small_run, place / "other")
    config = other / "config.yaml"
    text = config.read_text()
    assert "FLIP: false" in text
    config.write_text(text.replace("FLIP: false", "FLIP: true"))
    assert query(place, "g", "--run", str(other)) == 4
    assert "made by another model" in capsys.readouterr().err
