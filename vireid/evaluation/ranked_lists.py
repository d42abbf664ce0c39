"""Ranked lists themselves, for people to look at; scores need only the ranks of the matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid.errors import UsageError
from vireid.evaluation.distance import Rows, distance_rows
from vireid.evaluation.evaluate import require_directions, require_finite, without_features
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.query_gallery import Permutations, draw_galleries, parties, searching
from vireid.evaluation.ranking import rank_matches, sorting_of, stable_order
from vireid.structures import FeatureSet


@dataclass(frozen=True, slots=True)
class RankedList:
    """One query's gallery by distance.

    Args:
        query: row of the features.
        gallery: (G,) rows, nearest first, with those that the protocol removes.
        distances: (G,) ascending.
        removed: (G,) bool: the protocol leaves the image out of this query's list.
        precision: average precision; 0 where the query has no match.
        first: rank of the first match in the protocol's unit; 0 where there is none.
    """

    query: int
    gallery: np.ndarray
    distances: np.ndarray
    removed: np.ndarray
    precision: float
    first: int

    def ranks(self) -> np.ndarray:
        """(G,) place among the images that stay in the list, from 1; 0 for those removed."""
        return np.where(self.removed, 0, np.cumsum(~self.removed))


@dataclass(frozen=True, slots=True)
class Search:
    """Every query of a protocol against one trial's gallery.

    Args:
        queries, gallery: rows of ``features``; the gallery in its order, which is that of ties.
        distances: (n,) positions of ``queries`` → (n, G).
        precision, first: (Q,) as in :class:`RankedList`.
    """

    protocol: RetrievalProtocol
    features: FeatureSet
    metric: str
    queries: np.ndarray
    gallery: np.ndarray
    distances: Rows
    precision: np.ndarray
    first: np.ndarray

    def ranked(self, position: int) -> RankedList:
        """The list of the query at a position of ``queries``."""
        query = self.queries[position]
        distances = self.distances(np.array([position]))
        order = stable_order(distances)[0]
        found = self.gallery[order]
        return RankedList(
            query=int(query),
            gallery=found,
            distances=distances[0, order],
            removed=removed(self.protocol, self.features, int(query), found),
            precision=float(self.precision[position]),
            first=int(self.first[position]),
        )


def search(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    *,
    trial: int = 1,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> Search:
    """Scores each query by the evaluator, in one of the protocol's galleries.

    Args:
        features: of all images that may query or be found.
        trial: which gallery draw, from 1.
        permutations: for protocols whose gallery draw is official.
        metric: ``cosine``, ``euclidean``, or ``auto`` for the protocol's own.
    Raises:
        DataError: as :func:`evaluate.evaluate_all`, but for queries without a match.
        UsageError: there is no such trial.
    """
    queries, candidates = parties(protocol, features)
    metric = protocol.metric if metric == "auto" else metric
    parts = {f"{protocol.name}: query and gallery": np.union1d(queries, candidates)}
    require_finite(features, parts)
    require_directions(features, parts, metric)
    draws = list(draw_galleries(protocol, without_features(features, candidates), permutations))
    if not 1 <= trial <= len(draws):
        raise UsageError(f"trial {trial}: {protocol.name} draws {len(draws)} galleries, from 1 on")
    gallery, numbers = candidates[draws[trial - 1]], features.features
    queries = queries[searching(protocol, queries, gallery)]
    distances = distance_rows(metric, numbers[queries], numbers[gallery])
    ranks = rank_matches(
        protocol,
        without_features(features, queries),
        without_features(features, gallery),
        np.ones((1, len(gallery)), dtype=bool),
        sorting_of(distances),
    )
    scores = ranks.precision[0], ranks.first[0]
    return Search(protocol, features, metric, queries, gallery, distances, *scores)


def removed(
    protocol: RetrievalProtocol, images: FeatureSet, query: int, gallery: np.ndarray
) -> np.ndarray:
    """Which of the (G,) rows ``gallery`` the protocol leaves out of a query's list."""
    camid = int(images.camids[query])
    ignored = [found for asking, found in protocol.ignored_cameras if asking == camid]
    out = np.isin(images.camids[gallery], ignored)
    if protocol.drops_own_camera:
        same = images.pids[gallery] == images.pids[query]
        out |= same & (images.camids[gallery] == camid)
    return np.asarray(out)
