"""Scores of image pairs and of searches: what a threshold accepts, by a protocol's rules.

*Verification* compares pairs: false-accept and false-reject rates (``error_rates``). *Open-set
identification* searches a gallery that may not hold the query's identity. Its rates depend on the
size of the gallery. Source of its terms: Grother, Ngan and Hanaoka, Face Recognition Vendor Test,
Part 2: Identification, NIST IR 8271, 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.error_rates import ErrorRates, OperatingPoint, error_rates_of_counts
from vireid.evaluation.evaluate import require_comparable
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.query_gallery import select_query_and_gallery
from vireid.structures import FeatureSet

STEP = 1e-5  # between two thresholds
BINS = 200_000  # of cosines, from −1 to 1
CHUNK = 2**22  # scores in memory at once
FALSE_ACCEPTS = (0.1, 0.01, 0.001)  # rates whose thresholds are always stated
FEWEST = 10  # expected false accepts; a rate that is known from fewer means little
MOST_IDENTITIES, DRAWS = 2_000, 1_000  # of the interval of a rate
FIRST = 10  # gallery images that count in a search


@dataclass(frozen=True, slots=True)
class SearchOutcomes:
    """What each of Q queries finds in the gallery.

    Args:
        best_other: (Q,) highest score of an image of another identity; −inf if there is none.
        best_match: (Q,) highest score of an image of the query's identity; −inf if there is none.
        rank: (Q,) place of that image among the gallery images, from 1; images of others with an
            equal score come before it. 0 for a query without a match.
    """

    best_other: np.ndarray
    best_match: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True, slots=True)
class IdentificationRates:
    """Open-set rates of a gallery at one threshold, in [0, 1].

    Args:
        false_positive: FPIR, the share of the queries without a match in the gallery that find any
            image at or above the threshold.
        false_negative: FNIR, the share of the queries with a match whose best match is below the
            threshold or not among the first images.
    """

    false_positive: float
    false_negative: float


def search_outcomes(scores: np.ndarray, same: np.ndarray, kept: np.ndarray) -> SearchOutcomes:
    """What queries find, from all scores.

    Args:
        scores: (Q, G).
        same: (Q, G) bool: both images show one identity.
        kept: (Q, G) bool: the protocol leaves the image in the query's list.
    """
    others = np.where(~same & kept, scores, -np.inf)
    match = np.where(same & kept, scores, -np.inf).max(axis=1, initial=-np.inf)
    ahead = (others >= match[:, None]).sum(axis=1)
    rank = np.where(np.isfinite(match), 1 + ahead, 0)
    return SearchOutcomes(others.max(axis=1, initial=-np.inf), match, rank)


def identification_rates(
    outcomes: SearchOutcomes, threshold: float, *, first: int = FIRST
) -> IdentificationRates:
    """FPIR and FNIR of one gallery.

    For FPIR every query counts, and its own identity is left out of the gallery for it. For FNIR
    the queries with a match count.

    Args:
        threshold: images with this score or a higher one are found.
        first: how many gallery images of a ranked list count.
    Raises:
        ValueError: no query, or none with a match.
    """
    mated = outcomes.rank > 0
    if not mated.any():
        raise ValueError("identification rates need at least one query with a match")
    found = (outcomes.best_match >= threshold) & (outcomes.rank <= first)
    return IdentificationRates(
        float(np.mean(outcomes.best_other >= threshold)), float(np.mean(~found[mated]))
    )


@dataclass(frozen=True, slots=True)
class Verification:
    """Scores of one protocol's pairs and searches.

    Args:
        identities: of the queries that have a match.
        queries, gallery: images.
        genuine, impostor: pairs of one identity, and of two.
        rates: at every :data:`STEP`.
        lowest, highest: threshold at or below the lowest score, and at or below the highest.
    """

    protocol: RetrievalProtocol
    identities: int
    queries: int
    gallery: int
    genuine: int
    impostor: int
    rates: ErrorRates
    outcomes: SearchOutcomes
    lowest: float
    highest: float

    def measurable(self, false_accept: float) -> bool:
        """Whether enough impostor pairs are expected to pass at this FAR."""
        return false_accept * self.impostor >= FEWEST

    def entry(
        self,
        false_accepts: Sequence[float],
        *,
        scores: Sequence[float] = (),
        first: int = FIRST,
    ) -> dict[str, Any]:
        """The protocol's entry of thresholds.json.

        Args:
            false_accepts: FARs whose operating points are listed.
            scores: thresholds whose operating points are listed, too.
            first: gallery images that count for FNIR.
        """
        points = [
            {"far": most, "measurable": self.measurable(most)}
            | self._point(self.rates.at_false_accept(most), first)
            for most in false_accepts
        ]
        points += [
            {"far": None, "measurable": True} | self._point(self._nearest(score), first)
            for score in scores
        ]
        protocol = self.protocol
        return {
            "query_modality": protocol.query_modality.name.lower(),
            "gallery_modality": protocol.gallery_modality.name.lower(),
            "identities": self.identities,
            "queries": self.queries,
            "gallery": self.gallery,
            "genuine_pairs": self.genuine,
            "impostor_pairs": self.impostor,
            "lowest_score": round(self.lowest, 5),
            "highest_score": round(self.highest, 5),
            "equal_error_rate": self.rates.equal_error_rate,
            "equal_error": self._point(self.rates.nearest_to_equal(), first),
            "first": first,
            "points": points,
            "curve": _columns(self.rates.thinned([point["threshold"] for point in points])),
        }

    def _nearest(self, score: float) -> OperatingPoint:
        """The point at the known threshold that is nearest to a score."""
        place = int(np.searchsorted(self.rates.thresholds, score - STEP / 2))
        return self.rates.at(min(place, len(self.rates.thresholds) - 1))

    def _point(self, point: OperatingPoint, first: int) -> dict[str, Any]:
        open_set = identification_rates(self.outcomes, point.threshold, first=first)
        return {
            "threshold": round(point.threshold, 5),
            "false_accept": point.false_accept,
            "false_reject": point.false_reject,
            "fpir": open_set.false_positive,
            "fnir": open_set.false_negative,
        }


def _columns(rates: ErrorRates) -> dict[str, list[float]]:
    return {
        "threshold": [round(value, 5) for value in rates.thresholds.tolist()],
        "false_accept": rates.false_accept.tolist(),
        "false_reject": rates.false_reject.tolist(),
    }


def verify(protocol: RetrievalProtocol, features: FeatureSet) -> Verification:
    """Compares every query of a protocol with every gallery image that it may hold, by cosine.

    Nothing is drawn: the gallery is all candidates. Images that the protocol removes from a query's
    list are not compared with it. Within one modality each pair counts once.

    Raises:
        DataError: no query or no gallery image, no pair of one identity, or none of two.
    """
    counts = {kind: np.zeros(BINS, dtype=np.int64) for kind in ("genuine", "impostor")}
    queries, gallery = select_query_and_gallery(protocol, features)
    outcomes = []
    for block in _blocks(protocol, features, queries, gallery):
        genuine, impostor = block.same & block.once, ~block.same & block.once
        counts["genuine"] += np.histogram(block.scores[genuine], BINS, (-1, 1))[0]
        counts["impostor"] += np.histogram(block.scores[impostor], BINS, (-1, 1))[0]
        outcomes.append(search_outcomes(block.scores, block.same, block.kept))
    found = SearchOutcomes(
        *(
            np.concatenate([getattr(one, name) for one in outcomes])
            for name in SearchOutcomes.__slots__
        )
    )
    identities = np.unique(features.pids[queries[found.rank > 0]])
    return _checked(protocol, counts, found, [len(identities), len(queries), len(gallery)])


def false_accept_intervals(
    protocol: RetrievalProtocol, features: FeatureSet, thresholds: Sequence[float]
) -> list[tuple[float, float]] | None:
    """Between which values the FAR of other people may be, with a probability of 95 %.

    The pairs of an identity are alike, so many pairs of few identities say little. Identities are
    drawn with replacement, and all pairs of two drawn ones count (source: Snijders and Borgatti,
    Non-parametric standard errors and tests for network statistics, 1999).

    Returns:
        for each threshold the lowest and the highest FAR; None with more than
        :data:`MOST_IDENTITIES`, where the interval is narrow and needs much memory.
    """
    queries, gallery = select_query_and_gallery(protocol, features)
    pids = np.unique(features.pids[np.concatenate([queries, gallery])])
    size = len(pids)
    if size > MOST_IDENTITIES:
        return None
    number = np.searchsorted(pids, features.pids)
    pairs = np.zeros((1 + len(thresholds), size * size), dtype=np.int64)
    for block in _blocks(protocol, features, queries, gallery):
        impostor = ~block.same & block.once
        codes = (number[queries[block.part], None] * size + number[gallery])[impostor]
        scores = block.scores[impostor]
        for row, least in enumerate([-1.0, *thresholds]):
            pairs[row] += np.bincount(codes[scores >= least], minlength=size * size)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(np.float64)
    total, *accepted = (
        np.einsum("rn,rn->r", drawn @ counts.reshape(size, size), drawn) for counts in pairs
    )
    drawn_any = total > 0
    rates = [one[drawn_any] / total[drawn_any] for one in accepted]
    return [tuple(np.quantile(one, (0.025, 0.975)).tolist()) for one in rates]


@dataclass(frozen=True, slots=True)
class _Block:
    """Scores of some queries, by their positions.

    Args:
        scores: (q, G), from −1 to 1.
        same: (q, G) bool: both images show one identity.
        kept: (q, G) bool: the image stays in the query's list.
        once: (q, G) bool: the kept images that make a new pair.
    """

    part: np.ndarray
    scores: np.ndarray
    same: np.ndarray
    kept: np.ndarray
    once: np.ndarray


def _blocks(
    protocol: RetrievalProtocol, features: FeatureSet, queries: np.ndarray, gallery: np.ndarray
) -> Iterator[_Block]:
    for name, used in (("query", queries), ("gallery", gallery)):
        require_comparable(features, {f"{protocol.name}: {name}": used})
    rows = distance_rows("cosine", features.features[queries], features.features[gallery])
    step = max(1, CHUNK // len(gallery))
    for start in range(0, len(queries), step):
        part = np.arange(start, min(start + step, len(queries)))
        own = queries[part, None]
        scores = np.clip(-rows(part), -1, 1)  # the project's cosine distance is −similarity
        same = features.pids[own] == features.pids[gallery]
        kept = own != gallery  # not its own image
        if protocol.drops_own_camera:
            kept &= ~same | (features.camids[own] != features.camids[gallery])
        within = protocol.query_modality is protocol.gallery_modality
        yield _Block(part, scores, same, kept, kept & (gallery > own) if within else kept)


def _checked(
    protocol: RetrievalProtocol,
    counts: dict[str, np.ndarray],
    outcomes: SearchOutcomes,
    sizes: Sequence[int],
) -> Verification:
    if not counts["genuine"].any():
        raise DataError(f"{protocol.name}: no query has a true match in the gallery")
    if not counts["impostor"].any():
        raise DataError(
            f"{protocol.name}: one identity only: a threshold between identities needs two"
        )
    edges = np.linspace(-1, 1, BINS + 1)
    occupied = np.flatnonzero(counts["genuine"] + counts["impostor"])
    lowest, highest = edges[occupied[[0, -1]]].tolist()
    edges[-1] += STEP  # a score of 1 is below it, so that it accepts no pair
    identities, queries, gallery = sizes
    return Verification(
        protocol,
        identities,
        queries,
        gallery,
        int(counts["genuine"].sum()),
        int(counts["impostor"].sum()),
        error_rates_of_counts(edges, counts["genuine"], counts["impostor"]),
        outcomes,
        lowest,
        highest,
    )
