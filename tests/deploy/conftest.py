"""A small trained run with two streams, and its exports, made once per session."""

import shutil
from pathlib import Path

import pytest

from vireid.cli import export, train
from vireid.deploy.card import read_card
from vireid.deploy.files import convert_to_openvino
from vireid.deploy.runtimes import onnx_entries

SMALL = ("MODEL.BACKBONE=sdc_cnn_x0_25_s16", "MODEL.SDM.ENABLED=false", "MODEL.MGIM.ENABLED=false")


@pytest.fixture(scope="session")
def small_run(tiny_command, tmp_path_factory) -> Path:
    """A run folder. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert train.main(tiny_command(folder, *SMALL, "SOLVER.EPOCHS=1")) == 0
    return folder


@pytest.fixture(scope="session")
def exported(small_run, tmp_path_factory) -> dict[str, Path]:
    """Files by modality, written by the tool: ``visible`` and ``infrared`` as ONNX."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    words = ["--run", str(small_run), "--format", "onnx", "--out", str(folder / "net.onnx")]
    assert export.main(words) == 0
    return {name: folder / f"net.{name}.onnx" for name in ("visible", "infrared")}


@pytest.fixture(scope="session")
def converted(exported, tmp_path_factory) -> Path:
    """The infrared stream in OpenVINO's format."""
    source = exported["infrared"]
    path = tmp_path_factory.mktemp("converted") / "net.xml"
    convert_to_openvino(source, path, read_card(onnx_entries(source), source))
    return path


@pytest.fixture
def no_exporter(exported, monkeypatch):
    """Files of the small run are copied instead of made again, which takes seconds each."""

    def copied(trained, path, modalities):
        (name,) = modalities
        shutil.copy(exported[name], path)
        return trained.card_for(modalities)

    for module in ("files", "exporting"):
        monkeypatch.setattr(f"vireid.deploy.{module}.export_onnx", copied)
