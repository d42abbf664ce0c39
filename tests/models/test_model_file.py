"""A safetensors file comes back as it was written, or is refused."""

import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from vireid.errors import CheckpointError
from vireid.models.model_file import (
    is_classifier,
    read_facts,
    read_safetensors,
    write_safetensors,
)

STATE = {
    "head.bnneck.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "head.bnneck.num_batches_tracked": torch.tensor(7),
    "pool.half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "empty": torch.empty(0, 4),
}
FACTS = {"b": "ä\n", "a": [1, None], "c": 2}


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "m.safetensors"
    write_safetensors(path, STATE, FACTS)
    return path


def test_tensors_and_texts_come_back(path):
    tensors, facts = read_safetensors(path)
    assert facts == FACTS
    assert {k: v for k, v in read_facts(path).items() if k != "sha256"} == facts
    assert set(tensors) == set(STATE)
    for name, tensor in STATE.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)


def test_equal_content_makes_equal_files(path, tmp_path):
    write_safetensors(tmp_path / "again", dict(reversed(STATE.items())), dict(FACTS))
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_tensors_that_share_memory_are_written_once_each(tmp_path):
    whole = torch.arange(8.0).reshape(2, 4)
    views = {"whole": whole, "again": whole, "column": whole[:, 1]}
    write_safetensors(tmp_path / "m", views, {})
    tensors, _ = read_safetensors(tmp_path / "m")
    assert torch.equal(tensors["again"], whole) and tensors["column"].tolist() == [1, 5]


def test_every_changed_byte_of_values_names_and_texts_is_seen(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    places = [*range(8, 8 + length, 7), *range(8 + length, len(content))]
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if content[place] == ord(" "):  # padding of the header
            continue
        if content.find(b'"vireid"') < place <= content.find(b'"vireid"') + 6:
            assert read_safetensors(path)[1] == {}  # a file of others, which no folder may hold
            continue
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            read_safetensors(path)


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1])
def test_a_cut_file_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    for read in (read_safetensors, read_facts):
        with pytest.raises(CheckpointError, match=r"m\.safetensors is damaged"):
            read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for read in (read_safetensors, read_facts):
        with pytest.raises(CheckpointError, match=r"gone does not exist"):
            read(tmp_path / "gone")
        with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
            read(tmp_path)


def test_files_of_other_projects_are_read_without_a_checksum(tmp_path):
    safetensors.torch.save_file({"a.weight": torch.ones(3)}, tmp_path / "x", {"format": "pt"})
    tensors, facts = read_safetensors(tmp_path / "x")
    assert facts == {} and tensors["a.weight"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("head.classifier.weight", True),
        ("shallow.shallow1.head.classifier.weight", True),
        ("parts.classifiers.0.weight", True),
        ("branches.classifiers.3.weight", True),
        ("head.bnneck.weight", False),
        ("backbone.shared.0.classifier_free.weight", False),
    ],
)
def test_classifiers_are_known_by_their_names(name, expected):
    assert is_classifier(name) is expected
