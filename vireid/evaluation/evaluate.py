"""Scores features by protocols; never sees a model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.metrics import cmc_curve
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.query_gallery import (
    Permutations,
    draw_trials,
    gallery_order,
    select_query_and_gallery,
    without_features,
)
from vireid.evaluation.ranking import Ranks, rank_matches
from vireid.evaluation.reranking.methods import Reranking, default_reranking
from vireid.evaluation.sorting import cosine_sorting, stable_sorting
from vireid.structures import FeatureSet

RANKS = (1, 5, 10, 20)
CMC_LENGTH = 50
LARGEST = np.float64(1e140)  # squares of larger numbers overflow when they are added
SMALLEST = np.float64(1e-150)  # squares of smaller ones vanish
CHECKED_FIRST = 64  # numbers of a feature that are compared with zero before all of them are


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
    """Scores of every gallery trial of one protocol; see ``evaluate_all``."""
    scores = evaluate_all([protocol], features, permutations=permutations, metric=metric)
    return scores[protocol.name]


def evaluate_all(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> dict[str, list[TrialScores]]:
    """Scores of every gallery trial, by protocol; what protocols share is computed once.

    Args:
        features: of all query and gallery images; not modified.
        permutations: for protocols whose gallery draw is official.
        metric: ``cosine``, ``euclidean``, or ``auto`` for the protocol's own.
    Raises:
        DataError: no query or gallery image, features that are not finite or, by cosine, zero, or
            no query with a true match.
    """
    groups: dict[Hashable, list[RetrievalProtocol]] = {}
    for protocol in protocols:
        groups.setdefault(_shared_rules(protocol), []).append(protocol)
    scores: dict[str, list[TrialScores]] = {}
    for group in groups.values():
        scores |= _evaluate_group(group, features, permutations, metric)
    return {protocol.name: scores[protocol.name] for protocol in protocols}


def evaluate_reranked(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    reranking: Reranking | None = None,
    *,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> list[TrialScores]:
    """Scores of every gallery trial after re-ranking of its queries and gallery.

    Args:
        reranking: None: k-reciprocal re-ranking with its default constants.
    Raises:
        DataError: as ``evaluate_all``, or a gallery holds fewer images than a constant asks for.
    """
    reranking = reranking or default_reranking("rerank")
    metric = reranking.metric_of(protocol.metric if metric == "auto" else metric)
    trials: list[TrialScores] = []
    for query_rows, rows in trial_rows(protocol, features, permutations, metric):
        reranking.require_images(protocol.name, len(rows))
        if not trials:
            reranking.warn_of_few(protocol.name, len(query_rows) + len(rows))
        queries, gallery = features.subset(query_rows), features.subset(rows)
        distances = reranking.distances(queries.features, gallery.features, metric)
        everything = np.ones((1, len(rows)), dtype=bool)
        ranks = rank_matches(protocol, queries, gallery, everything, stable_sorting(distances))
        trials.append(_trial_scores(protocol, ranks, 0, len(rows), np.ones(len(queries), bool)))
    return trials


def evaluate_given(
    protocol: RetrievalProtocol,
    images: FeatureSet,
    distances: np.ndarray,
    *,
    permutations: Permutations | None = None,
) -> list[TrialScores]:
    """Scores of distances that another code base computed, by the protocol's rules.

    Args:
        images: the rows of ``distances``, then its columns, or once where both are all images;
            their features are not used.
        distances: (Q, G) or (N, N) finite numbers, small for alike images.
        permutations: for a protocol whose gallery draw is official.
    Raises:
        DataError: as ``evaluate_all``.
    """
    queries, candidates = select_query_and_gallery(protocol, images)
    first = len(images) - distances.shape[1]  # row of the first column's image
    trials = []
    for mask, gallery in draw_trials(protocol, images, queries, candidates, permutations):
        between = partial(_between, distances, queries, gallery - first)
        ranks = rank_matches(
            protocol,
            without_features(images, queries),
            without_features(images, gallery),
            np.ones((1, len(gallery)), dtype=bool),
            stable_sorting(between),
        )
        trials.append(_trial_scores(protocol, ranks, 0, len(gallery), mask))
    return trials


def _between(
    distances: np.ndarray, queries: np.ndarray, columns: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """(n, C) distances of some queries, by their positions, to the images of some columns."""
    return distances[np.ix_(queries[rows], columns)]


def trial_rows(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    permutations: Permutations | None,
    metric: str,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of the queries and of the gallery, in its order, of every trial.

    Raises:
        DataError: as ``evaluate_all``, but for queries without a match.
    """
    queries, candidates = select_query_and_gallery(protocol, features)
    used = {f"{protocol.name}: query and gallery": np.union1d(queries, candidates)}
    require_comparable(features, used, metric)
    for mask, rows in draw_trials(protocol, features, queries, candidates, permutations):
        yield queries[mask], rows


def require_answerable(
    protocol: RetrievalProtocol,
    images: FeatureSet,
    *,
    permutations: Permutations | None = None,
    rerankings: Iterable[Reranking] = (),
) -> None:
    """Draws every gallery and looks for a query with a match; the features are not used.

    Raises:
        DataError: as ``evaluate`` and ``evaluate_reranked``, but for features that cannot be
            compared.
    """
    queries, candidates = select_query_and_gallery(protocol, images)
    for mask, rows in draw_trials(protocol, images, queries, candidates, permutations):
        for reranking in rerankings:
            reranking.require_images(protocol.name, len(rows))
        asked = _identities_and_cameras(images, queries[mask])
        held = _identities_and_cameras(images, rows)
        asked = asked[np.isin(asked[:, 0], held[:, 0])]
        if not any(
            _may_match(protocol, query_camera, camera)
            for pid, query_camera in asked.tolist()
            for camera in held[held[:, 0] == pid, 1].tolist()
        ):
            raise _unanswerable(protocol)


def require_comparable(
    features: FeatureSet, parts: Mapping[str, np.ndarray], metric: str = "cosine"
) -> None:
    """Distances must be numbers: sorting would put others last, and the scores mean nothing.

    The cosine between a feature of zeros and another is undefined; with ``euclidean`` such a
    feature is a point like any other.

    Args:
        parts: name → rows, for messages.
    Raises:
        DataError: names the first image whose feature is not finite, too large or zero.
    """
    numbers = features.features
    # NaN is the extreme of its row and compares as false, so this finds it, too.
    broken = ~((numbers.max(axis=1) < LARGEST) & (numbers.min(axis=1) > -LARGEST))
    too_large = "not finite numbers whose squares can be added"
    checks = [(broken, too_large, "did the training of their model diverge?")]
    if metric == "cosine":
        zero = ~(np.abs(numbers[:, :CHECKED_FIRST]) >= SMALLEST).any(axis=1)
        zero[zero] = ~(np.abs(numbers[zero]) >= SMALLEST).any(axis=1)
        remedy = "they have no cosine; extract them again, or leave these images out"
        checks.append((zero, "zero", remedy))
    for wrong, what, remedy in checks:
        for part, rows in parts.items():
            bad = features.paths[rows[wrong[rows]]]
            if len(bad):
                images = f"{len(bad)} images are {what}, first {bad[0]}"
                raise DataError(f"{part} features of {images}: {remedy}")


def _shared_rules(protocol: RetrievalProtocol) -> Hashable:
    """All of a protocol but which gallery images its trials hold."""
    plain = replace(protocol, name="", source="", shots=0, gallery_trials=0, other_draws=())
    return replace(plain, gallery_cameras=frozenset())


def _evaluate_group(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    permutations: Permutations | None,
    metric: str,
) -> dict[str, list[TrialScores]]:
    """Scores of protocols that share their rules: every query's candidates are sorted once."""
    owners, galleries, masks, parts = [], [], [], {}
    for protocol in protocols:
        queries, candidates = select_query_and_gallery(protocol, features)
        parts[f"{protocol.name}: query"] = queries
        parts[f"{protocol.name}: gallery"] = candidates
        for mask, rows in draw_trials(protocol, features, queries, candidates, permutations):
            owners.append(protocol)
            masks.append(mask)
            galleries.append(rows)
    metric = protocols[0].metric if metric == "auto" else metric
    require_comparable(features, parts, metric)
    used = np.unique(np.concatenate(galleries))
    used = used[gallery_order(protocols[0], without_features(features, used))]
    numbers = features.features
    if metric == "cosine":
        sorting = cosine_sorting(numbers, features.pids, queries, used)
    else:
        sorting = stable_sorting(distance_rows(metric, numbers[queries], numbers[used]))
    ranks = rank_matches(
        protocols[0],
        without_features(features, queries),
        without_features(features, used),
        np.stack([np.isin(used, rows) for rows in galleries]),
        sorting,
    )
    scores: dict[str, list[TrialScores]] = {protocol.name: [] for protocol in protocols}
    for trial, (protocol, rows, mask) in enumerate(zip(owners, galleries, masks, strict=True)):
        scores[protocol.name].append(_trial_scores(protocol, ranks, trial, len(rows), mask))
    return scores


def _trial_scores(
    protocol: RetrievalProtocol, ranks: Ranks, trial: int, num_gallery: int, queries: np.ndarray
) -> TrialScores:
    """Means over the queries that have a match.

    Args:
        queries: (Q,) bool: which of the ranked images are queries of this trial.
    Raises:
        DataError: none has one.
    """
    answered = (ranks.first[trial] > 0) & queries
    first = ranks.first[trial, answered]
    if not len(first):
        raise _unanswerable(protocol)
    cmc = cmc_curve(first, int(max(first.max(), CMC_LENGTH)))
    metrics = {f"rank{k}": float(cmc[k - 1]) for k in RANKS}
    metrics["mAP"] = float(ranks.precision[trial, answered].mean())
    metrics["mINP"] = float(ranks.penalty[trial, answered].mean())
    shown = min(CMC_LENGTH, int(ranks.length[trial, answered].min()))
    return TrialScores(metrics, cmc[:shown], int(queries.sum()), len(first), num_gallery)


def _identities_and_cameras(images: FeatureSet, rows: np.ndarray) -> np.ndarray:
    """(K, 2) distinct pairs."""
    return np.unique(np.stack([images.pids[rows], images.camids[rows]], axis=1), axis=0)


def _may_match(protocol: RetrievalProtocol, query_camera: int, gallery_camera: int) -> bool:
    """Whether an image of the query's identity stays in its list."""
    own = protocol.drops_own_camera and query_camera == gallery_camera
    return not own and (query_camera, gallery_camera) not in protocol.ignored_cameras


def _unanswerable(protocol: RetrievalProtocol) -> DataError:
    problem = f"{protocol.name}: no query has a true match in the gallery"
    if protocol.drops_own_camera:
        problem += (
            ": images of the query's identity and camera are left out, so every identity "
            "needs two cameras, each with its own number, visible or infrared"
        )
    return DataError(problem)
