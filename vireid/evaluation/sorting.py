"""Candidates in the order of their cosine distance: float32 products, float64 where it matters.

Scores only depend on which other candidates stand before a query's true matches. The matches'
distances are computed in float64. The others' come from a product in float32, which takes half the
time; its error is measured, and whatever is not farther from a match than several times that error
is compared with it in float64. So the ranks are those of float64 distances.

No bound that holds for certain would do: summing D products may lose D rounding errors, 2e-4 for
D = 3,328, and thousands of candidates are as near as that. What happens is a ten-thousandth of it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np

from vireid.evaluation.distance import Rows, distance_rows, processors, unit_rows
from vireid.evaluation.ranking import Orders, Sorting, groups, stable_order

BLOCK = 64  # rows that a thread normalises, or sorts, at once
SAMPLED = 32  # candidates whose error is measured beside the matches'
SAFETY = 8  # times the largest error measured
LEAST = 2.0**-22  # bound on the error of a float32 distance, however small the measured ones
LONGEST = 64  # candidates in doubt on one side of a match: with more, the query is sorted anew
MANY = 1 / 32  # and with more than this share of all: pair by pair would take longer than a product


def cosine_sorting(
    features: np.ndarray, pids: np.ndarray, queries: np.ndarray, candidates: np.ndarray
) -> Sorting:
    """Sorts candidates by cosine distance so that every match's rank is exact.

    The order of two candidates of other identities than the query's may be wrong.

    Args:
        features, pids: (N, D), (N,) of all images.
        queries, candidates: (Q,), (C,) rows of them; equally near candidates keep their order.
    """
    units, lengths = _units(features, candidates)

    def sorting(columns: np.ndarray) -> Orders:
        chosen = units if len(columns) == len(units) else units[columns]
        rows = candidates[columns]
        return _Sorter(features, pids, queries, rows, chosen, lengths[columns]).orders

    return sorting


@dataclass(frozen=True)
class _Sorter:
    """Sorts candidates for some queries.

    Args:
        features, pids: (N, D), (N,) of all images.
        queries, candidates: (Q,), (C,) rows of them.
        units: (C, D) float32 candidates of length 1.
        lengths: (C,) float64 lengths that they had; 1 for a row of zeros.
    """

    features: np.ndarray
    pids: np.ndarray
    queries: np.ndarray
    candidates: np.ndarray
    units: np.ndarray
    lengths: np.ndarray
    lock: Lock = field(default_factory=Lock)

    def orders(self, rows: np.ndarray) -> np.ndarray:
        """(n, C) columns by distance from n queries."""
        queries = unit_rows(self.features[self.queries[rows]])
        np.negative(queries, out=queries)
        distances = queries.astype(np.float32) @ self.units.T
        error = self._meet_matches(rows, queries, distances)
        keys = _sorted_keys(distances)
        order = keys & 0xFFFFFFFF
        where = self._places_of_matches(rows, order)
        first, last, lost = _in_doubt(keys, *where, error)
        again = np.bincount(where[0], last - first, len(rows)) > MANY * order.shape[1]
        again[where[0][lost]] = True
        kept = (first < last) & ~again[where[0]]
        bounds = where[0][kept], first[kept], last[kept]
        if not self._settle(queries, keys, order, bounds, error):
            again[:] = True
        if again.any():
            with self.lock:  # two threads would both prepare it
                exactly = self._exactly
            order[again] = stable_order(exactly(rows[again]))
        return order

    @cached_property
    def _exactly(self) -> Rows:
        """Float64 distances; seldom needed."""
        return distance_rows("cosine", self.features[self.queries], self.features[self.candidates])

    def _meet_matches(self, rows: np.ndarray, queries: np.ndarray, distances: np.ndarray) -> float:
        """Puts the matches' float64 distances among the others; how far off one may be."""
        sampled = np.linspace(0, len(self.candidates) - 1, SAMPLED).astype(np.int64)
        largest = np.abs(self._distances(queries, sampled) - distances[:, sampled]).max()
        pids = self.pids[self.queries[rows]]
        for group in groups(pids):
            matches = self._matches(pids[group.start])
            if len(matches):
                true = self._distances(queries[group], matches)
                largest = max(largest, np.abs(true - distances[group, matches]).max())
                distances[group, matches] = true
        return max(SAFETY * float(largest), LEAST)

    def _distances(self, queries: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(n, m) float64, for candidates of any number; equal ones may differ in the last digit."""
        found = queries @ self.features[self.candidates[columns]].astype(np.float64).T
        found /= self.lengths[columns]
        return np.asarray(found)

    def _matches(self, pid: int) -> np.ndarray:
        return np.flatnonzero(self._pids_of_candidates == pid)

    @cached_property
    def _pids_of_candidates(self) -> np.ndarray:
        return self.pids[self.candidates]

    def _places_of_matches(
        self, rows: np.ndarray, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which query, and which place in its order, of every match."""
        pids = self.pids[self.queries[rows]]
        asking, places = [], []
        for group in groups(pids):
            hit = (self._pids_of_candidates == pids[group.start]).take(order[group])
            query, place = np.nonzero(hit)
            asking.append(query + group.start)
            places.append(place)
        return np.concatenate(asking), np.concatenate(places)

    def _settle(
        self,
        queries: np.ndarray,
        keys: np.ndarray,
        order: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray, np.ndarray],
        error: float,
    ) -> bool:
        """Sorts stretches of the order by float64 distances.

        Args:
            bounds: query, first and last place of each stretch.
        Returns:
            whether the float32 distances there were no farther off than half of ``error``.
        """
        if not len(bounds[0]):
            return True
        # Two matches in one stretch name it twice.
        _, unique = np.unique(bounds[0] * order.shape[1] + bounds[1], return_index=True)
        query, first, last = (bound[unique] for bound in bounds)
        numbers = last - first + 1
        stretch = np.repeat(np.arange(len(numbers)), numbers)
        starts = np.cumsum(numbers) - numbers
        places = first[stretch] + np.arange(len(stretch)) - starts[stretch]
        asking = query[stretch]
        columns, true = order[asking, places], np.empty(len(places))
        for group in groups(asking):
            chosen = columns[group]
            found = self.features[self.candidates[chosen]].astype(np.float64)
            # Not a matrix product: the sum of a row must not depend on its place.
            products = np.einsum("nd,d->n", found, queries[asking[group.start]])
            true[group] = products / self.lengths[chosen]
        order[asking, places] = columns[np.lexsort((columns, true, stretch))]
        return bool(np.abs(_values(keys[asking, places]) - true).max() <= error / 2)


def _units(features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, D) float32 rows of length 1, and (n,) float64 lengths, 1 for a row of zeros."""
    units = np.empty((len(rows), features.shape[1]), dtype=np.float32)
    lengths = np.empty(len(rows))

    def fill(start: int) -> None:
        part = slice(start, start + BLOCK)
        exact = features[rows[part]].astype(np.float64)
        found = np.sqrt(np.einsum("nd,nd->n", exact, exact))
        lengths[part] = np.where(found > 0, found, 1)
        np.divide(exact, lengths[part, None], out=units[part], casting="same_kind")

    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(fill, range(0, len(rows), BLOCK)))
    return units, lengths


def _sorted_keys(distances: np.ndarray) -> np.ndarray:
    """(n, C) int64 ascending: a float32 distance's bits above the number of its column.

    Whole numbers are sorted in a third of the time that sorting their indices would take.
    ``distances`` is lost.
    """
    keys, columns = np.empty(distances.shape, dtype=np.int64), np.arange(distances.shape[1])
    for start in range(0, len(keys), BLOCK):  # few enough to stay in the cache
        bits, part = distances[start : start + BLOCK].view(np.int32), keys[start : start + BLOCK]
        bits ^= (bits >> 31) & 0x7FFFFFFF  # negative ones would ascend the other way
        part[:] = bits
        part <<= 32
        part |= columns
        part.sort(axis=1)
    return keys


def _values(keys: np.ndarray) -> np.ndarray:
    """The float32 distances of keys."""
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return bits.view(np.float32)


def _in_doubt(
    keys: np.ndarray, asking: np.ndarray, places: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last place of the stretch around each match in which neighbours are too near.

    Returns:
        (M,) first, (M,) last, (M,) bool: the stretch is longer than was looked at.
    """
    first, lost_before = _walk(keys, asking, places, error, lambda at: at - 1)
    last, lost_behind = _walk(keys, asking, places, error, lambda at: at + 1)
    return first, last, lost_before | lost_behind


def _walk(
    keys: np.ndarray,
    asking: np.ndarray,
    places: np.ndarray,
    error: float,
    step: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Last place on one side of each match to which no gap is wider than the error."""
    reached, active = places.copy(), np.arange(len(places))
    for _ in range(LONGEST):
        following = step(reached[active])
        inside = (following >= 0) & (following < keys.shape[1])
        active, following = active[inside], following[inside]
        query = asking[active]
        here, there = _values(keys[query, reached[active]]), _values(keys[query, following])
        near = np.abs(there.astype(np.float64) - here) <= error
        active, following = active[near], following[near]
        reached[active] = following
        if not len(active):
            break
    lost = np.zeros(len(places), dtype=bool)
    lost[active] = True
    return reached, lost
