"""Ranked lists as people look at them; scores need only the ranks of the matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vireid.errors import UsageError
from vireid.evaluation.distance import Rows, distance_rows
from vireid.evaluation.evaluate import trial_rows
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.query_gallery import Permutations, without_features
from vireid.evaluation.ranking import rank_matches
from vireid.evaluation.sorting import stable_order, stable_sorting
from vireid.structures import FeatureSet, Splits


@dataclass(frozen=True, slots=True)
class RankedList:
    """A query's gallery by distance.

    Args:
        query: row of the features.
        gallery: (G,) rows, nearest first, with those that the protocol removes.
        pids: (G,) identities of these images.
        distances: (G,) ascending.
        removed: (G,) bool: the protocol leaves the image out of this query's list.
        matches: (G,) bool: a true match, which is an image of the query's identity that stays.
        precision: average precision; 0 where the query has no match.
        first: rank of the first match in the protocol's unit; 0 where there is none.
    """

    query: int
    gallery: np.ndarray
    pids: np.ndarray
    distances: np.ndarray
    removed: np.ndarray
    matches: np.ndarray
    precision: float
    first: int

    def ranks(self) -> np.ndarray:
        """(G,) ranks among the images that stay in the list, from 1; 0 for those removed."""
        return np.where(self.removed, 0, np.cumsum(~self.removed))

    def identity_ranks(self) -> np.ndarray:
        """(G,) ranks of the images' identities, from 1; 0 for images that are removed.

        The rank of an identity is that of its nearest image when each identity counts once, as in
        the CMC of SYSU-MM01 and LLCM. All images of an identity share it.
        """
        stays = np.flatnonzero(~self.removed)
        _, nearest, identity = np.unique(self.pids[stays], return_index=True, return_inverse=True)
        ranks = np.zeros(len(self.gallery), dtype=int)
        ranks[stays] = (np.argsort(np.argsort(nearest)) + 1)[identity]
        return ranks

    def first_match(self) -> int | None:
        """Place of the first true match in ``gallery``, from 0; None where there is none."""
        return int(self.matches.argmax()) if self.matches.any() else None


@dataclass(frozen=True, slots=True)
class GalleryRanking:
    """Every query of a protocol with one trial's gallery.

    Args:
        queries, gallery: rows of ``features``; the gallery in its order, which is that of ties.
        distances: (n,) positions of ``queries`` → (n, G).
        precision, first: (Q,) as in ``RankedList``.
        identities, cameras: names by number, of a data set that has names.
        frames: of tracks, by the path of the first one, which ``features`` has.
    """

    protocol: RetrievalProtocol
    features: FeatureSet
    metric: str
    queries: np.ndarray
    gallery: np.ndarray
    distances: Rows
    precision: np.ndarray
    first: np.ndarray
    identities: Mapping[int, str] = field(default_factory=dict)
    cameras: Mapping[int, str] = field(default_factory=dict)
    frames: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of_set(self, splits: Splits) -> GalleryRanking:
        """The same with what a data set knows: names, and the frames of tracks."""
        records = splits.train + splits.val + splits.test
        frames = {record.path: record.frames for record in records if record.frames}
        return replace(self, identities=splits.identities, cameras=splits.cameras, frames=frames)

    def ranked_list(self, position: int) -> RankedList:
        """The list of the query at a position of ``queries``."""
        distances = self.distances(np.array([position]))
        order = stable_order(distances)[0]
        query, gallery = int(self.queries[position]), self.gallery[order]
        pids, removed = self.features.pids[gallery], self._removed(query, gallery)
        return RankedList(
            query=query,
            gallery=gallery,
            pids=pids,
            distances=distances[0, order],
            removed=removed,
            matches=(pids == self.features.pids[query]) & ~removed,
            precision=float(self.precision[position]),
            first=int(self.first[position]),
        )

    def _removed(self, query: int, gallery: np.ndarray) -> np.ndarray:
        """(G,) bool: which rows the protocol leaves out of a query's list."""
        pids, camids = self.features.pids, self.features.camids
        cameras = [found for own, found in self.protocol.ignored_cameras if own == camids[query]]
        removed = np.isin(camids[gallery], cameras)
        if self.protocol.drops_own_camera:
            removed |= (pids[gallery] == pids[query]) & (camids[gallery] == camids[query])
        return removed


def rank_gallery(
    protocol: RetrievalProtocol,
    features: FeatureSet,
    *,
    trial: int = 1,
    permutations: Permutations | None = None,
    metric: str = "auto",
) -> GalleryRanking:
    """Ranks one of the protocol's galleries for each query, with the evaluator's scores.

    Args:
        trial: which gallery draw, from 1.
        features, permutations, metric: as for ``evaluate.evaluate_all``.
    Raises:
        DataError: as ``evaluate.evaluate_all``, but for queries without a match.
        UsageError: there is no such trial.
    """
    metric = protocol.metric if metric == "auto" else metric
    trials = list(trial_rows(protocol, features, permutations, metric))
    if not 1 <= trial <= len(trials):
        raise UsageError(f"trial {trial}: {protocol.name} draws {len(trials)} galleries, from 1 on")
    queries, gallery = trials[trial - 1]
    distances = distance_rows(metric, features.features[queries], features.features[gallery])
    ranks = rank_matches(
        protocol,
        without_features(features, queries),
        without_features(features, gallery),
        np.ones((1, len(gallery)), dtype=bool),
        stable_sorting(distances),
    )
    scores = ranks.precision[0], ranks.first[0]
    return GalleryRanking(protocol, features, metric, queries, gallery, distances, *scores)
