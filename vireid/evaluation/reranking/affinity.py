"""Affinity inference (AIM): two images are alike if they are alike to the same gallery images.

Source: Fang et al., Visible-Infrared Person Re-Identification via Semantic Alignment and Affinity
Inference, ICCV 2023; the rule is that of the authors' code (xiaoye-hhh/SAAI, models/AIM.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid.evaluation.distance import Rows, distance_rows, distinct_rows
from vireid.evaluation.sorting import stable_order

CHUNK = 512  # rows of similarities held at once
DECIMALS = 12  # of cosines that are compared: behind these is rounding, which breaks no tie


def affinity_distances(
    queries: np.ndarray, gallery: np.ndarray, *, k1: int = 20, k2: int = 6
) -> Rows:
    """Distances of (Q, D) queries to a (G, D) gallery, some queries at a time.

    An image's affinities are its cosines to the k1 nearest gallery images, and 0 to the others. A
    gallery image takes the mean affinities of its k2 nearest gallery images. The distance is
    the negated cosine of the affinities plus the negated cosine of the features, in [-2, 2]. Other
    queries are not used.

    Args:
        k1: images as near as the k1-th are kept, too; 0: the plain distances.
        k2: at most G, as k1; the image itself is one of them, and equally near ones are taken in
            the order of the gallery.
    """
    to_gallery = distance_rows("cosine", queries, gallery)
    if not k1:
        return to_gallery
    of_gallery = _gallery_affinities(gallery, k1, k2).T.tocsr()

    def distances(rows: np.ndarray) -> np.ndarray:
        plain = to_gallery(rows)
        return plain - (_unit(_strongest(plain, k1)) @ of_gallery).toarray()

    return distances


def _gallery_affinities(gallery: np.ndarray, k1: int, k2: int) -> Any:
    """(G, G) sparse, rows of unit length; equal images have equal rows."""
    from scipy.sparse import csr_array, vstack

    first, copies = distinct_rows(gallery)
    similar = distance_rows("cosine", gallery[first], gallery)
    affinities, nearest = [], np.empty((len(first), k2), dtype=np.int64)
    for start in range(0, len(first), CHUNK):
        block = np.arange(start, min(start + CHUNK, len(first)))
        plain = similar(block)
        affinities.append(_strongest(plain, k1))
        nearest[block] = stable_order(plain.round(DECIMALS))[:, :k2]
    starts = np.arange(0, nearest.size + 1, k2)
    weights = np.full(nearest.size, 1 / k2)
    mean = csr_array((weights, copies[nearest].ravel(), starts), shape=(len(first), len(first)))
    return _unit(mean @ vstack(affinities))[copies]


def _strongest(plain: np.ndarray, k1: int) -> Any:
    """(n, G) sparse cosines to the k1 nearest, and to those as near as the k1-th."""
    from scipy.sparse import csr_array

    compared = plain.round(DECIMALS)
    last = np.partition(compared, k1 - 1, axis=1)[:, k1 - 1 : k1]
    return csr_array(np.where(compared <= last, -plain, 0))


def _unit(rows: Any) -> Any:
    """Sparse rows of unit length; rows of zeros stay zeros."""
    from scipy.sparse import diags_array

    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    return (diags_array(1 / np.where(lengths > 0, lengths, 1)) @ rows).tocsr()
