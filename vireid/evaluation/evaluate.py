"""Scores features by protocols; never sees a network."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import BLOCK, distance_rows, processors
from vireid.evaluation.metrics import cmc_curve
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.query_gallery import (
    Permutations,
    draw_galleries,
    gallery_order,
    parties,
    searching,
)
from vireid.evaluation.ranking import Ranks, Sorting, rank_matches, sorting_of
from vireid.evaluation.rerank import reranked_distances
from vireid.evaluation.sorting import cosine_sorting
from vireid.structures import FeatureSet

RANKS = (1, 5, 10, 20)
CMC_LENGTH = 50
LARGEST = np.float64(1e140)  # squares of larger numbers overflow when they are added
SMALLEST = np.float64(1e-150)  # squares of smaller ones vanish
FIRST = 64  # numbers of a feature that are looked at before all of them are


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
    """Scores of every gallery trial of one protocol; see :func:`evaluate_all`."""
    (trials,) = evaluate_all(
        [protocol], features, permutations=permutations, metric=metric
    ).values()
    return trials


def evaluate_all(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> dict[str, list[TrialScores]]:
    """Scores of every gallery trial, by protocol; what protocols share is computed once.

    Args:
        features: of all images that may query or be found; not modified.
        permutations: for protocols whose gallery draw is official.
        metric: ``cosine``, ``euclidean``, or ``auto`` for the protocol's own.
    Raises:
        DataError: no query or gallery image, features that are not finite or, by cosine, zero, or
            no query with a true match.
    """
    alike: dict[Hashable, list[RetrievalProtocol]] = {}
    for protocol in protocols:
        alike.setdefault(_rules(protocol), []).append(protocol)
    scores: dict[str, list[TrialScores]] = {}
    for group in alike.values():
        scores |= _evaluate_alike(group, features, permutations, metric)
    return {protocol.name: scores[protocol.name] for protocol in protocols}


def evaluate_reranked(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> list[TrialScores]:
    """Scores of every gallery trial after k-reciprocal re-ranking of its queries and gallery.

    Raises:
        DataError: as :func:`evaluate_all`.
    """
    queries, candidates = parties(protocol, features)
    metric = protocol.metric if metric == "auto" else metric
    parts = {f"{protocol.name}: query and gallery": np.union1d(queries, candidates)}
    require_finite(features, parts)
    require_directions(features, parts, metric)
    trials = []
    for rows in _galleries(protocol, features, candidates, permutations):
        asked = features.subset(queries[searching(protocol, queries, rows)])
        gallery = features.subset(rows)
        distances = reranked_distances(asked.features, gallery.features, metric=metric)
        everything = np.ones((1, len(rows)), dtype=bool)
        ranks = rank_matches(
            protocol, asked, gallery, everything, sorting_of(distances.__getitem__)
        )
        trials.append(trial_scores(protocol, ranks, 0, len(rows)))
    return trials


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
    queries, candidates = parties(protocol, images)
    for rows in _galleries(protocol, images, candidates, permutations):
        asked = _identities_and_cameras(images, queries[searching(protocol, queries, rows)])
        held = _identities_and_cameras(images, rows)
        asked = asked[np.isin(asked[:, 0], held[:, 0])]  # no pair is worth a look without
        pairs = ((q, g) for q in asked for g in held[np.flatnonzero(held[:, 0] == q[0])])
        if not any(_may_match(protocol, query[1], found[1]) for query, found in pairs):
            raise _unanswerable(protocol)


def trial_scores(
    protocol: RetrievalProtocol,
    ranks: Ranks,
    trial: int,
    num_gallery: int,
    *,
    asking: np.ndarray | None = None,
) -> TrialScores:
    """Means over the queries that have a match.

    Args:
        asking: (Q,) bool: which of the ranked images are queries of this trial; None for all.
    Raises:
        DataError: none has one.
    """
    found = ranks.first[trial] > 0
    answered = found if asking is None else found & asking
    first = ranks.first[trial, answered]
    if not len(first):
        raise _unanswerable(protocol)
    cmc = cmc_curve(first, int(max(first.max(), CMC_LENGTH)))
    metrics = {f"rank{k}": float(cmc[k - 1]) for k in RANKS}
    metrics["mAP"] = float(ranks.precision[trial, answered].mean())
    metrics["mINP"] = float(ranks.penalty[trial, answered].mean())
    shown = min(CMC_LENGTH, int(ranks.length[trial, answered].min()))
    num_query = len(found) if asking is None else int(asking.sum())
    return TrialScores(metrics, cmc[:shown], num_query, len(first), num_gallery)


def without_features(images: FeatureSet, rows: np.ndarray) -> FeatureSet:
    """The given rows of everything but the features, which are (N, 0)."""
    return replace(images, features=images.features[:, :0]).subset(rows)


def require_finite(features: FeatureSet, parts: Mapping[str, np.ndarray]) -> None:
    """Sorting would put what is not a number last and return scores that mean nothing.

    Args:
        parts: rows, by what they are.
    Raises:
        DataError: names the first image.
    """

    def small(start: int) -> np.ndarray:
        # What is not a number is its row's extreme, and compares as false: this finds it too.
        numbers = features.features[start : start + BLOCK]
        return np.asarray((numbers.max(axis=1) < LARGEST) & (numbers.min(axis=1) > -LARGEST))

    with ThreadPoolExecutor(processors()) as pool:
        broken = ~np.concatenate(list(pool.map(small, range(0, len(features), BLOCK))))
    for part, rows in parts.items():
        bad = features.paths[rows[broken[rows]]]
        if len(bad):
            raise DataError(
                f"{part} features of {len(bad)} images are not finite numbers whose squares can be "
                f"added, first {bad[0]}: did the network that made them diverge?"
            )


def require_directions(features: FeatureSet, parts: Mapping[str, np.ndarray], metric: str) -> None:
    """The cosine between a feature of zeros and another is undefined: its rank would be noise.

    Args:
        parts: rows, by what they are.
        metric: with ``euclidean`` such a feature is a point like any other.
    Raises:
        DataError: names the first image.
    """
    if metric != "cosine":
        return
    zero = ~(np.abs(features.features[:, :FIRST]) >= SMALLEST).any(axis=1)
    zero[zero] = ~(np.abs(features.features[zero]) >= SMALLEST).any(axis=1)
    for part, rows in parts.items():
        bad = features.paths[rows[zero[rows]]]
        if len(bad):
            raise DataError(
                f"{part} features of {len(bad)} images are zero, first {bad[0]}: they have no "
                "cosine; make them anew, or leave these images out"
            )


def _rules(protocol: RetrievalProtocol) -> Hashable:
    """All of a protocol but which candidates its trials hold."""
    plain = replace(protocol, name="", source="", shots=0, gallery_trials=0, other_draws=())
    return replace(plain, gallery_cameras=frozenset())


def _evaluate_alike(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    permutations: Permutations | None,
    metric: str,
) -> dict[str, list[TrialScores]]:
    owners, galleries, parts = [], [], {}
    for protocol in protocols:
        queries, candidates = parties(protocol, features)
        parts[f"{protocol.name}: query"] = queries
        parts[f"{protocol.name}: gallery"] = candidates
        drawn = list(_galleries(protocol, features, candidates, permutations))
        galleries += drawn
        owners += [protocol] * len(drawn)
    metric = protocols[0].metric if metric == "auto" else metric
    require_finite(features, parts)
    require_directions(features, parts, metric)
    used = np.unique(np.concatenate(galleries))
    used = used[gallery_order(protocols[0], without_features(features, used))]
    ranks = rank_matches(
        protocols[0],
        without_features(features, queries),
        without_features(features, used),
        np.stack([np.isin(used, rows) for rows in galleries]),
        _sorting(metric, features, queries, used),
    )
    scores: dict[str, list[TrialScores]] = {protocol.name: [] for protocol in protocols}
    for trial, (protocol, rows) in enumerate(zip(owners, galleries, strict=True)):
        asked = searching(protocol, queries, rows)
        found = trial_scores(protocol, ranks, trial, len(rows), asking=asked)
        scores[protocol.name].append(found)
    return scores


def _sorting(
    metric: str, features: FeatureSet, queries: np.ndarray, candidates: np.ndarray
) -> Sorting:
    if metric == "cosine":
        return cosine_sorting(features.features, features.pids, queries, candidates)
    numbers = features.features
    return sorting_of(distance_rows(metric, numbers[queries], numbers[candidates]))


def _galleries(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    candidates: np.ndarray,
    permutations: Permutations | None,
) -> Iterator[np.ndarray]:
    """Rows of ``features`` that each trial's gallery holds."""
    images = without_features(features, candidates)
    for rows in draw_galleries(protocol, images, permutations):
        yield candidates[rows]


def _identities_and_cameras(images: FeatureSet, rows: np.ndarray) -> np.ndarray:
    """(K, 2) distinct pairs."""
    return np.unique(np.stack([images.pids[rows], images.camids[rows]], axis=1), axis=0)


def _may_match(protocol: RetrievalProtocol, query_camera: int, gallery_camera: int) -> bool:
    """Whether an image of the query's identity stays in its list."""
    if protocol.drops_own_camera and query_camera == gallery_camera:
        return False
    return (query_camera, gallery_camera) not in protocol.ignored_cameras


def _unanswerable(protocol: RetrievalProtocol) -> DataError:
    remedy = (
        ": images of the query's identity and camera are left out, so that every identity needs "
        "two cameras, and every camera a number of its own, visible or infrared"
        if protocol.drops_own_camera
        else ""
    )
    return DataError(f"{protocol.name}: no query has a true match in the gallery{remedy}")
