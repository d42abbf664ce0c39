"""Evaluation with another library's features: torch's scores, and the library is named."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid.cli import evaluate, extract
from vireid.deploy import evaluation_backend
from vireid.deploy.evaluation_backend import TIMED, backend_of
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features
from vireid.runs.options import run_config

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="needs the extra 'export'"
)


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


def results_of(run: Path, backend: str = "") -> dict:
    name = f"results_backend-{backend}.json" if backend else "results.json"
    return json.loads((run / name).read_text())


def require_equal_scores(run: Path, backend: str) -> None:
    own, other = results_of(run)["protocols"], results_of(run, backend)["protocols"]
    assert own.keys() == other.keys()
    for name, entry in own.items():
        assert other[name]["mean"] == pytest.approx(entry["mean"], abs=1e-3)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_scores_are_those_of_torch_in_a_file_of_their_own(backend, no_exporter, run, capsys):
    before = (run / "results.json").read_bytes()
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", backend]) == 0
    assert f"features by {backend}; wrote" in capsys.readouterr().out
    assert (run / "results.json").read_bytes() == before
    assert results_of(run)["source"]["backend"] == "torch"
    assert results_of(run, backend)["source"]["backend"] == backend
    require_equal_scores(run, backend)


@pytest.mark.slow
def test_features_are_those_of_torch_and_not_of_unit_length(run, tmp_path):
    files = [tmp_path / f"{name}.npz" for name in ("torch", "onnxruntime")]
    for path in files:
        words = ["--run", str(run), "--out", str(path), "TEST.BACKEND", path.stem]
        words += ["TEST.CORRUPTION", "visible"]
        assert extract.main([*words, "TEST.FLIP", "true"]) == 0
    own, other = (read_features(path) for path in files)
    np.testing.assert_array_equal(own.paths, other.paths)
    np.testing.assert_allclose(own.features, other.features, rtol=1e-4, atol=1e-5)
    assert np.abs(np.linalg.norm(own.features, axis=1) - 1).min() > 0.1


def test_torch_computes_when_the_features_differ(
    no_exporter, exported, run, monkeypatch, capsys, caplog
):
    monkeypatch.setitem(exported, "infrared", exported["visible"])
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", "onnxruntime"]) == 0
    assert "features by torch; wrote" in capsys.readouterr().out
    assert "features not by onnxruntime (its features differ by" in caplog.text
    assert results_of(run, "onnxruntime")["source"]["backend"] == "torch"
    require_equal_scores(run, "onnxruntime")


@pytest.mark.parametrize(
    ("seconds", "worthwhile", "used"),
    [
        ((3, 2, 1), 0, "openvino"),
        ((3, 1, 2), 0, "onnxruntime"),
        ((1, 2, 3), 0, "torch"),
        ((3, 2, 1), 1e9, "torch"),  # few images: nothing is exported
    ],
)
def test_auto_takes_the_fastest_and_says_why(
    no_exporter, run, monkeypatch, capsys, seconds, worthwhile, used
):
    left, opened = list(seconds), []

    def timed(extractor, paths):
        assert {len(files) for files in paths.values()} == {TIMED}
        opened.append(extractor.backend)
        return left.pop(0)

    monkeypatch.setattr(evaluation_backend, "_seconds", timed)
    monkeypatch.setattr(evaluation_backend, "WORTHWHILE", worthwhile)
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", "auto"]) == 0
    assert opened == (["torch"] if worthwhile else ["torch", "onnxruntime", "openvino"])
    out = capsys.readouterr().out
    assert f"features of 40 images by {used}; ms per image: torch " in out
    assert out.count("; ms per image") == 1 and f"features by {used}; wrote" in out
    assert results_of(run, "auto")["source"]["backend"] == used
    require_equal_scores(run, "auto")


def test_the_choice(small_run, monkeypatch):
    def chosen(name: str):
        words = ["DEVICE", "cpu", "TEST.BACKEND", name]
        return backend_of(run_config(small_run, words), small_run, words)

    assert chosen("torch") is None
    assert chosen("openvino").used == "openvino" and chosen("auto").used == "torch"
    monkeypatch.setattr(evaluation_backend, "find_spec", lambda name: None)
    monkeypatch.setattr("vireid.deploy.backends.find_spec", lambda name: None)
    assert chosen("auto") is None
    with pytest.raises(UsageError, match="onnx, onnxscript, openvino is not installed"):
        chosen("openvino")
    monkeypatch.setattr(evaluation_backend, "resolve_device", lambda _: torch.device("cuda", 0))
    assert chosen("auto") is None
    with pytest.raises(UsageError, match="TEST.BACKEND onnxruntime runs on the processor"):
        chosen("onnxruntime")
