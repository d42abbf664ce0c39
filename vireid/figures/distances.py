"""How far apart visible and infrared images of one identity are, and those of two identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.evaluate import require_comparable
from vireid.figures.style import COLORS, DOUBLE, SINGLE, drawn, tidy
from vireid.structures import FeatureSet, Modality, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHUNK = 2**22  # distances held at once
FINE, SHOWN = 6_000, 60  # bins that are counted, and about as many are drawn over what is there
KINDS = ("intra", "inter")
NAMES = {"intra": "same identity", "inter": "two identities"}
LABELS = {"cosine": "1 − cosine similarity", "euclidean": "Euclidean distance"}


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
        """How much farther two identities are apart than one from itself, on average."""
        return self.mean["inter"] - self.mean["intra"]


def distances(features: FeatureSet, *, metric: str = "cosine", name: str = "features") -> Distances:
    """Counts the distances of every visible image to every infrared one, some rows at a time.

    Where all images are of one modality, every two of them are a pair; those that only search are
    left out, since a gallery may hold copies of them.

    Args:
        metric: ``cosine`` (1 − similarity, 0 to 2) or ``euclidean``.
        name: of the features, for messages.
    Raises:
        DataError: no pair of one identity, or none of two; features without a distance.
    """
    single = is_single(features)
    if single and features.role is not None:
        features = features.subset(features.role != Role.QUERY)
    everything = np.arange(len(features))
    require_comparable(features, {name: everything}, metric)
    visible, infrared = (np.flatnonzero(features.modality == modality) for modality in Modality)
    if single:
        visible = infrared = everything
    _require_pairs(features, visible, infrared, name)
    numbers = features.features
    rows = distance_rows(metric, numbers[visible], numbers[infrared])
    edges = np.linspace(0, _largest(numbers, metric), FINE + 1)
    sums = {kind: _Sums(np.zeros(FINE, dtype=np.int64)) for kind in KINDS}
    step = max(1, CHUNK // len(infrared))
    for start in range(0, len(visible), step):
        part = np.arange(start, min(start + step, len(visible)))
        found = rows(part) + (metric == "cosine")  # the project's cosine distance is −similarity
        np.clip(found, 0, edges[-1], out=found)  # rounding may pass the ends
        same = features.pids[visible[part], None] == features.pids[infrared]
        pairs = infrared > visible[part, None] if single else np.ones_like(same)
        sums["intra"].add(found[same & pairs], edges)
        sums["inter"].add(found[~same & pairs], edges)
    return Distances(
        metric,
        edges,
        {kind: one.counts for kind, one in sums.items()},
        {kind: one.mean for kind, one in sums.items()},
        {kind: one.std for kind, one in sums.items()},
    )


def is_single(features: FeatureSet) -> bool:
    """Whether all images are of one modality."""
    return len(set(features.modality.tolist())) < 2


@dataclass(slots=True)
class _Sums:
    """Bins and moments of distances that come in parts."""

    counts: np.ndarray
    number: int = 0
    mean: float = 0.0
    spread: float = 0.0  # sum of squared deviations from the mean

    def add(self, values: np.ndarray, edges: np.ndarray) -> None:
        if not len(values):
            return
        self.counts += np.histogram(values, edges)[0]
        # Chan et al.: joins two parts' moments without the cancellation of sums of squares.
        mean, number = float(values.mean()), self.number + len(values)
        shift = mean - self.mean
        self.spread += float(np.square(values - mean).sum())
        self.spread += shift**2 * self.number * len(values) / number
        self.mean += shift * len(values) / number
        self.number = number

    @property
    def std(self) -> float:
        return float(np.sqrt(self.spread / self.number))


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


def _largest(numbers: np.ndarray, metric: str) -> float:
    """No distance is larger."""
    if metric == "cosine":
        return 2.0
    return 2.0 * float(np.sqrt(np.square(numbers.astype(np.float64)).sum(axis=1).max())) or 1.0


def shown_bins(found: Distances, limits: tuple[float, float]) -> dict[str, np.ndarray]:
    """Counts in wider bins over a stretch, and their edges.

    Returns:
        ``edges`` (b + 1,), and per kind the share of its pairs per unit of distance (b,).
    """
    first, last = np.searchsorted(found.edges, limits[0], "right") - 1, len(found.edges) - 1
    last = min(last, int(np.searchsorted(found.edges, limits[1])))
    width = max(1, -(-(last - first) // SHOWN))
    places = np.append(np.arange(first, last, width), min(last, FINE))
    edges = found.edges[places]
    shares = {}
    for kind, counts in found.counts.items():
        joined = np.add.reduceat(counts, places[:-1])
        joined[-1] = counts[places[-2] : places[-1]].sum()
        shares[kind] = joined / counts.sum() / np.diff(edges)
    return {"edges": edges, **shares}


def occupied(found: Distances) -> tuple[float, float]:
    """Edges between which all distances lie."""
    bins = np.flatnonzero(found.counts["intra"] + found.counts["inter"])
    return float(found.edges[bins[0]]), float(found.edges[bins[-1] + 1])


def draw_distances(runs: dict[str, Distances], path: Path) -> None:
    """A panel for each set of features; cosine distances on one axis, so that they compare.

    Args:
        runs: by title.
        path: PNG, PDF or SVG.
    """
    across = min(2, len(runs))
    down = -(-len(runs) // across)
    reach = {title: occupied(found) for title, found in runs.items()}
    if next(iter(runs.values())).metric == "cosine":
        whole = min(low for low, _ in reach.values()), max(high for _, high in reach.values())
        reach = dict.fromkeys(reach, whole)
    width = SINGLE if across == 1 else DOUBLE
    with drawn(path, width, 0.3 + 2.4 * down) as figure:
        fields = figure.subplots(down, across, squeeze=False).flatten()
        for axes, (title, found) in zip(fields, runs.items(), strict=False):
            _draw_panel(axes, found, reach[title])
            heading = f"{title}: gap {found.gap:.3f}" if len(runs) > 1 else f"gap {found.gap:.3f}"
            place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.03, 1)}
            axes.legend(title=heading, alignment="left", frameon=False, **place)
        for axes in fields[len(runs) :]:
            axes.remove()


def _draw_panel(axes: Axes, found: Distances, limits: tuple[float, float]) -> None:
    shown = shown_bins(found, limits)
    styles: Sequence[dict[str, Any]] = (
        {"color": COLORS[0], "linestyle": "-", "hatch": None},
        {"color": COLORS[1], "linestyle": "--", "hatch": "////"},
    )
    for kind, style in zip(KINDS, styles, strict=True):
        color, hatch = style["color"], style["hatch"]
        label = f"{NAMES[kind]}, mean {found.mean[kind]:.3f}"
        edge: dict[str, Any] = {"edgecolor": color, "linewidth": 0.8, "linestyle": "-"}
        face: dict[str, Any] = {"facecolor": "none" if hatch else color}
        if not hatch:
            face["alpha"] = 0.45
        axes.stairs(shown[kind], shown["edges"], fill=True, hatch=hatch, **edge, **face)
        line: dict[str, Any] = {"linestyle": style["linestyle"], "linewidth": 1.6}
        axes.axvline(found.mean[kind], color=color, label=label, **line)
    tidy(axes)
    axes.set_xlim(limits)
    axes.set_ylim(0, 1.05 * max(shown[kind].max() for kind in KINDS))
    axes.set_yticks([])
    axes.set_xlabel(LABELS[found.metric])
    axes.set_ylabel("share of pairs")
