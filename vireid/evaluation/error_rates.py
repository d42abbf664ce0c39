"""False-accept and false-reject rates: does one threshold separate identities?

A pair of images is *genuine* where both show one identity, else an *impostor*. A score is higher
where two images are more alike: a cosine similarity, or a distance with its sign changed. A pair is
accepted where its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The error rates at one threshold.

    Args:
        threshold: pairs with this score or a higher one are accepted.
        false_accept: share of impostor pairs that are accepted (FAR), in [0, 1].
        false_reject: share of genuine pairs that are rejected (FRR), in [0, 1].
    """

    threshold: float
    false_accept: float
    false_reject: float


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """The error rates at every threshold.

    Args:
        thresholds: (T,) ascending.
        false_accept: (T,) of impostor pairs, never rising; the last is 0.
        false_reject: (T,) of genuine pairs, never falling; the first is 0.
    """

    thresholds: np.ndarray
    false_accept: np.ndarray
    false_reject: np.ndarray

    def at(self, position: int) -> OperatingPoint:
        """The rates at the n-th threshold."""
        arrays = (self.thresholds, self.false_accept, self.false_reject)
        return OperatingPoint(*(float(values[position]) for values in arrays))

    @property
    def equal_error_rate(self) -> float:
        """EER, in [0, 1]: where FAR = FRR on the curve, straight between two thresholds."""
        gap = self.false_accept - self.false_reject  # falls from 1 to −1
        after = int(np.argmax(gap <= 0))
        before = after - 1
        share = gap[before] / (gap[before] - gap[after])
        rise = self.false_accept[after] - self.false_accept[before]
        return float(self.false_accept[before] + share * rise)

    def nearest_to_equal(self) -> OperatingPoint:
        """The threshold where FAR and FRR differ least; of several, the highest."""
        gap = np.abs(self.false_accept - self.false_reject)
        return self.at(len(gap) - 1 - int(np.argmin(gap[::-1])))

    def at_false_accept(self, most: float) -> OperatingPoint:
        """The lowest threshold whose FAR is at most ``most``: the fewest false rejects there."""
        return self.at(int(np.argmax(self.false_accept <= most)))

    def thinned(self, keep: Sequence[float] = (), most: int = 200) -> ErrorRates:
        """A part of the thresholds, between which the rates are nearly straight.

        The steps between two rates are equal on a logarithmic scale, for false accepts and for
        false rejects alike, as the small ones matter most.

        Args:
            keep: thresholds that stay, such as those of operating points.
            most: thresholds of the result.
        """
        accepted, rejected = self.false_accept, self.false_reject
        ends = [np.flatnonzero((accepted == 1) & (rejected == 0))[-1]]
        ends += [np.flatnonzero((accepted == 0) & (rejected == 1))[0]]
        middle = (self.thresholds[1:] + self.thresholds[:-1]) / 2
        kept = np.searchsorted(middle, keep)  # the nearest ones
        steps = (most - len(ends) - len(kept)) // 2
        falling, rising = (_logarithmic(rates, steps) for rates in (accepted, rejected))
        chosen = [np.searchsorted(-accepted, -falling), np.searchsorted(rejected, rising)]
        places = np.unique(np.concatenate([ends, kept, *chosen]).astype(np.int64))
        places = places[(places >= ends[0]) & (places <= ends[1])]
        return ErrorRates(*(one[places] for one in (self.thresholds, accepted, rejected)))

    def interpolated(self, threshold: float) -> OperatingPoint:
        """The rates at any threshold, straight between two known ones.

        Below the first threshold all pairs are accepted, above the last one none.
        """
        places = self.thresholds
        return OperatingPoint(
            threshold,
            float(np.interp(threshold, places, self.false_accept)),
            float(np.interp(threshold, places, self.false_reject)),
        )


def _logarithmic(rates: np.ndarray, steps: int) -> np.ndarray:
    """(steps,) rates from the smallest that is not 0 up to 1."""
    return np.geomspace(rates[rates > 0].min(), 1, steps)


def error_rates(genuine: np.ndarray, impostor: np.ndarray) -> ErrorRates:
    """Exact rates; the thresholds are all scores, and the next number above, which accepts no pair.

    Sorts all scores; for more than about 10^7 pairs use :func:`error_rates_of_counts`.

    Args:
        genuine: (G,) scores of pairs of one identity; higher = more alike.
        impostor: (I,) scores of pairs of different identities.
    Raises:
        ValueError: an array is empty, or holds a number that is not finite.
    """
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if not len(scores) or not np.isfinite(scores).all():
            raise ValueError(f"error rates need finite scores of at least one {name} pair")
    values = np.unique(np.concatenate([genuine, impostor]))
    counts = [
        np.bincount(np.searchsorted(values, scores), minlength=len(values))
        for scores in (genuine, impostor)
    ]
    return error_rates_of_counts(np.append(values, np.nextafter(values[-1], np.inf)), *counts)


def error_rates_of_counts(
    thresholds: np.ndarray, genuine: np.ndarray, impostor: np.ndarray
) -> ErrorRates:
    """Rates from histograms, for pairs that memory does not hold.

    The rates at an edge are exact. Between two edges no threshold is looked at: a threshold is
    known to the width of a bin, the EER to the larger share of pairs that the bin at it holds.

    Args:
        thresholds: (B + 1,) edges of the bins, ascending.
        genuine: (B,) pairs of one identity with a score from an edge up to the next.
        impostor: (B,) pairs of different identities.
    Raises:
        ValueError: no pair of one kind.
    """
    below = {}
    for name, counts in (("genuine", genuine), ("impostor", impostor)):
        below[name] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        if below[name][-1] == 0:
            raise ValueError(f"error rates need at least one {name} pair")
    accepted, rejected = below["impostor"][-1] - below["impostor"], below["genuine"]
    return ErrorRates(
        np.asarray(thresholds, dtype=np.float64), accepted / accepted[0], rejected / rejected[-1]
    )
