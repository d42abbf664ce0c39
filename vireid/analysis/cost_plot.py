"""The picture of what networks score over what they cost."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vireid.analysis.cost import Cost
from vireid.analysis.cost_scores import Point
from vireid.analysis.style import COLORS, DOUBLE, drawn, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

METRICS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
MARKERS = "os^DvPX*<>"
LONG_LABEL = 46  # characters that half the width holds
FAR_APART = 20  # from this ratio of the highest cost to the lowest on, the axis is logarithmic


def _first_time(cost: Cost) -> float:
    return next(iter(cost.times.values())).median_ms


# What stands below the axis, and the number of a network
AXES: Mapping[str, tuple[str, Callable[[Cost], float]]] = {
    "macs": ("multiply-accumulates per image (M)", lambda cost: cost.macs / 1e6),
    "parameters": ("deployed parameters (M)", lambda cost: cost.parameters / 1e6),
    "latency": ("milliseconds per image", _first_time),
}


def draw_scatter(points: Sequence[Point], path: Path, *, protocol: str, over: str) -> None:
    """Rank-1 and mAP over cost; bars are standard deviations over runs.

    Args:
        protocol: what the scores are of.
        over: a key of :data:`AXES`; times are those of the first runtime and batch.
        path: PNG, PDF or SVG.
    """
    labels = [_label(point, points) for point in points]
    columns = 2 if max(map(len, labels)) <= LONG_LABEL else 1
    lines = sum(text.count("\n") + 1 for text in labels) / columns
    title = protocol + ("; bars: std over runs" if any(p.runs > 1 for p in points) else "")
    with drawn(path, DOUBLE, 2.9 + 0.17 * lines) as figure:
        for axes, metric in zip(figure.subplots(1, 2), METRICS, strict=True):
            handles = _draw_panel(axes, points, metric=metric, over=over)
        style = {"ncols": columns, "title": title, "frameon": False}
        figure.legend(handles, labels, loc="outside upper center", **style)


def _draw_panel(
    axes: Axes, points: Sequence[Point], *, metric: str, over: str
) -> list[ErrorbarContainer]:
    """Draws a mark for each network, and returns them in that order."""
    label, cost_of = AXES[over]
    at = [cost_of(point.cost) for point in points]
    names = list(dict.fromkeys(point.cost.subject.name for point in points))
    marks = [
        axes.errorbar(
            x,
            point.mean[metric],
            yerr=point.std[metric] if point.runs > 1 else None,
            fmt=MARKERS[i % len(MARKERS)],
            color=COLORS[names.index(point.cost.subject.name) % len(COLORS)],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.5,
            capsize=3,
        )
        for i, (x, point) in enumerate(zip(at, points, strict=True))
    ]
    if min(at) > 0 and max(at) / min(at) > FAR_APART:
        axes.set_xscale("log")
    axes.margins(0.12, 0.15)
    axes.set_xlabel(label + _conditions(points[0].cost, over))
    axes.set_ylabel(METRICS[metric])
    tidy(axes)
    return marks


def _conditions(cost: Cost, over: str) -> str:
    if over != "latency":
        return ""
    (runtime, batch), time = next(iter(cost.times.items()))
    plural = "s" if time.threads > 1 else ""
    return f"\n({runtime}, batch {batch}, {time.device}, {time.threads} CPU thread{plural})"


def _label(point: Point, points: Sequence[Point]) -> str:
    """The network's name; its exit and features where those differ."""
    kinds = {(p.cost.subject.exit_name, p.cost.subject.features) for p in points}
    subject = point.cost.subject
    words = [subject.name]
    if len(kinds) > 1:
        words.append(f"{subject.exit_name}, {subject.features}")
    return textwrap.fill(": ".join(words), 2 * LONG_LABEL)
