"""Histograms of distances between visible and infrared images, of one identity and of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.error_rates import ErrorRates, OperatingPoint, error_rates_of_counts
from vireid.evaluation.evaluate import require_comparable
from vireid.evaluation.query_gallery import identified
from vireid.figures.names import wrapped
from vireid.figures.style import COLORS, drawn_panels, head, tidy
from vireid.structures import FeatureSet, Modality, Role

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

CHUNK = 2**22  # distances in memory at once
FINE, SHOWN = 6_000, 60  # bins that are counted, and about how many of their sums are drawn
KINDS = {"intra": "same identity", "inter": "different identities"}
FEW_FALSE_ACCEPTS = 0.01  # the rate of the second operating point that is stated
LABELS = {"cosine": "1 − cosine similarity", "euclidean": "Euclidean distance"}
EDGES: dict[str, dict[str, Any]] = {
    "intra": {"edgecolor": COLORS[0], "facecolor": COLORS[0], "alpha": 0.45},
    "inter": {"edgecolor": COLORS[1], "facecolor": "none", "hatch": "////"},
}
DASHES = {"intra": "-", "inter": "--"}


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances of all pairs of a visible and an infrared image; of any two images of one modality.

    Args:
        edges: (B + 1,) of the bins, ascending.
        counts: pairs in each bin, (B,), of one identity (``intra``) and of two (``inter``).
        mean, std: of the distances themselves, not of the bins.
    """

    metric: str
    edges: np.ndarray
    counts: dict[str, np.ndarray]
    mean: dict[str, float]
    std: dict[str, float]

    @property
    def gap(self) -> float:
        """Mean distance between two identities minus that within one."""
        return self.mean["inter"] - self.mean["intra"]

    def error_rates(self) -> ErrorRates:
        """Error rates of scores that are distances with their sign changed.

        A threshold is known to the width of a bin, a :data:`FINE`-th of all possible distances.
        """
        counts = {kind: self.counts[kind][::-1] for kind in KINDS}
        return error_rates_of_counts(-self.edges[::-1], counts["intra"], counts["inter"])

    def equal_error(self) -> tuple[float, OperatingPoint]:
        """EER, and the distance where FAR and FRR differ least, with both rates there."""
        rates = self.error_rates()
        return rates.equal_error_rate, as_distance(rates.nearest_to_equal())

    def few_false_accepts(self) -> OperatingPoint:
        """The largest distance with a FAR of at most :data:`FEW_FALSE_ACCEPTS`."""
        return as_distance(self.error_rates().at_false_accept(FEW_FALSE_ACCEPTS))

    @property
    def all_equal(self) -> bool:
        """Whether all distances lie in one bin: no threshold separates identities then."""
        return int(np.count_nonzero(self.counts["intra"] + self.counts["inter"])) == 1

    def describe(self) -> str:
        """Means, error rates and numbers of pairs, in words."""
        if self.all_equal:
            pairs = sum(int(counts.sum()) for counts in self.counts.values())
            return (
                f"all scores are equal: {pairs} pairs with a distance of {self.mean['intra']:.4f}, "
                "so that no threshold separates identities; did the model's training collapse?"
            )
        eer, equal = self.equal_error()
        few = self.few_false_accepts()
        kinds = [
            f"{name} {self.mean[kind]:.4f} ± {self.std[kind]:.4f} ({self.counts[kind].sum()} pairs)"
            for kind, name in KINDS.items()
        ]
        return (
            f"{', '.join(kinds)}, gap {self.gap:.4f}\n"
            f"  EER {100 * eer:.2f} %: pairs closer than {equal.threshold:.4f} accepted, "
            f"{_rates_text(equal)}\n"
            f"  at most {100 * FEW_FALSE_ACCEPTS:g} % false accepts: closer than "
            f"{few.threshold:.4f}, {_rates_text(few)}"
        )

    def occupied(self) -> tuple[float, float]:
        """Edges between which all distances lie."""
        bins = np.flatnonzero(self.counts["intra"] + self.counts["inter"])
        return float(self.edges[bins[0]]), float(self.edges[bins[-1] + 1])


def as_distance(point: OperatingPoint) -> OperatingPoint:
    """The same point, its threshold a distance: pairs that are closer are accepted."""
    return replace(point, threshold=abs(point.threshold))


def _rates_text(point: OperatingPoint) -> str:
    accepts, rejects = 100 * point.false_accept, 100 * point.false_reject
    return f"false accepts {accepts:.2f} %, false rejects {rejects:.2f} %"


def is_single(features: FeatureSet) -> bool:
    """Whether all images are of one modality."""
    return len(np.unique(features.modality)) < 2


def distances(features: FeatureSet, *, metric: str = "cosine", name: str = "features") -> Distances:
    """Counts the distances of every visible image to every infrared one, some rows at a time.

    Where all images are of one modality, every two of them are a pair. Images that can only be
    queries are left out then, because a gallery may hold copies of them. Junk and distractors,
    which show no known identity, are left out, too.

    Args:
        metric: ``cosine`` (1 − similarity, 0 to 2) or ``euclidean``.
        name: of the features, for messages.
    Raises:
        DataError: no pair of one identity, or none of two; features without a distance.
    """
    features = identified(features)
    single = is_single(features)
    if single and features.role is not None:
        features = features.subset(features.role != Role.QUERY)
    everything = np.arange(len(features))
    require_comparable(features, {name: everything}, metric)
    visible, infrared = (np.flatnonzero(features.modality == modality) for modality in Modality)
    if single:
        visible = infrared = everything
    _require_pairs(features, visible, infrared, name)
    rows = distance_rows(metric, features.features[visible], features.features[infrared])
    edges = np.linspace(0, _upper_bound(features.features, metric), FINE + 1)
    moments = {kind: _Moments(np.zeros(FINE, dtype=np.int64)) for kind in KINDS}
    step = max(1, CHUNK // len(infrared))
    for start in range(0, len(visible), step):
        part = np.arange(start, min(start + step, len(visible)))
        found = rows(part) + (metric == "cosine")  # the project's cosine distance is −similarity
        np.clip(found, 0, edges[-1], out=found)  # rounding may pass the ends
        same = features.pids[visible[part], None] == features.pids[infrared]
        pairs = infrared > visible[part, None] if single else np.ones_like(same)
        moments["intra"].add(found[same & pairs], edges)
        moments["inter"].add(found[~same & pairs], edges)
    return Distances(
        metric,
        edges,
        {kind: one.counts for kind, one in moments.items()},
        {kind: one.mean for kind, one in moments.items()},
        {kind: float(np.sqrt(one.deviations / one.number)) for kind, one in moments.items()},
    )


@dataclass(slots=True)
class _Moments:
    """Histogram and moments of values that come in parts."""

    counts: np.ndarray
    number: int = 0
    mean: float = 0.0
    deviations: float = 0.0  # sum of squared deviations from the mean

    def add(self, values: np.ndarray, edges: np.ndarray) -> None:
        """Joins two parts' moments without the cancellation of sums of squares.

        Source: Chan, Golub and LeVeque, 1983.
        """
        if not len(values):
            return
        self.counts += np.histogram(values, edges)[0]
        mean, number = float(values.mean()), self.number + len(values)
        shift = mean - self.mean
        self.deviations += float(np.square(values - mean).sum())
        self.deviations += shift**2 * self.number * len(values) / number
        self.mean += shift * len(values) / number
        self.number = number


def _require_pairs(
    features: FeatureSet, visible: np.ndarray, infrared: np.ndarray, name: str
) -> None:
    seen, found = set(features.pids[visible].tolist()), set(features.pids[infrared].tolist())
    if len(seen | found) == 1:
        raise DataError(f"{name}: one identity only: distances between identities need two")
    if not seen & found:
        raise DataError(f"{name}: no identity has both a visible and an infrared image")
    if visible is infrared and len(seen) == len(visible):
        raise DataError(f"{name}: no identity has two images")


def _upper_bound(features: np.ndarray, metric: str) -> float:
    if metric == "cosine":
        return 2.0
    return 2.0 * float(np.sqrt(np.square(features.astype(np.float64)).sum(axis=1).max())) or 1.0


def shown_bins(found: Distances, limits: tuple[float, float]) -> dict[str, np.ndarray]:
    """Joins the fine bins from one limit to another into about :data:`SHOWN` equally wide ones.

    Returns:
        ``edges`` (b + 1,), and per kind the share of its pairs per unit of distance (b,).
    """
    first = int(np.searchsorted(found.edges, limits[0], "right")) - 1
    last = min(int(np.searchsorted(found.edges, limits[1])), FINE)
    width = max(1, -(-(last - first) // SHOWN))
    number = -(-(last - first) // width)
    first = min(first, FINE - number * width)  # room for the last bin: a narrow one would be high
    fine = slice(first, first + number * width)
    edges = found.edges[first : fine.stop + 1 : width]
    shares = {
        kind: counts[fine].reshape(number, width).sum(axis=1) / counts.sum() / np.diff(edges)
        for kind, counts in found.counts.items()
    }
    return {"edges": edges, **shares}


def draw_distances(runs: Mapping[str, Distances], path: Path) -> None:
    """A panel for each set of features by title; cosine distances share their limits."""
    limits = {title: found.occupied() for title, found in runs.items()}
    if next(iter(runs.values())).metric == "cosine":
        lowest, highest = zip(*limits.values(), strict=True)
        limits = dict.fromkeys(runs, (min(lowest), max(highest)))
    with drawn_panels(path, len(runs), height=2.6, fill=True) as (_, panels):
        for axes, (title, found) in zip(panels, runs.items(), strict=True):
            (heading,) = wrapped([title if len(runs) > 1 else ""], 46)
            _draw_panel(axes, found, limits[title], heading)


def _draw_panel(axes: Axes, found: Distances, limits: tuple[float, float], title: str) -> None:
    shown = shown_bins(found, limits)
    width = float(shown["edges"][1] - shown["edges"][0])
    for kind, color in zip(KINDS, COLORS, strict=False):
        shares = 100 * width * shown[kind]
        axes.stairs(shares, shown["edges"], fill=True, linewidth=0.8, **EDGES[kind])
        axes.axvline(found.mean[kind], color=color, linestyle=DASHES[kind], linewidth=1.0)
    eer, equal = found.equal_error()
    if not found.all_equal:
        axes.axvline(equal.threshold, color="black", linestyle="-.", linewidth=1.6)
    tidy(axes)
    axes.set_xlim(shown["edges"][0], shown["edges"][-1])
    axes.locator_params(axis="x", nbins=5)  # room for many digits
    axes.set_ylim(0, 105 * width * max(shown[kind].max() for kind in KINDS))
    axes.set_xlabel(LABELS[found.metric])
    axes.set_ylabel(f"% of pairs per {width:.2g}")
    names = [f"{name}, mean {found.mean[kind]:.3f}" for kind, name in KINDS.items()]
    names.append(
        f"EER {100 * eer:.1f} % at {equal.threshold:.3f} "
        f"(false accepts {100 * equal.false_accept:.1f} %)"
    )
    if found.all_equal:
        names[-1] = "all scores are equal: no threshold"
    head(axes, title, _legend_marks(), names, columns=1)


def _legend_marks() -> list[Artist]:
    """Of both histograms with their means, and of the threshold."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars: list[Artist] = [Patch(linewidth=0.8, **EDGES[kind]) for kind in KINDS]
    return [*bars, Line2D([], [], color="black", linestyle="-.", linewidth=1.6)]
