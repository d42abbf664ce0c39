"""Scores features by a protocol; never sees a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import METRICS
from vireid.evaluation.gallery import Permutations, draw_galleries
from vireid.evaluation.metrics import (
    average_precision,
    cmc_curve,
    identity_rank,
    image_rank,
    inverse_negative_penalty,
)
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.structures import FeatureSet

RANKS = (1, 5, 10, 20)
CMC_LENGTH = 50
CHUNK = 512  # queries ranked at once: bounds the memory of long galleries


@dataclass(frozen=True, slots=True)
class TrialScores:
    """One gallery draw's scores.

    Args:
        metrics: rank1 … rank20, mAP, mINP; fractions.
        cmc: up to rank 50 or the shortest ranked list.
        num_query, num_valid_query, num_gallery: images; valid queries have a true match.
    """

    metrics: dict[str, float]
    cmc: np.ndarray
    num_query: int
    num_valid_query: int
    num_gallery: int


def evaluate(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> list[TrialScores]:
    """Scores of every gallery trial.

    Args:
        features: of all images that may query or be found; not modified.
        permutations: for protocols whose gallery draw is official.
        metric: ``cosine``, ``euclidean``, or ``auto`` for the protocol's own.
    Raises:
        DataError: no query or gallery image, features that are not finite, or no query with a
            true match.
    """
    queries, candidates = _parties(protocol, features)
    for part, found in (("query", queries), ("gallery", candidates)):
        _require_finite(found, f"{protocol.name}: {part}")
    chosen = protocol.metric if metric == "auto" else metric
    return [
        _score_trial(protocol, queries, candidates.subset(rows), chosen)
        for rows in draw_galleries(protocol, candidates, permutations)
    ]


def require_answerable(
    protocol: RetrievalProtocol,
    images: FeatureSet,
    *,
    permutations: Permutations | None = None,
) -> None:
    """Draws every gallery and looks for a query with a match; the features are not looked at.

    Raises:
        DataError: as :func:`evaluate`, but for features that are not finite.
    """
    queries, candidates = _parties(protocol, images)
    for rows in draw_galleries(protocol, candidates, permutations):
        gallery = candidates.subset(rows)
        if not _matches(protocol, queries, gallery).any():
            raise _unanswerable(protocol)


def _parties(protocol: RetrievalProtocol, images: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """(queries, gallery candidates)"""
    queries = images.subset(_rows(images, protocol.query_modality, protocol.query_cameras))
    candidates = images.subset(_rows(images, protocol.gallery_modality, protocol.gallery_cameras))
    for part, found in (("query", queries), ("gallery", candidates)):
        if not len(found):
            raise DataError(f"{protocol.name}: there is no {part} image")
    return queries, candidates


def _unanswerable(protocol: RetrievalProtocol) -> DataError:
    return DataError(f"{protocol.name}: no query has a true match in the gallery")


def _rows(features: FeatureSet, modality: int, cameras: frozenset[int]) -> np.ndarray:
    rows = features.modality == int(modality)
    return rows & np.isin(features.camids, sorted(cameras)) if cameras else rows


def _require_finite(features: FeatureSet, where: str) -> None:
    """Sorting would put what is not a number last and return scores that mean nothing."""
    bad = features.paths[~np.isfinite(features.features).all(axis=1)]
    if len(bad):
        raise DataError(
            f"{where} features of {len(bad)} images are not finite numbers, first {bad[0]}: did "
            "the network that made them diverge?"
        )


def _score_trial(
    protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet, metric: str
) -> TrialScores:
    rows = np.arange(len(queries))
    parts = [
        _score_queries(protocol, queries.subset(rows[start : start + CHUNK]), gallery, metric)
        for start in range(0, len(queries), CHUNK)
    ]
    precision, penalty, ranks, answerable = map(np.concatenate, zip(*parts, strict=True))
    if not len(ranks):
        raise _unanswerable(protocol)
    longest = int(max(ranks.max(), CMC_LENGTH))
    cmc = cmc_curve(ranks, longest)
    metrics = {f"rank{k}": float(cmc[k - 1]) for k in RANKS}
    metrics |= {"mAP": float(precision.mean()), "mINP": float(penalty.mean())}
    shown = min(CMC_LENGTH, _shortest_list(protocol, queries.subset(answerable), gallery))
    return TrialScores(metrics, cmc[:shown], len(queries), len(ranks), len(gallery))


def _score_queries(
    protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Average precision, inverse negative penalty and first rank of the answerable queries, and
    which of all queries these are."""
    matches = _matches(protocol, queries, gallery)
    answerable = np.asarray(matches.any(axis=1))
    distances = METRICS[metric](queries.features[answerable], gallery.features)
    ignored = _ignored(protocol, queries.subset(answerable), gallery)
    distances[ignored] = np.inf  # ranked behind everything, and never a hit
    order = np.argsort(distances, axis=1, kind="stable")
    hits = np.take_along_axis(matches[answerable], order, axis=1)
    if protocol.cmc_unit == "identity":
        ranks = identity_rank(hits, gallery.pids[order])
    else:
        ranks = image_rank(hits)
    return average_precision(hits), inverse_negative_penalty(hits), ranks, answerable


def _matches(protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet) -> np.ndarray:
    """(Q, G) bool: gallery images that answer a query."""
    same = queries.pids[:, None] == gallery.pids[None, :]
    return np.logical_and(same, ~_ignored(protocol, queries, gallery))


def _ignored(protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet) -> np.ndarray:
    """(Q, G) bool: gallery images that the protocol removes from a query's list."""
    ignored = np.zeros((len(queries), len(gallery)), dtype=bool)
    for query_cam, gallery_cam in protocol.ignored_cameras:
        ignored |= (queries.camids == query_cam)[:, None] & (gallery.camids == gallery_cam)
    return ignored


def _shortest_list(protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet) -> int:
    """Entries of the shortest ranked list, in the protocol's CMC unit."""
    lengths = []
    for camid in np.unique(queries.camids):
        one = queries.subset(np.flatnonzero(queries.camids == camid)[:1])
        kept = gallery.pids[~_ignored(protocol, one, gallery)[0]]
        lengths.append(len(np.unique(kept)) if protocol.cmc_unit == "identity" else len(kept))
    return min(lengths)
