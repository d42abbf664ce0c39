"""Validation identities of sets that name none: who they are, and their scores."""

from dataclasses import replace

import numpy as np
import pytest

from tests.data.test_readers import write_ids
from vireid.data.datasets import DATASETS
from vireid.data.tracks import frame_records
from vireid.engine.extract import labels_of
from vireid.evaluation.evaluate import evaluate_all
from vireid.evaluation.protocols import expand
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import Modality


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
