"""Agreement of features and of ranks, by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vireid.config import load_config
from vireid.deploy.verify_export import Parity, compare, scores_of
from vireid.errors import CheckpointError
from vireid.runs.options import choices
from vireid.structures import ImageRecord, Modality, Role, Splits


def circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_equal_features_agree_wholly():
    features = circle(0, 10, 25, 70)
    assert compare(features, features.copy()) == Parity(0.0, 1.0, 3, 4)


def test_difference_and_shared_neighbours_have_their_hand_values():
    # nearest one of 0: 10, of 10: 0, of 25: 10 and, moved to 50, 70; of 70: 25
    found = compare(circle(0, 10, 25, 70), circle(0, 10, 50, 70), nearest=1)
    assert found.agreement == 0.75 and found.images == 4
    assert found.difference == pytest.approx(np.sin(np.radians(50)) - np.sin(np.radians(25)))
    assert "top-1 agreement 75.00 % over 4 images" in str(found)


@pytest.mark.parametrize("found", [Parity(2e-4, 1, 10, 9), Parity(0, 0.98, 10, 9)])
def test_beyond_either_bound_is_refused(found):
    with pytest.raises(CheckpointError, match=r"^openvino computes other features than torch: .*"):
        found.require("openvino")


def test_what_is_no_number_is_refused_and_what_is_close_passes():
    features = circle(0, 10, 25, 70)
    broken = features.copy()
    broken[0, 0] = np.nan
    with pytest.raises(CheckpointError, match="nan"):
        compare(features, broken).require("it")
    compare(features, features + np.float32(9e-5)).require("it")


class ByName:
    """In place of an extractor: the angle of a feature is in the frame's name."""

    dim = 2

    def __call__(self, images: Sequence[Path], modality: str, *, batch: int) -> np.ndarray:
        return circle(*(float(path.stem) for path in images))


def test_a_track_is_scored_by_as_many_frames_as_in_evaluation(tmp_path):
    """First frames alone would find the wrong track."""
    angles = {1: (0, 60, 40), 2: (90, 50, 40), 3: (0, 0, 0)}  # of the frames of each track
    test = tuple(
        ImageRecord(frames[0], pid, camid, modality, role, frames=frames, track=track)
        for track, pid, camid, modality, role in (
            (1, 7, 1, Modality.INFRARED, Role.QUERY),
            (2, 7, 2, Modality.VISIBLE, Role.GALLERY),
            (3, 8, 2, Modality.VISIBLE, Role.GALLERY),
        )
        for frames in [tuple(f"{track}/{angle}.jpg" for angle in angles[track])]
    )
    splits = Splits(tmp_path, (), (), test)
    extractors = dict.fromkeys(("visible", "infrared"), ByName())
    words = ["DATA.DATASET", "bupt", "TEST.PROTOCOLS", "[bupt_i2v]"]
    cfg = load_config(None, words, choices=choices(), environment={})
    assert scores_of(cfg, splits, extractors)["bupt_i2v"]["mean"]["rank1"] == 1.0
    first = tuple(replace(track, frames=track.frames[:1]) for track in test)
    alone = scores_of(cfg, replace(splits, test=first), extractors)
    assert alone["bupt_i2v"]["mean"]["rank1"] == 0.0
