"""Ranks of the true matches in the galleries of all trials at once.

The galleries of a protocol's trials are subsets of the same candidates. Each query's candidates
are sorted once. A match's rank in a trial is then the number of that trial's images up to the
match's place, and an identity's place is that of its nearest image.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from vireid.evaluation.metrics import average_precision, inverse_negative_penalty
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.sorting import Orders, Sorting
from vireid.structures import FeatureSet
from vireid.utils.threads import THREADS, processors

CHUNK = 512  # most queries whose distances are computed at once
ENTRIES = 2**22  # and most distances: bounds the memory


@dataclass(frozen=True, slots=True)
class Ranks:
    """Results of Q queries in T galleries; 0 where a query has no match.

    Args:
        precision: (T, Q) average precision.
        penalty: (T, Q) inverse negative penalty.
        first: (T, Q) rank of the first true match, in images or in identities.
        length: (T, Q) entries of the ranked list, in the same unit.
    """

    precision: np.ndarray
    penalty: np.ndarray
    first: np.ndarray
    length: np.ndarray


def rank_matches(
    protocol: RetrievalProtocol,
    queries: FeatureSet,
    candidates: FeatureSet,
    members: np.ndarray,
    sorting: Sorting,
) -> Ranks:
    """Ranks every query's matches in every trial's gallery.

    Args:
        protocol: its rules of removal and its CMC unit.
        queries, candidates: identities and cameras; their features are not used.
        members: (T, C) bool: which candidates are in a trial's gallery.
        sorting: sorts candidates by their distance from some queries; called for those that no
            ignored camera took. The order of two candidates of other identities than the query's
            is not used.
    """
    shape = (len(members), len(queries))
    ranks = Ranks(np.zeros(shape), np.zeros(shape), np.zeros(shape, int), np.zeros(shape, int))
    for rows, kept in _views(protocol, queries, candidates):
        seen = candidates.subset(kept)
        ranking = _Ranking(protocol, queries, seen, members[:, kept], sorting(kept), ranks)
        size = max(1, min(CHUNK, ENTRIES // len(kept)))
        chunks = np.array_split(rows, -(-len(rows) // size))
        workers = min(THREADS, processors())
        # One BLAS thread for each worker: two pools of threads would compete for the processors.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
            list(pool.map(ranking.rank, chunks))
    return ranks


def _views(
    protocol: RetrievalProtocol, queries: FeatureSet, candidates: FeatureSet
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of queries whose camera ignores the same gallery cameras, and the candidates left."""
    order = np.lexsort((queries.camids, queries.pids))
    ignored_by = {
        camid: {found for query, found in protocol.ignored_cameras if query == camid}
        for camid in np.unique(queries.camids).tolist()
    }
    for ignored in {frozenset(cameras) for cameras in ignored_by.values()}:
        alike = [camid for camid, cameras in ignored_by.items() if cameras == ignored]
        kept = np.flatnonzero(~np.isin(candidates.camids, sorted(ignored)))
        if len(kept):
            yield order[np.isin(queries.camids[order], alike)], kept


@dataclass(frozen=True)
class _Ranking:
    protocol: RetrievalProtocol
    queries: FeatureSet
    candidates: FeatureSet
    members: np.ndarray
    orders: Orders
    ranks: Ranks

    def rank(self, rows: np.ndarray) -> None:
        """Fills ``ranks`` in the columns of these queries."""
        for block, order in self.orders(rows):
            self._rank_block(block, order)

    def _rank_block(self, rows: np.ndarray, order: np.ndarray) -> None:
        queries, count = self.queries.subset(rows), len(self.candidates)
        hits = self.candidates.pids[order] == queries.pids[:, None]
        if self.protocol.drops_own_camera:
            removed = hits & (self.candidates.camids[order] == queries.camids[:, None])
            hits &= ~removed
            order[removed] = count  # no candidate: counts nowhere
        query, place = np.nonzero(hits)
        held = self.members[:, order[query, place]]  # (T, H)
        rank, length = self._count(order, query, place)
        self.ranks.length[:, rows] = length.T
        for trial, mine in enumerate(held):
            self._score(trial, rows, query[mine], rank[mine, trial])
        if self.protocol.cmc_unit == "identity":
            kind = np.int16 if count < 2**15 else np.int32
            places = np.full((len(rows), count + 1), count, dtype=kind)
            np.put_along_axis(places, order, np.arange(count, dtype=kind)[None], axis=1)
            by_candidate = np.ascontiguousarray(places.T)
            for trial, mine in enumerate(held):
                if mine.any():
                    self._count_identities(trial, rows, query[mine], place[mine], by_candidate)

    def _count(
        self, order: np.ndarray, query: np.ndarray, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ranks of the matches at (H,) places of (H,) queries, and the lengths of the lists.

        Returns:
            (H, T) images of each trial up to the match; (n, T) images in the query's list.
        """
        starts = np.arange(len(order) + 1) * order.shape[1]
        ends = starts[query] + place + 1
        bounds = np.unique(np.concatenate([starts, ends]))
        packed, kind = self._counters
        # "clip" skips the check of each index
        ordered = (word.take(order.ravel(), mode="clip") for word in packed)
        sums = [np.add.reduceat(word, bounds[:-1]) for word in ordered]
        totals = np.zeros((len(bounds), len(self.members)), dtype=np.int64)
        unpacked = np.stack(sums, axis=1).view(kind)[:, : len(self.members)]
        np.cumsum(unpacked, axis=0, out=totals[1:])
        begin, end = np.searchsorted(bounds, starts), np.searchsorted(bounds, ends)
        return totals[end] - totals[begin[query]], np.diff(totals[begin], axis=0)

    @cached_property
    def _counters(self) -> tuple[np.ndarray, np.dtype]:
        """(W, C + 1) uint64: one counter per trial, several side by side in a word.

        One addition of words adds up the counters of several trials. No counter overflows, as it
        can hold the number of images in its gallery.
        """
        trials, count = self.members.shape
        kind = np.dtype(np.uint16 if self.members.sum(axis=1).max() < 2**16 else np.uint32)
        side_by_side = 8 // kind.itemsize
        words = -(-trials // side_by_side)
        counters = np.zeros((count + 1, words * side_by_side), dtype=kind)
        counters[:count, :trials] = self.members.T
        return np.ascontiguousarray(counters.view(np.uint64).T), kind

    def _score(self, trial: int, rows: np.ndarray, query: np.ndarray, rank: np.ndarray) -> None:
        """Metrics of one trial from the (H,) ranks of its matches, ascending in each query."""
        matches = np.bincount(query, minlength=len(rows))
        for number in set(matches.tolist()) - {0}:
            chosen = matches == number
            ranks = rank[chosen[query]].reshape(-1, number)
            where = trial, rows[chosen]
            self.ranks.precision[where] = average_precision(ranks)
            self.ranks.penalty[where] = inverse_negative_penalty(ranks)
            self.ranks.first[where] = ranks[:, 0]
        self.ranks.length[trial, rows[matches == 0]] = 0

    def _count_identities(
        self,
        trial: int,
        rows: np.ndarray,
        query: np.ndarray,
        place: np.ndarray,
        by_candidate: np.ndarray,
    ) -> None:
        """Replaces the rank of the first match, and the length, by those in identities.

        Args:
            query, place: (H,) of the trial's matches.
            by_candidate: (C + 1, n) places of the candidates; C for those removed.
        """
        columns, starts = self._by_identity[trial]
        nearest = np.minimum.reduceat(by_candidate[columns], starts, axis=0)  # (I, n)
        answered, first = np.unique(query, return_index=True)
        nearest = nearest[:, answered]
        before = (nearest < place[first]).sum(axis=0)
        self.ranks.first[trial, rows[answered]] = before + 1
        self.ranks.length[trial, rows[answered]] = (nearest < len(self.candidates)).sum(axis=0)

    @cached_property
    def _by_identity(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each trial its columns ordered by identity, and where each identity begins."""
        by_trial = []
        for held in self.members:
            columns = np.flatnonzero(held)
            columns = columns[np.argsort(self.candidates.pids[columns], kind="stable")]
            _, starts = np.unique(self.candidates.pids[columns], return_index=True)
            by_trial.append((columns, starts))
        return by_trial
