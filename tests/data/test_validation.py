"""Validation identities: every fifth, or those of a file; who they are, and their scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_readers import write_ids
from tests.helpers import write_image, write_text
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.data.datasets import DATASETS
from vireid.data.tracks import frame_records
from vireid.engine.extract import labels_of
from vireid.errors import DataError, UsageError
from vireid.evaluation.evaluate import evaluate_all
from vireid.evaluation.protocols import expand
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import Modality, Splits


@pytest.mark.parametrize("name", ["vcm", "bupt", "orbench"])
def test_every_fifth_identity_is_scored_in_both_directions(tmp_path, name):
    info, root = DATASETS[name], write_ids(name, tmp_path / "set", range(1, 11), [99])
    whole, apart = (info.load(root, split=split) for split in ("train+val", "train"))
    held_out = set(whole.train_pids[4::5])
    assert {r.pid for r in apart.val} == held_out and len(held_out) >= 2
    assert apart.val == tuple(r for r in whole.train if r.pid in held_out)
    assert apart.test == whole.test and whole.val == ()
    frames = frame_records(apart.val, 3)
    assert len(frames) == (3 if info.tracks else 1) * len(apart.val)
    labels = labels_of(frames)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(len(frames), 32))
    noise[np.arange(len(frames)), labels.pids % 32] += 1
    features = pool_tracks(replace(labels, features=noise))
    scores = evaluate_all(expand(["val"], info.modalities), features)
    counts = {m: sum(r.modality is m for r in apart.val) for m in Modality}
    for protocol, queries, gallery in (
        ("val_v2i", Modality.VISIBLE, Modality.INFRARED),
        ("val_i2v", Modality.INFRARED, Modality.VISIBLE),
    ):
        (trial,) = scores[protocol]
        assert (trial.num_query, trial.num_gallery) == (counts[queries], counts[gallery])
        assert trial.num_valid_query == trial.num_query and trial.metrics["rank1"] == 1.0


def held_out(name: str, root: Path, file: str | Path, *words: str) -> Splits:
    chosen = ["DATA.DATASET", name, "DATA.ROOT", str(root), "DATA.VAL_IDS", str(file)]
    overrides = [*chosen, "DATA.SPLIT", "train", *words]
    return build_splits(load_config(None, overrides, environment={}), parts=())


@pytest.mark.parametrize(
    "name", ["sysu", "regdb", "llcm", "orbench", "vcm", "bupt", "veri", "vehicleid"]
)
def test_a_file_names_the_validation_identities_of_every_set(tmp_path, name):
    root = write_ids(name, tmp_path / "set", range(1, 8), [99])
    whole = DATASETS[name].load(root)
    (root / "folds").mkdir()
    write_text(root / "folds/1.txt", "\ufeff0003\n\n 6 \r\n3\n")
    apart = held_out(name, root, "folds/1.txt")
    assert apart.train_pids == (1, 2, 4, 5, 7)
    assert apart.val == tuple(record for record in whole.train if record.pid in (3, 6))
    assert apart.train == tuple(record for record in whole.train if record.pid not in (3, 6))
    assert apart.test == whole.test and apart.split_trial == whole.split_trial
    assert held_out(name, root, root / "folds/1.txt") == apart  # an absolute path


def test_names_are_identities_of_sets_that_have_names(tmp_path):
    root = tmp_path / "set"
    for person in ("anna", "zo\u00eb", "7", "007", "x"):
        for folder in ("visible", "infrared"):
            write_image(root / f"train/{folder}/{person}/1.jpg")
            write_image(root / f"test/{folder}/y/1.jpg")
    path = write_text(tmp_path / "val.txt", "zoe\u0308\n007\n")  # another Unicode form
    splits = held_out("folder", root, path)
    assert {splits.identities[record.pid] for record in splits.val} == {"zo\u00eb", "007"}
    write_text(path, "1\n")  # the number that a name got is no name
    with pytest.raises(DataError, match="1 of the 1 identities in .* not among the 5 training"):
        held_out("folder", root, path)


def test_a_file_takes_the_place_of_the_validation_identities_of_the_set(tmp_path):
    rows = [f"{pid}{m[0]}.jpg,{pid},{m},{part}" for pid, part in VAL_ROWS for m in SPECTRA]
    for row in rows:
        write_image(tmp_path / row.split(",")[0])
    write_text(tmp_path / "dataset.csv", "\n".join(["path,pid,modality,split", *rows]))
    path = write_text(tmp_path / "val.txt", "1\n")
    splits = held_out("csv", tmp_path, "val.txt")
    assert {record.pid for record in splits.val} == {1} and splits.train_pids == (2, 3)
    assert held_out("csv", tmp_path / "dataset.csv", path.name) == splits


VAL_ROWS = [(1, "train"), (2, "train"), (3, "val"), (9, "test")]
SPECTRA = ("visible", "infrared")


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (None, "cannot be read as a text file"),
        (b"\xff\xfe", "cannot be read as a text file"),
        (b"\n \n", "names none of the 3 training identities"),
        (b"1\n2\n3", "names all of the 3 training identities"),
        (b"1\n99\nx\n", "2 of the 3 identities in .* are not among the 3 training identities"),
        (b"1, 2", "the first: '1, 2'; write one identity per line"),
    ],
)
def test_a_file_that_names_no_share_of_the_training_identities_is_refused(
    tmp_path, content, phrase
):
    root = write_ids("regdb", tmp_path / "set", [1, 2, 3], [99])
    if content is not None:
        (root / "val.txt").write_bytes(content)
    with pytest.raises(DataError, match=phrase) as error:
        held_out("regdb", root, "val.txt")
    assert str(error.value).startswith("DATA.VAL_IDS: ") and str(root / "val.txt") in str(
        error.value
    )
    assert "\n" not in str(error.value)


def test_a_file_without_identities_held_out_is_a_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"VAL_IDS='val.txt' .*: set DATA.SPLIT train"):
        held_out("regdb", tmp_path, "val.txt", "DATA.SPLIT", "train+val")
