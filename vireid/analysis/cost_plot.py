"""The picture of what networks score over what they cost."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vireid.analysis.cost import Cost
from vireid.analysis.cost_scores import Point
from vireid.analysis.curves import COLORS

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
    from matplotlib.figure import Figure

    label, cost_of = AXES[over]
    at = [cost_of(point.cost) for point in points]
    labels = [_label(point, points) for point in points]
    columns = 2 if max(map(len, labels)) <= LONG_LABEL else 1
    lines = sum(text.count("\n") + 1 for text in labels) / columns
    figure = Figure(figsize=(7.0, 2.9 + 0.17 * lines), layout="constrained")
    names = list(dict.fromkeys(point.cost.subject.name for point in points))
    for axes, (metric, name) in zip(figure.subplots(1, 2), METRICS.items(), strict=True):
        for i, (x, point) in enumerate(zip(at, points, strict=True)):
            axes.errorbar(
                x,
                point.mean[metric],
                yerr=point.std[metric] if point.runs > 1 else None,
                fmt=MARKERS[i % len(MARKERS)],
                color=COLORS[names.index(point.cost.subject.name) % len(COLORS)],
                label=labels[i],
                markersize=7,
                markeredgecolor="black",
                markeredgewidth=0.5,
                capsize=3,
            )
        if min(at) > 0 and max(at) / min(at) > FAR_APART:
            axes.set_xscale("log")
        axes.margins(0.12, 0.15)
        axes.set_xlabel(label + _conditions(points[0].cost, over), fontsize=9)
        axes.set_ylabel(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    handles, _ = figure.axes[0].get_legend_handles_labels()
    title = protocol + ("; bars: std over runs" if any(p.runs > 1 for p in points) else "")
    style = {"ncols": columns, "fontsize": 8, "title": title, "title_fontsize": 8, "frameon": False}
    figure.legend(handles, labels, loc="outside upper center", **style)
    figure.savefig(path, dpi=200)


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
