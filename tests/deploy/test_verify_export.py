"""Agreement of features and of ranks, by hand."""

import numpy as np
import pytest

from vireid.deploy.verify_export import Parity, compare
from vireid.errors import CheckpointError


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
