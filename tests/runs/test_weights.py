"""Which file MODEL.PRETRAINED means."""

import re
from pathlib import Path

import pytest

from vireid.errors import CheckpointError, UsageError
from vireid.runs import weights as module
from vireid.runs.weights import (
    loaded_before,
    require_kept,
    warn_of_seen_identities,
    weights_file,
)
from vireid.structures import ImageRecord, Modality, Splits


@pytest.mark.parametrize(("select", "name"), [("last", "last.pth"), ("best", "best.pth")])
def test_a_run_folder_means_its_result(tmp_path: Path, select: str, name: str):
    (tmp_path / "config.yaml").write_text(
        f"DATA: {{SPLIT: train}}\nSOLVER: {{SELECT: {select}, VAL_EVERY: 1}}\n"
    )
    assert weights_file(str(tmp_path)) == tmp_path / "checkpoints" / name


def test_keywords_files_and_exported_models_mean_themselves(tmp_path: Path):
    assert weights_file("none") is weights_file("imagenet") is None
    file = tmp_path / "epoch_060.pth"
    assert weights_file(str(file)) == file
    (tmp_path / "config.yaml").touch()
    (tmp_path / "model.safetensors").touch()
    assert weights_file(str(tmp_path)) == tmp_path


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"neither a run .* nor an exported model"):
        weights_file(str(tmp_path))


def test_weights_that_the_new_run_would_replace_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="name another OUTPUT_DIR"):
        require_kept(tmp_path / "run/checkpoints/epoch_001.pth", tmp_path / "run")
    require_kept(tmp_path / "run/seed0/checkpoints/last.pth", tmp_path / "run")
    require_kept(None, tmp_path)


def test_loaded_names_come_from_the_checkpoint():
    checkpoint = {"progress": {"epoch": 1}, "loaded": ["a.weight"]}
    assert loaded_before(checkpoint, Path("x"), 3) == {"a.weight"}
    del checkpoint["loaded"]  # as in version 0.1.0
    assert loaded_before(checkpoint, Path("x"), 1) == frozenset()
    with pytest.raises(UsageError, match="does not name loaded weights"):
        loaded_before(checkpoint, Path("x"), 2)


@pytest.mark.parametrize(
    ("dataset", "data", "names", "expected"),
    [
        ("regdb", "same", "", "trained with 2 of the 3 identities .*, the first 5, 6: the model"),
        ("regdb", "other", "", ""),  # numbers of other data say nothing
        ("csv", "other", "anna,5,train\nben,6,val\n7,7,train\neva,9,test\n", "1 of the 3 .*anna"),
    ],
)
def test_held_out_identities_that_trained_the_weights_are_named(
    tmp_path, caplog, monkeypatch, dataset, data, names, expected
):
    (tmp_path / "identities.csv").write_text(f"identity,pid,split\n{names}")
    known = {"dataset": "regdb", "data": "same", "pids": [1, 2, 5, 6]}
    monkeypatch.setattr(module, "load_checkpoint", lambda path: known)
    test = [ImageRecord(f"{pid}.png", pid, 1, Modality.VISIBLE) for pid in (5, 6, 7)]
    called = {5: "anna", 6: "eva", 7: "7"} if names else {}
    splits = Splits(tmp_path, (), (), tuple(test), identities=called)
    warn_of_seen_identities(tmp_path / "checkpoints/last.pth", splits, dataset, data)
    assert bool(caplog.text) == bool(expected)
    assert re.search(expected, caplog.text)


def test_weights_of_other_code_warn_of_nobody(tmp_path, caplog):
    splits = Splits(tmp_path, (), (), (ImageRecord("a.png", 1, 1, Modality.VISIBLE),))
    (tmp_path / "a.pth").write_bytes(b"other")
    for weights in (None, tmp_path / "a.pth"):
        warn_of_seen_identities(weights, splits, "csv", "x")
    assert not caplog.text
