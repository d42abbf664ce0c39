"""Candidates in the order of their distance from a query.

By cosine the order comes from a matrix product in float32, which takes half the time of float64.
Scores depend only on which candidates stand before a query's true matches, so candidates that are
as near to a match as float32 can err are compared with it again, in float64. The ranks are those
of float64 distances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from threading import Lock

import numpy as np

from vireid.evaluation.distance import Rows, distance_rows, unit_rows

BLOCK = 64  # queries, features or pairs that are handled at once: so few fit into the cache
SAMPLED = 8  # every eighth query's errors are measured
SAFETY = 8  # times the largest error measured
LEAST = 2.0**-22  # of a float32 distance's assumed error, however small the measured ones
MANY = 1 / 32  # of the candidates in doubt: with more, a product takes less time than single pairs
Ordered = tuple[np.ndarray, np.ndarray]  # (n,) query rows, (n, C) columns by distance
Orders = Callable[[np.ndarray], Iterator[Ordered]]  # of any query rows, some at a time
Sorting = Callable[[np.ndarray], Orders]  # of some candidates, which are those columns


def stable_order(distances: np.ndarray) -> np.ndarray:
    """(n, C) columns by distance, equal ones in their order."""
    order = np.argsort(distances, axis=1)  # several times faster than a stable sort
    ranked = np.take_along_axis(distances, order, axis=1)
    tied = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
    if tied.any():
        order[tied] = np.argsort(distances[tied], axis=1, kind="stable")
    return order


def stable_sorting(distances: Rows) -> Sorting:
    """Sorts candidates by the (n, C) float64 distances of some queries to all of them."""
    return lambda columns: lambda rows: _stable_orders(rows, distances(rows)[:, columns])


def cosine_sorting(
    features: np.ndarray, pids: np.ndarray, queries: np.ndarray, candidates: np.ndarray
) -> Sorting:
    """Sorts candidates by cosine distance; see ``CosineOrder``."""
    return lambda columns: CosineOrder(features, pids, queries, candidates[columns])


def _stable_orders(rows: np.ndarray, distances: np.ndarray) -> Iterator[Ordered]:
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        yield rows[block], stable_order(distances[block])


class CosineOrder:
    """Orders candidates by cosine distance; every match has its exact place.

    The order of two candidates of other identities than the query's may be wrong. Equally near
    candidates keep their order.

    Args:
        features, pids: (N, D), (N,) of all images.
        queries, candidates: (Q,), (C,) rows of them.
    """

    def __init__(
        self, features: np.ndarray, pids: np.ndarray, queries: np.ndarray, candidates: np.ndarray
    ) -> None:
        self._features, self._queries, self._candidates = features, queries, candidates
        self._query_pids, self._candidate_pids = pids[queries], pids[candidates]
        self._units = np.empty((len(candidates), features.shape[1]), dtype=np.float32)
        for start in range(0, len(candidates), BLOCK):
            block = slice(start, start + BLOCK)
            self._units[block] = unit_rows(features[candidates[block]])
        self._lock = Lock()

    def __call__(self, rows: np.ndarray) -> Iterator[Ordered]:
        queries = unit_rows(self._features[self._queries[rows]])
        np.negative(queries, out=queries)
        distances = queries.astype(np.float32) @ self._units.T
        left = []
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            order, settled = self._order(rows[block], queries[block], distances[block])
            yield rows[block][settled], order[settled]
            left.append(rows[block][~settled])
        if any(map(len, left)):
            with self._lock:  # two threads would both prepare it
                exact_distances = self._exact_distances
            rows = np.concatenate(left)
            yield from _stable_orders(rows, exact_distances(rows))

    def _order(
        self, rows: np.ndarray, queries: np.ndarray, distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n, C) columns by distance, and (n,) bool: the order of that query is right."""
        order = np.argsort(distances, axis=1)
        error = self._error(queries, distances, order)
        query, place, stretch = _near_ties(np.take_along_axis(distances, order, axis=1), error)
        matches = self._candidate_pids[order[query, place]] == self._query_pids[rows[query]]
        pairs = np.where(matches, np.bincount(stretch)[stretch] - 1, 0)
        settled = np.bincount(query, pairs, len(rows)) <= MANY * order.shape[1]
        chosen = np.isin(stretch, stretch[matches]) & settled[query]
        query, place, stretch = query[chosen], place[chosen], stretch[chosen]
        columns = order[query, place]
        exact = self._exact_pairs(queries, query, columns)
        order[query, place] = columns[np.lexsort((columns, exact, stretch))]
        if np.abs(exact - distances[query, columns]).max(initial=0) > error / 2:
            settled[:] = False  # the error is larger than assumed
        return order, settled

    @cached_property
    def _exact_distances(self) -> Rows:
        """In float64; seldom needed."""
        features = self._features
        queries, candidates = features[self._queries], features[self._candidates]
        return distance_rows("cosine", queries, candidates)

    def _error(self, queries: np.ndarray, distances: np.ndarray, order: np.ndarray) -> float:
        """Assumed error of a float32 distance, from a sample of nearest and farthest candidates.

        A bound that holds for certain, 2e-4 for 3,328 dimensions, would put thousands of
        candidates in doubt; errors are a ten-thousandth of it.
        """
        query = np.repeat(np.arange(0, len(queries), SAMPLED), 2)
        columns = order[::SAMPLED, [0, -1]].ravel()
        exact = self._exact_pairs(queries, query, columns)
        return max(SAFETY * float(np.abs(exact - distances[query, columns]).max()), LEAST)

    def _exact_pairs(
        self, queries: np.ndarray, query: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        """(P,) float64 distances of pairs, equal for equal candidates."""
        exact = np.empty(len(query))
        for start in range(0, len(query), BLOCK):
            block = slice(start, start + BLOCK)
            found = self._features[self._candidates[columns[block]]].astype(np.float64)
            lengths = np.sqrt(np.einsum("pd,pd->p", found, found))
            # Not a matrix product: the sum of a row must not depend on its place.
            products = np.einsum("pd,pd->p", found, queries[query[block]])
            exact[block] = products / np.where(lengths > 0, lengths, 1)
        return exact


def _near_ties(ranked: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates that float32 does not tell from their neighbours.

    Args:
        ranked: (n, C) ascending distances.
        error: largest difference of neighbours that are near ties.
    Returns:
        (P,) query; (P,) place in its order; (P,) number of the stretch of near ties, ascending.
    """
    near = np.zeros((len(ranked), ranked.shape[1] + 1), dtype=bool)  # to the one before
    near[:, 1:-1] = np.diff(ranked, axis=1) <= error
    query, place = np.nonzero(near[:, :-1] | near[:, 1:])
    return query, place, np.cumsum(~near[query, place])
