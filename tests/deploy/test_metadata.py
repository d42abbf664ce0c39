"""What a file says of its network comes back as it was, or is refused."""

import json
from pathlib import Path

import pytest

from vireid.deploy.metadata import ExportMetadata, read_metadata
from vireid.errors import CheckpointError

FILE = Path("net.onnx")
CARD = ExportMetadata(
    fingerprint="ab" * 32,
    modalities=("infrared",),
    exit="shallow2",
    embedding="global",
    flip=True,
    dim=512,
    size=(288, 144),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    backbone="osnet_x1_0",
    precision="int8",
    version="0.1",
)


def test_a_card_comes_back_from_its_entries_among_others():
    entries = CARD.entries()
    assert read_metadata({**entries, "producer": "other", "vireid.weights": '"0"'}, FILE) == CARD
    assert entries["vireid.size"] == "[288, 144]" and entries["vireid.channels"] == '"RGB"'
    assert json.loads(entries["vireid.mean"]) == [0.485, 0.456, 0.406]


def test_files_of_others_are_told_so():
    for entries in ({}, {"format": "1", "producer": "other"}):
        with pytest.raises(CheckpointError, match=r"net\.onnx is not a model exported by vireid"):
            read_metadata(entries, FILE)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"vireid.format": "2"}, "another format"),
        ({"vireid.channels": '"BGR"'}, "another format.*BGR"),
        ({"vireid.size": "[288"}, "damaged"),
        ({"vireid.size": "[288]"}, "damaged"),
        ({"vireid.dim": "0"}, "damaged"),
        ({"vireid.std": "[0.1, 0, 0.1]"}, "damaged"),
        ({"vireid.modalities": '["thermal"]'}, "thermal"),
        ({"vireid.modalities": "[]"}, "damaged"),
        ({"vireid.fingerprint": '"AB"'}, "fingerprint"),
        ({"vireid.dim": "512.0"}, "damaged.*512.0"),
        ({"vireid.dim": "true"}, "damaged"),
        ({"vireid.size": "[288, 1e9]"}, "damaged"),
        ({"vireid.size": f"[288, {10**400}]"}, "damaged"),
        ({"vireid.mean": '["a", "b", "c"]'}, "damaged"),
        ({"vireid.mean": "[0.1, NaN, 0.1]"}, "damaged"),
        ({"vireid.std": f"[0.1, {10**400}, 0.1]"}, "damaged"),
        ({"vireid.exit": "{}"}, "must be text"),
        ({"vireid.version": "[" * 5000}, "damaged"),
    ],
)
def test_changed_entries_are_refused(change, phrase):
    with pytest.raises(CheckpointError, match=phrase):
        read_metadata({**CARD.entries(), **change}, FILE)


@pytest.mark.parametrize("name", ["exit", "mean", "fingerprint", "layout"])
def test_missing_entries_are_refused(name):
    entries = CARD.entries()
    del entries[f"vireid.{name}"]
    with pytest.raises(CheckpointError, match=f"damaged.*{name}"):
        read_metadata(entries, FILE)
