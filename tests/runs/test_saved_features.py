"""A run's features are made once, and again when what they were made of has changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vireid.cli import extract
from vireid.cli.sources import run_config
from vireid.errors import DataError, UsageError
from vireid.evaluation.feature_files import read_features, read_source, write_features
from vireid.evaluation.protocols import expand
from vireid.runs import saved_features as module
from vireid.runs.saved_features import run_features


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished_run / "config.yaml", folder)
    shutil.copytree(finished_run / "checkpoints", folder / "checkpoints")
    return folder


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Images that went through the network, pass by pass."""
    made, plain = [], module.features_of

    def counted(cfg, model, splits, records, **options):
        made.append(len(records))
        return plain(cfg, model, splits, records, **options)

    monkeypatch.setattr(module, "features_of", counted)
    return made


def test_the_network_is_needed_once(run, passes):
    first = run_features(run_config(run), run=run)
    second = run_features(run_config(run), run=run)
    assert passes == [40]
    assert first.path == second.path == run / "features.npz"
    np.testing.assert_array_equal(first.features.features, second.features.features)
    np.testing.assert_array_equal(read_features(first.path).paths, second.features.paths)


def test_a_changed_checkpoint_recomputes_them(run, passes):
    first = run_features(run_config(run), run=run).features
    path = run / "checkpoints/last.pth"
    content = torch.load(path, weights_only=True)
    content["model"]["head.bnneck.weight"] *= 3
    torch.save(content, path)
    again = run_features(run_config(run), run=run).features
    assert passes == [40, 40]
    assert not np.array_equal(first.features, again.features)
    run_features(run_config(run), run=run)
    assert len(passes) == 2


def test_other_options_and_splits_have_files_of_their_own(run, passes):
    plain = run_features(run_config(run), run=run)
    early = run_features(run_config(run, ["TEST.EXIT", "shallow1"]), run=run)
    train = run_features(run_config(run), run=run, split="train")
    assert [one.path.name for one in (plain, early, train)] == [
        "features.npz",
        "features_exit-shallow1.npz",
        "features_train.npz",
    ]
    assert passes == [40, 40, len(train.features)]
    run_features(run_config(run), run=run)
    run_features(run_config(run, ["TEST.METRIC", "euclidean"]), run=run)  # the same features
    assert len(passes) == 3


@pytest.mark.parametrize("content", [b"", b"half a file"])
def test_a_damaged_file_is_recomputed(run, passes, content):
    (run / "features.npz").write_bytes(content)
    found = run_features(run_config(run), run=run)
    assert passes == [40] and len(read_features(run / "features.npz")) == len(found.features)


def test_features_of_unknown_origin_are_not_overwritten(run, passes):
    found = run_features(run_config(run), run=run).features
    write_features(run / "features.npz", found)  # without a source, like files of other programs
    before = (run / "features.npz").read_bytes()
    with pytest.raises(UsageError, match="does not record what its features were computed from"):
        run_features(run_config(run), run=run)
    assert (run / "features.npz").read_bytes() == before and passes == [40]


def test_what_extract_wrote_is_found(run, passes):
    assert extract.main(["--run", str(run), "--out", str(run / "features.npz")]) == 0
    run_features(run_config(run), run=run)
    assert passes == [40]
    assert read_source(run / "features.npz")["split"] == "test"


def test_a_folder_that_cannot_be_written_only_costs_time(run, passes, monkeypatch, caplog):
    def refuse(*arguments, **options):
        raise UsageError("cannot write: read-only")

    monkeypatch.setattr(module, "write_features", refuse)
    found = run_features(run_config(run), run=run)
    assert found.path is None and len(found.features) == 40
    assert "read-only" in caplog.text


def test_identities_that_trained_are_not_searched_for(run):
    cfg = run_config(run, ["DATA.SPLIT", "train"])
    with pytest.raises(DataError, match="was trained on 2 of its 2 identities"):
        run_features(cfg, run=run, split="val", protocols=expand(["val"]))
    assert len(run_features(cfg, run=run, split="val").features) > 0


def test_other_files_tell_no_source(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    assert read_source(tmp_path / "text.npz") is None
    assert read_source(tmp_path / "other.npz") is None
    assert read_source(tmp_path / "nothing.npz") is None
