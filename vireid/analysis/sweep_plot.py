"""The picture of a sweep: accuracy over what was varied."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vireid.analysis.style import COLORS, STYLES
from vireid.analysis.sweep_stats import Values, means, protocols_in
from vireid.config.grid import Axis
from vireid.config.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
MARKERS = ("o", "s", "^", "D", "v", "P")
DODGE = 0.12  # between two protocols at one value, in distances between values


def draw_sweep(sweep: Sweep, values: Values, path: Path) -> bool:
    """Error bars over one axis, heat maps over two; False where there are more.

    Args:
        path: PNG, PDF or SVG.
    """
    if len(sweep.axes) > 2 or not values:
        return False
    (_draw_line if len(sweep.axes) == 1 else _draw_maps)(sweep, values, path)
    return True


def _draw_line(sweep: Sweep, values: Values, path: Path) -> None:
    """Mean ± deviation of each protocol, and every run as a small point."""
    from matplotlib.figure import Figure

    (axis,) = sweep.axes
    width = max(7.2, 1.2 * len(axis.labels))
    figure = Figure(figsize=(width, 3.2), layout="constrained")
    for axes, (metric, name) in zip(figure.subplots(1, 2), METRICS.items(), strict=True):
        for i, protocol in enumerate(protocols_in(values)):
            _draw_series(axes, sweep, values, (protocol, metric), i)
        axes.set_ylabel(name)
        _name_ticks(axes.xaxis, axis)
        axes.set_xlabel("" if axis.named else axis.title)
        axes.set_xlim(-0.5, len(axis.labels) - 0.5)
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    title = "mean ± standard deviation over runs; dots: single runs"
    style = {"ncols": 4, "fontsize": 8, "title": title, "title_fontsize": 8, "frameon": False}
    figure.legend(handles, labels, loc="outside upper center", **style)
    figure.savefig(path, dpi=150)


def _draw_series(axes: Axes, sweep: Sweep, values: Values, column: tuple[str, str], i: int) -> None:
    spreads, count = means(values), len(protocols_in(values))
    shift = DODGE * (i - (count - 1) / 2)
    keys = {at: (cell.name, *column) for at, cell in enumerate(sweep.cells)}
    shown = {at: spreads[key] for at, key in keys.items() if key in spreads}
    color = COLORS[i % len(COLORS)]
    axes.errorbar(
        [at + shift for at in shown],
        [spread.mean for spread in shown.values()],
        yerr=[spread.std or 0.0 for spread in shown.values()],
        label=column[0],
        color=color,
        marker=MARKERS[i % len(MARKERS)],
        linestyle=STYLES[i % len(STYLES)] if _is_numeric(sweep.axes[0]) else "none",
        markersize=5,
        linewidth=1.2,
        capsize=3,
    )
    for at in shown:
        points = [100 * value for value in values[keys[at]].values()]
        beside = [at + shift + DODGE / 3] * len(points)
        axes.plot(beside, points, ".", color=color, alpha=0.6, markersize=4)


def _draw_maps(sweep: Sweep, values: Values, path: Path) -> None:
    """One map per protocol and metric, mean ± deviation written into its fields."""
    from matplotlib.figure import Figure

    down, across = sweep.axes
    protocols = protocols_in(values)
    size = (2 * (1.6 + 0.95 * len(across.labels)), (1.1 + 0.5 * len(down.labels)) * len(protocols))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(protocols), 2, squeeze=False)
    for row, protocol in zip(panels, protocols, strict=True):
        for axes, (metric, name) in zip(row, METRICS.items(), strict=True):
            _draw_map(axes, sweep, values, (protocol, metric))
            axes.set_title(f"{protocol}, {name}", fontsize=9)
            _name_ticks(axes.xaxis, across)
            _name_ticks(axes.yaxis, down)
            axes.set_xlabel("" if across.named else across.title, fontsize=8)
            axes.set_ylabel("" if down.named else down.title, fontsize=8)
    figure.savefig(path, dpi=150)


def _draw_map(axes: Axes, sweep: Sweep, values: Values, column: tuple[str, str]) -> None:
    spreads = means(values)
    shape = (len(sweep.axes[0].labels), len(sweep.axes[1].labels))
    found = [spreads.get((cell.name, *column)) for cell in sweep.cells]
    grid = np.array([spread.mean if spread else np.nan for spread in found]).reshape(shape)
    axes.imshow(np.ma.masked_invalid(grid), cmap="cividis", aspect="auto")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2 if np.isfinite(grid).any() else 0
    for at, spread in enumerate(found):
        if spread:
            text = f"{spread.mean:.1f}" + ("" if spread.std is None else f"\n± {spread.std:.1f}")
            color = "black" if spread.mean > middle else "white"
            place = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
            axes.text(at % shape[1], at // shape[1], text, **place)


def _is_numeric(axis: Axis) -> bool:
    """Its values are numbers, so that a line between them means something."""
    if axis.named or len(axis.keys) > 1:
        return False
    try:
        return all(float(label) is not None for label in axis.labels)
    except ValueError:
        return False


def _name_ticks(ticks: object, axis: Axis) -> None:
    labels = [textwrap.fill(label, 12, break_long_words=False) for label in axis.labels]
    ticks.set_ticks(range(len(labels)), labels, fontsize=8)  # type: ignore[attr-defined]
