"""The picture of a sweep: accuracy over what was varied."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vireid.figures.style import COLORS, STYLES, drawn
from vireid.sweeps.costs import Costs, vary
from vireid.sweeps.spec import Axis, Sweep
from vireid.sweeps.statistics import Spread, Values, means, protocols_in

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

METRICS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
MARKERS = ("o", "s", "^", "D", "v", "P")
SPENT = {"parameters": "parameters (M)", "macs": "MACs (M)"}
LETTER = 0.075  # inches, of a tick's label
DODGE = 0.12  # between two protocols at one value, in distances between values


def draw_sweep(sweep: Sweep, values: Values, path: Path, costs: Costs | None = None) -> bool:
    """Error bars over one axis, heat maps over two; False where there are more.

    Args:
        path: PNG, PDF or SVG.
        costs: drawn beneath the scores where the networks differ in them.
    """
    if len(sweep.axes) > 2 or not values:
        return False
    shown = costs if costs and vary(costs) else {}
    (_draw_line if len(sweep.axes) == 1 else _draw_maps)(sweep, values, shown, path)
    return True


def _draw_line(sweep: Sweep, values: Values, costs: Costs, path: Path) -> None:
    """Mean ± deviation of each protocol, every run as a small point; costs as bars beneath."""
    (axis,) = sweep.axes
    width, heights = max(7.0, 0.9 * len(axis.labels)), [2.6, 1.3] if costs else [2.6]
    with drawn(path, width, 0.6 + sum(heights)) as figure:
        rows = figure.subplots(len(heights), 2, squeeze=False, sharex=True, height_ratios=heights)
        for axes, (metric, name) in zip(rows[0], METRICS.items(), strict=True):
            marks = [
                _draw_series(axes, sweep, values, (protocol, metric), i)
                for i, protocol in enumerate(protocols_in(values))
            ]
            axes.set_ylabel(name)
        for axes, (part, name) in zip(rows[1] if costs else (), SPENT.items(), strict=False):
            _draw_bars(axes, [_spent(costs, cell.name, part) for cell in sweep.cells])
            axes.set_ylabel(name)
        for axes in rows[-1]:
            _name_ticks(axes, "x", axis, inches=(width / 2 - 0.6) / len(axis.labels))
            axes.set_xlabel("" if axis.named else axis.title)
            axes.set_xlim(-0.5, len(axis.labels) - 0.5)
        for axes in rows[0]:
            axes.grid(alpha=0.3)
        title = "mean ± standard deviation over runs; dots: single runs"
        style = {"ncols": 4, "fontsize": 8, "title": title, "title_fontsize": 8, "frameon": False}
        figure.legend(marks, protocols_in(values), loc="outside upper center", **style)


def _draw_series(
    axes: Axes, sweep: Sweep, values: Values, column: tuple[str, str], i: int
) -> ErrorbarContainer:
    spreads, count = means(values), len(protocols_in(values))
    shift = DODGE * (i - (count - 1) / 2)
    keys = {at: (cell.name, *column) for at, cell in enumerate(sweep.cells)}
    shown = {at: spreads[key] for at, key in keys.items() if key in spreads}
    color = COLORS[i % len(COLORS)]
    mark = axes.errorbar(
        [at + shift for at in shown],
        [spread.mean for spread in shown.values()],
        yerr=[spread.std or 0.0 for spread in shown.values()],
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
    return mark


def _draw_bars(axes: Axes, numbers: Sequence[float | None]) -> None:
    """One bar per cell with its number on it, none where it is not known."""
    known = {at: number for at, number in enumerate(numbers) if number is not None}
    bars = axes.bar(list(known), list(known.values()), width=0.6, color="#999999")
    axes.bar_label(bars, [_short(number) for number in known.values()], fontsize=8, padding=1)
    axes.margins(y=0.25)


def _draw_maps(sweep: Sweep, values: Values, costs: Costs, path: Path) -> None:
    """One map per protocol and metric, mean ± deviation written into its fields; then costs."""
    down, across = sweep.axes
    protocols, spreads = protocols_in(values), means(values)
    count = len(protocols) + bool(costs)
    width = max(3.5, 1.0 + 0.62 * len(across.labels))  # of one map, in inches
    with drawn(path, 2 * width, (0.9 + 0.42 * len(down.labels)) * count) as figure:
        panels = figure.subplots(count, 2, squeeze=False)
        for row, protocol in zip(panels, protocols, strict=False):
            for axes, (metric, name) in zip(row, METRICS.items(), strict=True):
                found = [spreads.get((cell.name, protocol, metric)) for cell in sweep.cells]
                texts = [_mean_and_deviation(spread) for spread in found]
                _draw_map(axes, sweep, [spread and spread.mean for spread in found], texts)
                axes.set_title(f"{protocol}, {name}", fontsize=9)
        for axes, (part, name) in zip(panels[-1] if costs else (), SPENT.items(), strict=False):
            numbers = [_spent(costs, cell.name, part) for cell in sweep.cells]
            _draw_map(axes, sweep, numbers, ["" if n is None else _short(n) for n in numbers])
            axes.set_title(name, fontsize=9)
        for axes in panels.flat:
            _name_ticks(axes, "x", across, inches=(width - 0.9) / len(across.labels))
            _name_ticks(axes, "y", down, inches=0.9)
            axes.set_xlabel("" if across.named else across.title, fontsize=8)
            axes.set_ylabel("" if down.named else down.title, fontsize=8)


def _draw_map(
    axes: Axes, sweep: Sweep, numbers: Sequence[float | None], texts: Sequence[str]
) -> None:
    """A field per cell in the grid's order; those without a number stay empty."""
    shape = (len(sweep.axes[0].labels), len(sweep.axes[1].labels))
    grid = np.array([np.nan if n is None else n for n in numbers], dtype=float).reshape(shape)
    axes.imshow(np.ma.masked_invalid(grid), cmap="cividis", aspect="auto")
    low, high = (np.nanmin(grid), np.nanmax(grid)) if np.isfinite(grid).any() else (0, 0)
    for at, (number, text) in enumerate(zip(numbers, texts, strict=True)):
        if number is not None:
            bright = number > low + 0.45 * (high - low)  # where black stands out as much as white
            color = "black" if bright else "white"
            place = {"ha": "center", "va": "center", "fontsize": 7.5, "color": color}
            axes.text(at % shape[1], at // shape[1], text, **place)


def _mean_and_deviation(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.mean:.1f}" + ("" if spread.std is None else f"\n± {spread.std:.1f}")


def _spent(costs: Costs, cell: str, part: str) -> float | None:
    """Millions of a cell's parameters or MACs; None where they are not known."""
    return getattr(costs[cell], part) / 1e6 if cell in costs else None


def _short(millions: float) -> str:
    """Three digits: ``0.205``, ``2.81``, ``1,243``."""
    digits = 3 if millions < 1 else 2 if millions < 10 else 1 if millions < 100 else 0
    return f"{millions:,.{digits}f}"


def _is_numeric(axis: Axis) -> bool:
    """Its values are numbers, so that a line between them means something."""
    if axis.named or len(axis.keys) > 1:
        return False
    try:
        return all(float(label) is not None for label in axis.labels)
    except ValueError:
        return False


def _name_ticks(axes: Axes, which: str, axis: Axis, *, inches: float) -> None:
    """Labels wrapped to the room that each has; aslant where a word is longer than that."""
    letters = max(3, int(inches / LETTER))
    wrapped = [textwrap.fill(label, letters, break_long_words=False) for label in axis.labels]
    slanted = which == "x" and max(map(len, "\n".join(wrapped).split("\n"))) > letters
    style = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ticks = axes.xaxis if which == "x" else axes.yaxis
    labels = axis.labels if slanted else wrapped
    ticks.set_ticks(range(len(labels)), labels, fontsize=8, **style)
