"""Which images search and which may be found, by a protocol's rules."""

from __future__ import annotations

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.structures import FeatureSet, Role


def parties(protocol: RetrievalProtocol, images: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images that may search, and of those that a gallery may hold.

    Raises:
        DataError: there are none, or nothing tells which they are.
    """
    require_columns(protocol, images)
    queries = _rows(protocol, images, Role.QUERY)
    candidates = _rows(protocol, images, Role.GALLERY)
    for part, found in (("query", queries), ("gallery", candidates)):
        if not len(found):
            listed = f" in test list {protocol.test_list}" if protocol.test_list else ""
            raise DataError(f"{protocol.name}: there is no {part} image{listed}")
    return queries, candidates


def searching(protocol: RetrievalProtocol, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Which of the (Q,) rows search in a trial whose gallery has these rows; (Q,) bool."""
    if protocol.rest_asks:
        return np.isin(queries, gallery, invert=True)
    return np.ones(len(queries), dtype=bool)


def require_columns(protocol: RetrievalProtocol, images: FeatureSet) -> None:
    """What a protocol chooses images by must be known of them.

    Raises:
        DataError: names the array that is missing and what it must hold.
    """
    for needed, column, text in (
        (protocol.by_role, images.role, "'role' (0 both, 1 query, 2 gallery)"),
        (
            protocol.test_list,
            images.test_list,
            "'subset' (the smallest test list that holds each image: 800, 1600 or 2400)",
        ),
    ):
        if needed and column is None:
            raise DataError(
                f"{protocol.name} needs an array {text} beside the features: save it with them "
                "(docs/scoring_features.md), or score a data set that tells it"
            )


def _rows(protocol: RetrievalProtocol, images: FeatureSet, role: Role) -> np.ndarray:
    asks = role is Role.QUERY
    modality = protocol.query_modality if asks else protocol.gallery_modality
    cameras = protocol.query_cameras if asks else protocol.gallery_cameras
    chosen = images.modality == int(modality)
    if cameras:
        chosen = chosen & np.isin(images.camids, sorted(cameras))
    if protocol.by_role and images.role is not None:
        chosen = chosen & np.isin(images.role, (int(Role.BOTH), int(role)))
    if protocol.test_list and images.test_list is not None:
        listed = (images.test_list > 0) & (images.test_list <= protocol.test_list)
        chosen = chosen & listed
    return np.flatnonzero(chosen)
