"""One feature for each track, from those of its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import unit_rows
from vireid.evaluation.evaluate import require_comparable
from vireid.structures import FeatureSet

SAME = {"pids": "identities", "camids": "cameras", "modality": "modalities", "role": "roles"}


def pool_tracks(images: FeatureSet) -> FeatureSet:
    """One row per track: the mean of its frames' unit features, brought to unit length.

    Tracks are in the order of their first rows. A track has the smallest of its frames' paths, so
    that the order of the rows does not decide between tracks of equal distances. Images without
    tracks stay as they are.

    Args:
        images: with or without features.
    Returns:
        features in float64.
    Raises:
        DataError: rows of one track differ in identity, camera, modality or role; or a feature is
            zero or not finite.
    """
    if images.tracks is None:
        return images
    _, first, track = np.unique(images.tracks, return_index=True, return_inverse=True)
    for column, name in SAME.items():
        values = getattr(images, column)
        if values is not None and (wrong := values != values[first][track]).any():
            row = int(np.argmax(wrong))
            both = f"{values[first[track[row]]]} and {values[row]}"
            raise DataError(
                f"track {images.tracks[row]} has frames of two {name}, {both} "
                f"({images.paths[row]}): give every track a number that no other track has"
            )
    order = np.argsort(first)
    paths = images.paths[_smallest(images.paths, track)]
    pooled = replace(images.subset(first[order]), paths=paths[order])
    if not images.features.shape[1]:
        return pooled
    require_comparable(images, {"frame": np.arange(len(images))})
    means = np.empty((len(first), images.features.shape[1]))
    by_track = np.argsort(track, kind="stable")
    for number, rows in enumerate(np.split(by_track, np.cumsum(np.bincount(track))[:-1])):
        # In ascending order, so that the order of the frames does not change the last digits; and
        # with more digits, so that a track of equal frames ties with one of them.
        frames = np.sort(unit_rows(images.features[rows]), axis=0)
        means[number] = frames.sum(axis=0, dtype=np.longdouble) / len(rows)
    return replace(pooled, features=unit_rows(means)[order])


def _smallest(paths: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The row of each group's smallest path; groups count from 0."""
    order = np.lexsort((paths, groups))
    return order[np.unique(groups[order], return_index=True)[1]]
