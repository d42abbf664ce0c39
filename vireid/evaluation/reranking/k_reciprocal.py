"""k-reciprocal re-ranking: distances that also compare the neighbourhoods of two images.

Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
A query's list then depends on all other queries: scores so obtained are transductive, and do not
compare with plain ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid.evaluation.distance import distance_rows
from vireid.evaluation.sorting import stable_order

CHUNK = 512  # rows of distances held in float64 at once


def reranked_distances(
    queries: np.ndarray,
    gallery: np.ndarray,
    *,
    metric: str = "cosine",
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
) -> np.ndarray:
    """(Q, D), (G, D) → (Q, G) float32 (1 - weight) × Jaccard distance + weight × distance.

    The distance is the squared Euclidean one, of unit features for ``cosine``, and each image's
    are divided by the largest of them, so that features of any length weigh alike (as in the
    paper's published code). Equally near neighbours keep the order queries, gallery.

    Args:
        k1: size of the k-reciprocal neighbourhood.
        k2: neighbours whose neighbourhoods are averaged (local query expansion).
        weight: λ, of the plain distance; all defaults are the paper's.
    """
    both = np.concatenate([queries, gallery])
    distances, nearest = _neighbours(both, metric, max(k1, k2))
    encoded = _encode(distances, nearest, k1)
    if k2 > 1:
        averaged = nearest[:, :k2]  # fewer than k2 where all images are fewer
        encoded = _incidence(averaged, len(both)) @ encoded / averaged.shape[1]
    jaccard = _jaccard(encoded, len(queries))
    plain = distances[: len(queries), len(queries) :]
    return (1 - weight) * jaccard + weight * plain


def _neighbours(both: np.ndarray, metric: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) float32 normalised distances, and (N, k + 1) every image's nearest, itself first."""
    rows = distance_rows(metric, both, both)
    distances = np.empty((len(both), len(both)), dtype=np.float32)
    nearest = np.empty((len(both), min(k + 1, len(both))), dtype=np.int64)
    for start in range(0, len(both), CHUNK):
        which = np.arange(start, min(start + CHUNK, len(both)))
        chunk = rows(which)
        chunk = np.maximum(2 + 2 * chunk, 0) if metric == "cosine" else np.square(chunk)
        chunk[np.arange(len(which)), which] = -1  # neither rounding nor a copy comes before it
        nearest[which] = stable_order(chunk)[:, : nearest.shape[1]]
        chunk[np.arange(len(which)), which] = 0
        largest = chunk.max(axis=1, keepdims=True)
        distances[which] = chunk / np.where(largest > 0, largest, 1)
    return distances, nearest


def _encode(distances: np.ndarray, nearest: np.ndarray, k1: int) -> Any:
    """(N, N) sparse: Gaussian weights of each image's expanded k-reciprocal neighbours; rows sum
    to 1 (the paper's equations 3 to 7)."""
    from scipy.sparse import csr_array

    count = len(distances)
    whole = _reciprocal(nearest[:, : k1 + 1], count)
    half = _reciprocal(nearest[:, : int(np.around(k1 / 2)) + 1], count)
    # A neighbour's own, smaller neighbourhood joins if most of it is there already.
    shared = (whole @ half.T).multiply(whole).tocoo()
    sizes = half.sum(axis=1)
    joins = shared.data > 2 / 3 * sizes[shared.col] + 1e-9  # whole numbers against thirds
    joined = csr_array(
        (np.ones(joins.sum()), (shared.row[joins], shared.col[joins])), shape=whole.shape
    )
    expanded = (whole + joined @ half).tocoo()
    weights = np.exp(-distances[expanded.row, expanded.col].astype(np.float64))
    totals = np.bincount(expanded.row, weights, minlength=count)
    return csr_array((weights / totals[expanded.row], (expanded.row, expanded.col)), whole.shape)


def _reciprocal(nearest: np.ndarray, count: int) -> Any:
    """(N, N) sparse 0/1: images that are among each other's nearest."""
    forward = _incidence(nearest, count)
    return forward.multiply(forward.T).tocsr()


def _incidence(nearest: np.ndarray, count: int) -> Any:
    from scipy.sparse import csr_array

    rows = np.repeat(np.arange(count), nearest.shape[1])
    return csr_array((np.ones(nearest.size), (rows, nearest.ravel())), shape=(count, count))


def _jaccard(encoded: Any, num_query: int) -> np.ndarray:
    """(Q, G) float32: 1 - Σ min / Σ max of the encodings (the paper's equation 10)."""
    gallery = encoded[num_query:].tocsc()
    size, starts = gallery.shape[0], gallery.indptr
    distances = np.empty((num_query, size), dtype=np.float32)
    for query in range(num_query):
        row = slice(encoded.indptr[query], encoded.indptr[query + 1])
        columns, weights = encoded.indices[row], encoded.data[row]
        lengths = starts[columns + 1] - starts[columns]
        # places in the gallery's columns of all its entries in this query's neighbourhood
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts[columns] - ends + lengths, lengths)
        least = np.minimum(gallery.data[places], np.repeat(weights, lengths))
        overlap = np.bincount(gallery.indices[places], least, minlength=size)
        distances[query] = 1 - overlap / (2 - overlap)
    return distances
