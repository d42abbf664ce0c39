"""Which file MODEL.PRETRAINED means."""

from pathlib import Path

import pytest

from vireid.errors import CheckpointError, UsageError
from vireid.runs.weights import loaded_before, require_kept, weights_file


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
    with pytest.raises(UsageError, match="knows of no loaded weights"):
        loaded_before(checkpoint, Path("x"), 2)
