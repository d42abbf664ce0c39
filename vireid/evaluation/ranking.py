"""Ranks of the true matches in many galleries at once, without sorting any of them.

The galleries of a protocol's trials are subsets of the same candidates. Each query's candidates
are sorted once; a match's rank in a trial is then the number of that trial's members up to the
match's place, and an identity's place is that of its best member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from vireid.evaluation.distance import Rows, processors
from vireid.evaluation.metrics import (
    average_precision,
    first_rank,
    inverse_negative_penalty,
)
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.structures import FeatureSet

CHUNK = 256  # most queries whose distances are held at once
ENTRIES = 2**21  # and most distances: bounds the memory


@dataclass(frozen=True, slots=True)
class Ranks:
    """What T galleries' ranked lists say of Q queries; 0 where a query has no match.

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


@dataclass(frozen=True, slots=True)
class _View:
    """What queries of certain cameras see of every trial's gallery.

    Args:
        kept: (C,) bool, candidates that are not ignored for them.
        bits: 16, or 32 for long galleries: width of a counter.
        counters: (ceil(T bits / 64), C) uint64, each of several trials' counters side by side: 1
            where the trial holds the candidate.
        images, identities: (T,) how many are in the trial's list.
        columns: for each trial its candidates, by identity.
        starts: for each trial where in ``columns`` an identity begins.
        pids: for each trial its identities, ascending.
    """

    kept: np.ndarray
    bits: int
    counters: np.ndarray
    images: np.ndarray
    columns: list[np.ndarray]
    starts: list[np.ndarray]
    pids: list[np.ndarray]


def rank_matches(
    protocol: RetrievalProtocol,
    queries: FeatureSet,
    candidates: FeatureSet,
    members: np.ndarray,
    distances: Rows,
) -> Ranks:
    """Ranks every query's matches in every trial's gallery.

    Args:
        protocol: its rules of removal and its CMC unit.
        queries, candidates: identities and cameras; their features are not looked at. The order
            of the candidates is that of ties.
        members: (T, C) bool: which candidates are in a trial's gallery.
        distances: of some queries to all candidates.
    """
    shape = (len(members), len(queries))
    ranks = Ranks(np.zeros(shape), np.zeros(shape), np.zeros(shape, int), np.zeros(shape, int))
    job = _Job(protocol, queries, candidates, members, distances, ranks)
    # One thread of matrix products for each worker: two libraries' threads would fight for cores.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(processors()) as pool:
        for _ in pool.map(job.rank, *zip(*job.chunks(), strict=True)):
            pass
    return ranks


@dataclass(frozen=True, slots=True)
class _Job:
    protocol: RetrievalProtocol
    queries: FeatureSet
    candidates: FeatureSet
    members: np.ndarray
    distances: Rows
    ranks: Ranks

    def chunks(self) -> Iterator[tuple[np.ndarray, _View]]:
        """Rows of queries that see the same candidates, ordered by identity and camera."""
        order = np.lexsort((self.queries.camids, self.queries.pids))
        ignoring = sorted({camid for camid, _ in self.protocol.ignored_cameras})
        for camid in [None, *ignoring]:
            chosen = self.queries.camids[order] == camid
            rows = order[
                ~np.isin(self.queries.camids[order], ignoring) if camid is None else chosen
            ]
            ignored = [g for q, g in self.protocol.ignored_cameras if q == camid]
            if len(rows):
                view = _view(self.candidates, self.members, ignored)
                step = max(1, min(CHUNK, ENTRIES // len(self.candidates)))
                for start in range(0, len(rows), step):
                    yield rows[start : start + step], view

    def rank(self, rows: np.ndarray, view: _View) -> None:
        """Fills ``ranks`` in the columns of these queries."""
        order = stable_order(self.distances(rows))
        small = np.int16 if order.shape[1] < 2**15 else np.int32
        place = np.empty(order.shape, dtype=small)
        np.put_along_axis(place, order, np.arange(order.shape[1], dtype=small)[None], axis=1)
        first_place = np.zeros((len(self.members), len(rows)), dtype=small)
        for group in _groups(self.queries, rows):
            self._rank_group(rows[group], view, order[group], place[group], first_place[:, group])
        if self.protocol.cmc_unit == "identity":
            self._identity_ranks(rows, view, place, first_place)

    def _rank_group(
        self,
        rows: np.ndarray,
        view: _View,
        order: np.ndarray,
        place: np.ndarray,
        first_place: np.ndarray,
    ) -> None:
        """Queries of one identity and camera: all of them have the same matches."""
        pid, camid = self.queries.pids[rows[0]], self.queries.camids[rows[0]]
        matches = np.flatnonzero((self.candidates.pids == pid) & view.kept)
        counters, dropped = view.counters, matches[:0]
        if self.protocol.drops_own_camera:
            own = self.candidates.camids[matches] == camid
            dropped, matches = matches[own], matches[~own]
            counters = counters.copy()
            counters[:, dropped] = 0
        answering = np.asarray(self.members[:, matches].any(axis=1))
        if not answering.any():
            return
        by_place = np.argsort(place[:, matches], axis=1)
        places = np.take_along_axis(place[:, matches], by_place, axis=1)
        found = self.members[:, matches[by_place]]  # (T, n, m)
        rank = _counts(counters, view.bits, order, places)[: len(found)]
        self.ranks.precision[:, rows] = average_precision(rank, found)
        self.ranks.penalty[:, rows] = inverse_negative_penalty(rank, found)
        self.ranks.first[:, rows] = first_rank(rank, found)
        places = np.broadcast_to(places, found.shape)
        first_place[:] = first_rank(places, found)
        length = view.images - self.members[:, dropped].sum(axis=1)
        self.ranks.length[:, rows] = np.where(answering, length, 0)[:, None]

    def _identity_ranks(
        self, rows: np.ndarray, view: _View, place: np.ndarray, first_place: np.ndarray
    ) -> None:
        """Counts the identities whose best image stands before the first match."""
        by_candidate, pids = np.ascontiguousarray(place.T), self.queries.pids[rows]
        for trial, columns in enumerate(view.columns):
            answered = self.ranks.first[trial, rows] > 0
            if not answered.any():
                continue
            best = np.minimum.reduceat(by_candidate[columns], view.starts[trial], axis=0)
            before = np.asarray(best < first_place[trial])
            # Its own identity's best image may be one that is removed from this query's list.
            own = np.searchsorted(view.pids[trial], pids) % len(best)
            rank = before.sum(axis=0) - before[own, np.arange(len(rows))] + 1
            self.ranks.first[trial, rows] = np.where(answered, rank, 0)
            self.ranks.length[trial, rows] = np.where(answered, len(best), 0)


def stable_order(distances: np.ndarray) -> np.ndarray:
    """(n, C) columns by distance, equal ones in their order."""
    order = np.argsort(distances, axis=1)  # several times faster than a stable sort
    ranked = np.take_along_axis(distances, order, axis=1)
    tied = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
    if tied.any():
        order[tied] = np.argsort(distances[tied], axis=1, kind="stable")
    return order


def _view(candidates: FeatureSet, members: np.ndarray, ignored: Sequence[int]) -> _View:
    kept = ~np.isin(candidates.camids, ignored)
    seen = members & kept
    bits = 16 if len(candidates) < 2**16 else 32
    together = 64 // bits
    counters = np.zeros((-(-len(members) // together), len(candidates)), dtype=np.uint64)
    for trial, held in enumerate(seen):
        counters[trial // together] |= held.astype(np.uint64) << np.uint64(trial % together * bits)
    by_pid = np.argsort(candidates.pids, kind="stable")
    columns = [by_pid[held[by_pid]] for held in seen]
    unique = [np.unique(candidates.pids[chosen], return_index=True) for chosen in columns]
    pids, starts = ([pair[part] for pair in unique] for part in (0, 1))
    return _View(kept, bits, counters, seen.sum(axis=1), columns, starts, pids)


def _groups(queries: FeatureSet, rows: np.ndarray) -> Iterator[slice]:
    """Stretches of ``rows`` that share identity and camera."""
    keys = np.stack([queries.pids[rows], queries.camids[rows]])
    starts = [0, *(np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1), len(rows)]
    for start, end in pairwise(starts):
        yield slice(start, end)


def _counts(counters: np.ndarray, bits: int, order: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(T or more, n, m) members of each trial up to the given places in the order of n queries."""
    parts = []
    for packed in counters:
        counted = packed[order]
        np.cumsum(counted, axis=1, out=counted)
        at_places = np.take_along_axis(counted, places.astype(np.intp), axis=1)
        for shift in range(0, 64, bits):
            part = (at_places >> np.uint64(shift)) & np.uint64(2**bits - 1)
            parts.append(part.astype(np.int64))
    return np.stack(parts)
