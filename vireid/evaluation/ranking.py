"""Ranks of the true matches in many galleries at once, without sorting any of them.

The galleries of a protocol's trials are subsets of the same candidates. Each query's candidates
are sorted once; a match's rank in a trial is then the number of that trial's members up to the
match's place, and an identity's place is that of its best member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from vireid.evaluation.distance import Rows, processors
from vireid.evaluation.metrics import average_precision, inverse_negative_penalty
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.structures import FeatureSet

CHUNK = 512  # most queries whose distances are held at once
ENTRIES = 2**22  # and most distances: bounds the memory
Orders = Callable[[np.ndarray], np.ndarray]  # (n,) query rows → (n, C) columns by distance
Sorting = Callable[[np.ndarray], Orders]  # of (C,) candidates, which are those columns


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
        candidates: those that are not ignored for them; ``columns`` number these.
        members: (T, C) bool: which columns are in a trial's gallery.
        orders: sorts the columns for some queries.
        counters: (W, C) uint64, each of several trials' counters side by side: 1 where the trial
            holds the candidate.
        word, shift, mask: (T,) where a trial's counter is, and its bits when shifted down.
        identities: for each trial its columns by identity; none where images are counted.
    """

    candidates: FeatureSet
    members: np.ndarray
    orders: Orders
    counters: np.ndarray
    word: np.ndarray
    shift: np.ndarray
    mask: np.ndarray
    identities: list[_Identities]


@dataclass(frozen=True, slots=True)
class _Identities:
    """A gallery's images by identity.

    Args:
        columns: (G,) sorted by identity.
        starts: (I,) where each identity's columns begin.
        pids: (I,) ascending.
    """

    columns: np.ndarray
    starts: np.ndarray
    pids: np.ndarray


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
        queries, candidates: identities and cameras; their features are not looked at. The order
            of the candidates is that of ties.
        members: (T, C) bool: which candidates are in a trial's gallery.
        sorting: sorts candidates by their distance from some queries; called for those that some
            queries see. The order of two candidates of other identities than the query's is
            not looked at.
    """
    shape = (len(members), len(queries))
    ranks = Ranks(np.zeros(shape), np.zeros(shape), np.zeros(shape, int), np.zeros(shape, int))
    job = _Job(protocol, queries, candidates, members, sorting, ranks)
    # One thread of matrix products for each worker: two libraries' threads would fight for cores.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(processors()) as pool:
        started = [pool.submit(job.rank, rows, view) for rows, view in job.chunks()]
        for chunk in started:
            chunk.result()
    return ranks


def sorting_of(distances: Rows) -> Sorting:
    """Sorts by distances that are given for all candidates."""

    def sorting(columns: np.ndarray) -> Orders:
        return lambda rows: stable_order(distances(rows)[:, columns])

    return sorting


@dataclass(frozen=True, slots=True)
class _Job:
    protocol: RetrievalProtocol
    queries: FeatureSet
    candidates: FeatureSet
    members: np.ndarray
    sorting: Sorting
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
            kept = np.flatnonzero(~np.isin(self.candidates.camids, ignored))
            if len(rows) and len(kept):
                seen = self.members[:, kept]
                by_identity = self.protocol.cmc_unit == "identity"
                kept_ones, orders = self.candidates.subset(kept), self.sorting(kept)
                view = _view(kept_ones, seen, orders, by_identity=by_identity)
                most = max(1, min(CHUNK, ENTRIES // len(kept)))
                for part in np.array_split(rows, -(-len(rows) // most)):
                    yield part, view

    def rank(self, rows: np.ndarray, view: _View) -> None:
        """Fills ``ranks`` in the columns of these queries."""
        order = view.orders(rows)
        small = np.int16 if order.shape[1] < 2**15 else np.int32
        place = np.empty(order.shape, dtype=small)
        np.put_along_axis(place, order, np.arange(order.shape[1], dtype=small)[None], axis=1)
        first_place = np.zeros((len(self.members), len(rows)), dtype=small)
        # Queries of one identity have the same matches, unless those of their own camera go.
        keys = [self.queries.pids[rows]]
        keys += [self.queries.camids[rows]] if self.protocol.drops_own_camera else []
        for group in groups(*keys):
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
        """Queries that have the same matches."""
        pid, camid = self.queries.pids[rows[0]], self.queries.camids[rows[0]]
        matches = np.flatnonzero(view.candidates.pids == pid)
        counters, dropped = view.counters, matches[:0]
        if self.protocol.drops_own_camera:
            own = view.candidates.camids[matches] == camid
            dropped, matches = matches[own], matches[~own]
            counters = counters.copy()
            counters[:, dropped] = 0
        held = view.members[:, matches]
        if not held.any():
            return
        places = place[:, matches].astype(np.intp)
        counts = _counts(counters, order, places)
        length = view.members.sum(axis=1) - view.members[:, dropped].sum(axis=1)
        queries, found = np.arange(len(rows))[:, None], held.sum(axis=1)
        for number in set(found.tolist()) - {0}:  # trials alike, most often all of a protocol's
            trials = np.flatnonzero(found == number)
            of = trials[:, None, None]
            chosen = np.nonzero(held[trials])[1].reshape(len(trials), 1, number)
            rank = (counts[view.word[of], queries, chosen] >> view.shift[of]) & view.mask[of]
            rank = np.sort(rank.astype(np.int64), axis=2)
            here, all_found = np.ix_(trials, rows), np.ones(rank.shape, dtype=bool)
            self.ranks.precision[here] = average_precision(rank, all_found)
            self.ranks.penalty[here] = inverse_negative_penalty(rank, all_found)
            self.ranks.first[here] = rank[:, :, 0]
            self.ranks.length[here] = length[trials][:, None]
            first_place[trials] = places[queries, chosen].min(axis=2)

    def _identity_ranks(
        self, rows: np.ndarray, view: _View, place: np.ndarray, first_place: np.ndarray
    ) -> None:
        """Counts the identities whose best image stands before the first match."""
        by_candidate, pids = np.ascontiguousarray(place.T), self.queries.pids[rows]
        for trial, gallery in enumerate(view.identities):
            answered = self.ranks.first[trial, rows] > 0
            if not answered.any():
                continue
            best = np.minimum.reduceat(by_candidate[gallery.columns], gallery.starts, axis=0)
            before = np.asarray(best < first_place[trial])
            # Its own identity's best image may be one that is removed from this query's list.
            own = np.searchsorted(gallery.pids, pids) % len(best)
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


def groups(*keys: np.ndarray) -> Iterator[slice]:
    """Stretches in which (N,) keys stay the same."""
    table = np.stack(keys)
    starts = [0, *(np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0)) + 1), len(keys[0])]
    for start, end in pairwise(starts):
        yield slice(start, end)


def _view(
    candidates: FeatureSet, members: np.ndarray, orders: Orders, *, by_identity: bool
) -> _View:
    # Counters as wide as the trials are long, as many in a word as there is room for.
    words: list[int] = []
    shifts: list[int] = []
    widths: list[int] = []
    used = 0
    for images in members.sum(axis=1).tolist():
        widths.append(max(1, images.bit_length()))
        word = words[-1] if words else 0
        if used + widths[-1] > 64:
            word, used = word + 1, 0
        words.append(word)
        shifts.append(used)
        used += widths[-1]
    shift = np.array(shifts, dtype=np.uint64)
    mask = np.array([2**width - 1 for width in widths], dtype=np.uint64)
    counters = np.zeros((words[-1] + 1, len(candidates)), dtype=np.uint64)
    for word, bits, held in zip(words, shift, members, strict=True):
        counters[word] |= held.astype(np.uint64) << bits
    identities = [_identities(candidates.pids, held) for held in members if by_identity]
    return _View(candidates, members, orders, counters, np.array(words), shift, mask, identities)


def _identities(pids: np.ndarray, held: np.ndarray) -> _Identities:
    columns = np.flatnonzero(held)
    columns = columns[np.argsort(pids[columns], kind="stable")]
    unique, starts = np.unique(pids[columns], return_index=True)
    return _Identities(columns, starts, unique)


def _counts(counters: np.ndarray, order: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(W, n, m) counters added up to the given places, inclusive, in the order of n queries.

    Args:
        places: (n, m), each once in a row.
    """
    queries, length = order.shape
    ascending = places.argsort(axis=1)
    ends = np.take_along_axis(places, ascending, axis=1) + 1
    starts = np.hstack([np.zeros((queries, 1), dtype=ends.dtype), ends])
    starts += length * np.arange(queries)[:, None]
    # The last stretch of each query, behind its last place, is not looked at; it may be empty, so
    # that the very last one would start behind the end.
    counted = np.zeros(order.size + 1, dtype=np.uint64)
    counts = np.empty((len(counters), *places.shape), dtype=np.uint64)
    for word, packed in enumerate(counters):
        packed.take(order.ravel(), out=counted[:-1], mode="clip")  # does not copy, unlike "raise"
        stretches = np.add.reduceat(counted, starts.ravel()).reshape(starts.shape)[:, :-1]
        np.put_along_axis(counts[word], ascending, stretches.cumsum(axis=1), axis=1)
    return counts
