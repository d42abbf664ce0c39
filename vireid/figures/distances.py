"""Histograms of distances between visible and infrared images: same identity and two identities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.evaluate import require_comparable
from vireid.evaluation.identities import identified
from vireid.figures.style import COLORS, drawn_panels, tidy
from vireid.structures import FeatureSet, Modality, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHUNK = 2**22  # distances in memory at once
FINE, SHOWN = 6_000, 60  # bins that are counted, and about how many of their sums are drawn
KINDS = {"intra": "same identity", "inter": "two identities"}
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

    def occupied(self) -> tuple[float, float]:
        """Edges between which all distances lie."""
        bins = np.flatnonzero(self.counts["intra"] + self.counts["inter"])
        return float(self.edges[bins[0]]), float(self.edges[bins[-1] + 1])


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
    """Joins the fine bins between two limits into about :data:`SHOWN` wider ones.

    Returns:
        ``edges`` (b + 1,), and per kind the share of its pairs per unit of distance (b,).
    """
    first = int(np.searchsorted(found.edges, limits[0], "right")) - 1
    last = min(int(np.searchsorted(found.edges, limits[1])), len(found.edges) - 1)
    width = max(1, -(-(last - first) // SHOWN))
    places = np.append(np.arange(first, last, width), last)
    edges = found.edges[places]
    shares = {
        kind: np.add.reduceat(counts[:last], places[:-1]) / counts.sum() / np.diff(edges)
        for kind, counts in found.counts.items()
    }
    return {"edges": edges, **shares}


def draw_distances(runs: Mapping[str, Distances], path: Path) -> None:
    """A panel for each set of features by title; cosine distances share their limits."""
    limits = {title: found.occupied() for title, found in runs.items()}
    if next(iter(runs.values())).metric == "cosine":
        lowest, highest = zip(*limits.values(), strict=True)
        limits = dict.fromkeys(runs, (min(lowest), max(highest)))
    with drawn_panels(path, len(runs), height=2.4) as (_, panels):
        for axes, (title, found) in zip(panels, runs.items(), strict=True):
            _draw_panel(axes, found, limits[title])
            heading = f"{title}: gap {found.gap:.3f}" if len(runs) > 1 else f"gap {found.gap:.3f}"
            place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.03, 1)}
            axes.legend(title=heading, alignment="left", frameon=False, **place)


def _draw_panel(axes: Axes, found: Distances, limits: tuple[float, float]) -> None:
    shown = shown_bins(found, limits)
    for (kind, name), color in zip(KINDS.items(), COLORS, strict=False):
        axes.stairs(shown[kind], shown["edges"], fill=True, linewidth=0.8, **EDGES[kind])
        label = f"{name}, mean {found.mean[kind]:.3f}"
        axes.axvline(
            found.mean[kind], color=color, label=label, linestyle=DASHES[kind], linewidth=1.6
        )
    tidy(axes)
    axes.set_xlim(limits)
    axes.set_ylim(0, 1.05 * max(shown[kind].max() for kind in KINDS))
    axes.set_yticks([])
    axes.set_xlabel(LABELS[found.metric])
    axes.set_ylabel("share of pairs")
