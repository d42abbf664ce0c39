"""Query expansion: a query is averaged with its nearest gallery images, and searched again.

Sources: Chum et al., Total Recall: Automatic Query Expansion with a Generative Feature Model for
Object Retrieval, ICCV 2007 (the plain average); Radenović et al., Fine-tuning CNN Image Retrieval
with No Human Annotation, TPAMI 2018 (αQE: weights that fall with the similarity).
"""

from __future__ import annotations

import numpy as np

from vireid.evaluation.distance import Rows, distance_rows, unit_rows
from vireid.evaluation.sorting import stable_order

CHUNK = 512  # queries whose distances are held at once
DECIMALS = 12  # of cosines that are compared: behind these is rounding, which breaks no tie


def expanded_distances(
    queries: np.ndarray,
    gallery: np.ndarray,
    *,
    metric: str = "cosine",
    k: int = 5,
    alpha: float = 3.0,
) -> Rows:
    """Distances of the expanded queries to the gallery, some queries at a time.

    Only queries are expanded, each with its own nearest gallery images, whatever their modality
    and camera. Other queries and the images' identities are not used, and the gallery's features
    stay as they are. (fast-reid's code expands the gallery, too, and takes neighbours of both.)

    Args:
        queries, gallery: (Q, D), (G, D).
        metric: finds the neighbours and compares the expanded query. By ``cosine`` the features
            that are averaged are of unit length.
        k: nearest gallery images of the average, at most G; 0: the plain distances. Equally near
            ones are taken in the order of the gallery.
        alpha: a neighbour's weight is its cosine to the query, or 0 if that is negative, to the
            power of alpha; the query's weight is 1. 0: the plain average.
    """
    if not k:
        return distance_rows(metric, queries, gallery)
    return distance_rows(metric, _expanded(queries, gallery, metric, k, alpha), gallery)


def _expanded(
    queries: np.ndarray, gallery: np.ndarray, metric: str, k: int, alpha: float
) -> np.ndarray:
    """(Q, D) float64: weighted means of each query and its neighbours."""
    rows = distance_rows(metric, queries, gallery)
    units = unit_rows(gallery)
    averaged = units if metric == "cosine" else gallery
    expanded = np.empty((len(queries), queries.shape[1]))
    for start in range(0, len(queries), CHUNK):
        which = np.arange(start, min(start + CHUNK, len(queries)))
        plain = rows(which)
        compared = plain.round(DECIMALS) if metric == "cosine" else plain
        nearest = stable_order(compared)[:, :k]
        directions = unit_rows(queries[which])
        total = directions.copy() if metric == "cosine" else queries[which].astype(np.float64)
        weights = np.ones(len(which))
        for neighbours in nearest.T:  # one at a time: bounds the memory
            similarity = np.einsum("nd,nd->n", directions, units[neighbours])
            weight = np.maximum(similarity, 0) ** alpha
            total += weight[:, None] * averaged[neighbours]
            weights += weight
        expanded[which] = total / weights[:, None]
    return expanded
