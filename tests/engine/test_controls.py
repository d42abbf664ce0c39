"""The controls of a synthetic set change what they say, and nothing else."""

from collections import Counter

import numpy as np
from PIL import Image

from benchmarks.controls import backgrounds_alone, shuffled_labels
from vireid.data.datasets import sysu


def content(root, records) -> Counter:
    return Counter((r.camid, (root / r.path).read_bytes()) for r in records)


def test_shuffling_moves_training_images_within_their_camera(tiny_sysu, tmp_path):
    splits = sysu.load(tiny_sysu)
    shuffled_labels(splits, tmp_path / "shuffled")
    after = sysu.load(tmp_path / "shuffled")
    assert after.train == splits.train and after.test == splits.test
    assert content(after.root, after.train) == content(tiny_sysu, splits.train)
    moved = [
        r
        for r in splits.train
        if (tiny_sysu / r.path).read_bytes() != (after.root / r.path).read_bytes()
    ]
    assert len(moved) > len(splits.train) / 2
    for record in splits.test:
        assert (tiny_sysu / record.path).read_bytes() == (after.root / record.path).read_bytes()


def test_backgrounds_show_the_same_place_without_anyone(tiny_sysu, tmp_path):
    splits = sysu.load(tiny_sysu)
    backgrounds_alone(splits, tmp_path / "empty")
    after = sysu.load(tmp_path / "empty")
    assert after.test == splits.test
    record = splits.test[0]
    with Image.open(tiny_sysu / record.path) as one, Image.open(after.root / record.path) as two:
        difference = np.abs(np.asarray(one, int) - np.asarray(two, int)).mean(axis=2)
    # The sensor's noise is the same draw; the picture changes where the person stood.
    assert np.median(difference[:, :6]) < 8 < np.median(difference[20:44, 12:20])
