"""Plots of costs: times as bars, and scores over cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vireid.figures.names import short_names, wrapped
from vireid.figures.style import COLORS, DOUBLE, LINE, drawn, legend_columns, legend_height, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

HATCHES = ("", "///", "...", "xx")  # of backends, for print in grey
LONG_BAR_LABEL = 28  # characters
MARKERS = "os^DvPX*<>"
METRICS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
LONG_LABEL = 92  # characters that a page's width holds
FAR_APART = 20  # from this ratio of the highest cost to the lowest on, the axis is logarithmic
COST_AXES = {  # → title of the axis
    "macs": "multiply-accumulates per image (M)",
    "parameters": "deployed parameters (M)",
    "latency": "milliseconds per image",
}


def draw_bars(costs: pd.DataFrame, times: pd.DataFrame, path: Path) -> None:
    """Milliseconds per image: a panel for each batch, a bar for each model and backend.

    The line over a bar's end runs from the first to the third quartile.

    Args:
        costs, times: of :mod:`vireid.cost.tables`.
    """
    backends = list(times["runtime"].unique())
    batches = list(times.groupby("batch", sort=False))
    labels = _labels(costs, ["exit"], sep=", ", width=LONG_BAR_LABEL)
    bars = len(costs) * len(backends)
    lines = max(bars, sum(label.count("\n") + 1 for label in labels))
    with drawn(path, DOUBLE, 1.0 + 0.24 * lines) as figure:
        panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
        for axes, (batch, part) in zip(panels, batches, strict=True):
            for place, (backend, rows) in enumerate(part.groupby("runtime", sort=False)):
                _draw_backend(axes, rows, str(backend), place, len(backends))
            axes.set_yticks(range(len(costs)), labels)
            axes.margins(x=0.2)  # room for the numbers at the ends of the bars
            axes.set_xlabel(f"ms per image, batch {batch}")
            tidy(axes)
            axes.grid(visible=False, axis="y")
        panels[0].invert_yaxis()
        if len(backends) > 1:
            handles = panels[0].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper center", ncols=len(backends), frameon=False)


def _draw_backend(axes: Axes, rows: pd.DataFrame, name: str, place: int, places: int) -> None:
    height = 0.8 / places
    medians = rows["median_ms"]
    bars = axes.barh(
        rows["model"] + (place - (places - 1) / 2) * height,
        medians,
        height=height * 0.9,
        xerr=[medians - rows["low_ms"], rows["high_ms"] - medians],
        error_kw={"linewidth": 0.8, "capsize": 2},
        color=COLORS[place % len(COLORS)],
        hatch=HATCHES[place % len(HATCHES)],
        edgecolor="white",
        label=name,
    )
    axes.bar_label(bars, [f"{median:.3g}" for median in medians], padding=3, fontsize=7)


def _labels(costs: pd.DataFrame, fields: list[str], *, sep: str, width: int) -> list[str]:
    """The models' names in lines of so many characters, and the fields where those differ.

    Names of folders of a sweep are shortened: ``MODEL.SHARED_DEPTH=3`` → ``shared depth 3``.
    """
    names = costs["network"]
    if names.str.contains("[=+/]").any():
        unique = list(names.unique())
        names = names.map(dict(zip(unique, short_names(unique), strict=True)))
    if len(costs[fields].drop_duplicates()) > 1:
        names = names + sep + costs[fields].agg(", ".join, axis=1)
    return wrapped(names, width)


def draw_scatter(
    costs: pd.DataFrame,
    scores: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    over: str,
    times: pd.DataFrame | None = None,
) -> None:
    """Rank-1 and mAP over cost; bars are standard deviations over runs.

    Args:
        costs: of :func:`~vireid.cost.tables.count_costs`.
        scores: of :func:`~vireid.cost.scores.model_scores`, one for each model.
        over: a key of :data:`COST_AXES`.
        times: for ``latency``; those of the first backend and batch are shown.
    """
    labels = _labels(costs, ["exit", "features"], sep=": ", width=LONG_LABEL)
    columns = legend_columns(labels, 6.6)
    several = any(score["runs"] > 1 for score in scores)
    title = scores[0]["protocol"] + ("; bars: standard deviation over runs" if several else "")
    with drawn(path, DOUBLE, 2.7 + LINE + legend_height(labels, columns)) as figure:
        at, axis_title = _cost_axis(costs, over, times)
        for axes, metric in zip(figure.subplots(1, 2), METRICS, strict=True):
            handles = _draw_marks(axes, costs["network"], at, scores, metric)
            axes.set_xlabel(axis_title)
        style = {"ncols": columns, "title": title, "frameon": False, "loc": "outside upper center"}
        figure.legend(handles, labels, **style)  # type: ignore[arg-type]


def _cost_axis(
    costs: pd.DataFrame, over: str, times: pd.DataFrame | None
) -> tuple[list[float], str]:
    """Each model's place on the axis of costs, and the axis' title."""
    if over != "latency" or times is None:
        return list(costs[over] / 1e6), COST_AXES[over]
    first = times.iloc[0]
    shown = times[(times["runtime"] == first["runtime"]) & (times["batch"] == first["batch"])]
    threads = f"{first['threads']} CPU thread{'s' if first['threads'] > 1 else ''}"
    conditions = f"{first['runtime']}, batch {first['batch']}, {first['device']}, {threads}"
    return list(shown["median_ms"]), f"{COST_AXES[over]}\n({conditions})"


def _draw_marks(
    axes: Axes,
    names: pd.Series,
    at: Sequence[float],
    scores: Sequence[Mapping[str, Any]],
    metric: str,
) -> list[ErrorbarContainer]:
    """Draws a mark for each model, and returns them in that order."""
    colours = pd.factorize(names)[0]
    marks = [
        axes.errorbar(
            x,
            score["mean"][metric],
            yerr=score["std"][metric] if score["runs"] > 1 else None,
            fmt=MARKERS[i % len(MARKERS)],
            color=COLORS[colours[i] % len(COLORS)],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.5,
            capsize=3,
        )
        for i, (x, score) in enumerate(zip(at, scores, strict=True))
    ]
    if min(at) > 0 and max(at) / min(at) > FAR_APART:
        axes.set_xscale("log")
    axes.margins(0.12, 0.15)
    axes.set_ylabel(METRICS[metric])
    tidy(axes)
    return marks
