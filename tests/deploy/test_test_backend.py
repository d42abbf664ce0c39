"""Evaluation with another library's features: the same scores, said where they stand."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from vireid.cli import evaluate, extract
from vireid.config import apply_overrides
from vireid.deploy import test_backend as substitute
from vireid.deploy.trained_model import trained_network
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features
from vireid.runs.options import run_config

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="needs the extra 'deploy'"
)


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request, exported, monkeypatch) -> str:
    """A runtime, whose files are the fixture's, of unit features, not made again."""

    def copied(network, path, *, size):
        model = onnx.load(exported["infrared" if bool(network.flag) else "visible"])
        onnx.save(model, path)

    monkeypatch.setattr(substitute, "write_onnx", copied)
    return request.param


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


def test_scores_are_those_of_torch_and_stand_in_their_own_file(backend, run, capsys):
    before = (run / "results.json").read_bytes()
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", backend]) == 0
    assert f"features by {backend}; wrote" in capsys.readouterr().out
    assert (run / "results.json").read_bytes() == before
    own = json.loads(before)
    other = json.loads((run / f"results_backend-{backend}.json").read_text())
    assert (own["source"]["backend"], other["source"]["backend"]) == ("torch", backend)
    for name, entry in own["protocols"].items():
        for column, value in entry["mean"].items():
            assert other["protocols"][name]["mean"][column] == pytest.approx(value, abs=1e-3)


def test_features_are_those_of_torch(backend, run, tmp_path):
    files = [tmp_path / f"{name}.npz" for name in ("torch", "other")]
    for path, name in zip(files, ("torch", backend), strict=True):
        words = ["--run", str(run), "--out", str(path), "TEST.BACKEND", name]
        assert extract.main(words) == 0
    own, other = (read_features(path).features for path in files)
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (own, other)]
    np.testing.assert_allclose(*unit, atol=2e-6)


def test_torch_goes_on_where_the_features_are_others(run, exported, monkeypatch, capsys, caplog):
    def swapped(network, path, *, size):
        onnx.save(onnx.load(exported["visible"]), path)

    monkeypatch.setattr(substitute, "write_onnx", swapped)
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", "onnxruntime"]) == 0
    assert "features by torch; wrote" in capsys.readouterr().out
    assert "features not by onnxruntime (its features differ by" in caplog.text
    other = json.loads((run / "results_backend-onnxruntime.json").read_text())
    own = json.loads((run / "results.json").read_text())
    assert other["source"]["backend"] == "torch"
    mean = [one["protocols"]["sysu_all_single"]["mean"]["mAP"] for one in (own, other)]
    assert mean[0] == pytest.approx(mean[1], abs=1e-3)


@pytest.mark.slow
def test_raw_features_of_a_mixed_batch_keep_their_rows(small_run):
    trained = trained_network(small_run)
    runtime = substitute.Substitute(("onnxruntime",), 1)
    images = torch.randn(5, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    flags = torch.tensor([True, False, False, True, False])
    with torch.inference_mode():
        found = runtime(trained.network, trained.card.size, 5)(images, flags)
        expected = trained.network(images, flags)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert runtime.used == "onnxruntime"


@pytest.mark.parametrize(
    ("seconds", "worth", "used"),
    [
        ((3, 2, 1), 0, "openvino"),
        ((3, 1, 2), 0, "onnxruntime"),
        ((1, 2, 3), 0, "torch"),
        ((3, 2, 1), 1e9, "torch"),  # few images: nothing is exported
    ],
)
def test_auto_takes_what_is_fastest_and_says_why(
    run, exported, monkeypatch, capsys, seconds, worth, used
):
    made, left = [], list(seconds)

    def copied(network, path, *, size):
        made.append(bool(network.flag))
        onnx.save(onnx.load(exported["infrared" if made[-1] else "visible"]), path)

    def timed(compute, images):
        assert compute(images).shape == (substitute.TIMED, 48)
        return left.pop(0)

    monkeypatch.setattr(substitute, "write_onnx", copied)
    monkeypatch.setattr(substitute, "_seconds", timed)
    monkeypatch.setattr(substitute, "WORTH", worth)
    assert evaluate.main(["--run", str(run), "TEST.BACKEND", "auto"]) == 0
    assert made == ([] if worth else [False] if used == "torch" else [False, True])
    out = capsys.readouterr().out
    assert f"features of 40 images by {used}; ms per image: torch " in out
    assert out.count("; ms per image") == 1 and f"features by {used}; wrote" in out
    own, other = (
        json.loads((run / f"results{name}.json").read_text()) for name in ("", "_backend-auto")
    )
    assert other["source"]["backend"] == used
    mean = [one["protocols"]["sysu_all_single"]["mean"]["mAP"] for one in (own, other)]
    assert mean[0] == pytest.approx(mean[1], abs=1e-3)


def test_what_is_chosen(small_run, monkeypatch):
    cfg = run_config(small_run, ["DEVICE", "cpu"])

    def chosen(name: str):
        return substitute.runtime_of(apply_overrides(cfg, ["TEST.BACKEND", name]))

    assert chosen("torch") is None
    assert chosen("openvino").used == "openvino" and chosen("auto").used == "torch"
    monkeypatch.setattr(substitute, "find_spec", lambda name: None)
    monkeypatch.setattr("vireid.deploy.backends.find_spec", lambda name: None)
    assert chosen("auto") is None
    with pytest.raises(UsageError, match="onnx, onnxscript, openvino is not installed"):
        chosen("openvino")
    monkeypatch.setattr(substitute, "resolve_device", lambda name: torch.device("cuda", 0))
    assert chosen("auto") is None
    with pytest.raises(UsageError, match="TEST.BACKEND onnxruntime runs on the processor"):
        chosen("onnxruntime")
