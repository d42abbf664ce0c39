"""Exports of the small run that several tests share."""

import shutil
from pathlib import Path

import pytest

from vireid.deploy.backends import onnx_entries
from vireid.deploy.metadata import read_metadata
from vireid.deploy.model_files import convert_to_openvino


@pytest.fixture(scope="session")
def converted(exported, tmp_path_factory) -> Path:
    """The infrared stream in OpenVINO's format."""
    source = exported["infrared"]
    path = tmp_path_factory.mktemp("converted") / "net.xml"
    convert_to_openvino(source, path, read_metadata(onnx_entries(source), source))
    return path


@pytest.fixture
def no_exporter(exported, monkeypatch):
    """Files of the small run are copied instead of made again, which takes seconds each."""

    def copied(trained, path, modalities, **_):
        (name,) = modalities
        shutil.copy(exported[name], path)
        return trained.metadata_for(modalities)

    for module in ("model_files", "export"):
        monkeypatch.setattr(f"vireid.deploy.{module}.export_onnx", copied)
