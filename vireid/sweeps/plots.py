"""The picture of a sweep: accuracy over what was varied."""

from __future__ import annotations

import textwrap
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from vireid.cost.plots import METRICS
from vireid.figures.style import COLORS, STYLES, drawn
from vireid.sweeps.spec import GridAxis, Sweep
from vireid.sweeps.tables import cell_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

MARKERS = ("o", "s", "^", "D", "v", "P")
COST_TITLES = {"parameters": "parameters (M)", "macs": "MACs (M)"}
LETTER = 0.075  # inches, of a tick's label
DODGE = 0.12  # between two protocols at one value, in distances between values


def draw_sweep(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame, path: Path) -> bool:
    """Error bars over one axis, heat maps over two; False where there are more.

    Args:
        scores: of :func:`~vireid.sweeps.tables.read_scores`.
        costs: of :func:`~vireid.sweeps.costs.cell_costs`; drawn below the scores where the models
            differ in them.
    """
    if len(sweep.axes) > 2 or scores.empty:
        return False
    names = [cell.name for cell in sweep.cells]
    shown = (costs.reindex(names) / 1e6).astype(float) if len(costs.drop_duplicates()) > 1 else None
    (_draw_line if len(sweep.axes) == 1 else _draw_maps)(sweep, scores, shown, path)
    return True


def _draw_line(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame | None, path: Path) -> None:
    """Mean ± deviation of each protocol, every run as a small point; costs as bars below."""
    (axis,) = sweep.axes
    protocols = list(scores["protocol"].unique())
    width = max(7.0, 0.9 * len(axis.labels))
    heights = [2.6] if costs is None else [2.6, 1.3]
    with drawn(path, width, 0.6 + sum(heights)) as figure:
        rows = figure.subplots(len(heights), 2, squeeze=False, sharex=True, height_ratios=heights)
        for axes, (metric, title) in zip(rows[0], METRICS.items(), strict=True):
            own = scores[scores["metric"] == metric]
            marks = [
                _draw_series(axes, sweep, own[own["protocol"] == protocol], i, len(protocols))
                for i, protocol in enumerate(protocols)
            ]
            axes.set_ylabel(title)
            axes.grid(alpha=0.3)
        if costs is not None:
            for axes, (part, title) in zip(rows[1], COST_TITLES.items(), strict=True):
                known = costs[part].reset_index(drop=True).dropna()
                bars = axes.bar(known.index, known, width=0.6, color="#999999")
                axes.bar_label(bars, list(known.map(_short)), fontsize=8, padding=1)
                axes.margins(y=0.25)
                axes.set_ylabel(title)
        for axes in rows[-1]:
            _name_ticks(axes, "x", axis, inches=(width / 2 - 0.6) / len(axis.labels))
            axes.set_xlim(-0.5, len(axis.labels) - 0.5)
        title = "mean ± standard deviation over runs; dots: single runs"
        style = {"ncols": 4, "fontsize": 8, "title": title, "title_fontsize": 8, "frameon": False}
        place = "outside upper center"
        figure.legend(marks, protocols, loc=place, **style)  # type: ignore[call-overload]


def _draw_series(
    axes: Axes, sweep: Sweep, scores: pd.DataFrame, i: int, protocols: int
) -> ErrorbarContainer:
    """One protocol's scores of one metric, moved aside by its number ``i``."""
    shift = DODGE * (i - (protocols - 1) / 2)
    places = pd.Series({cell.name: at + shift for at, cell in enumerate(sweep.cells)})
    means = cell_means(scores).droplevel(["protocol", "metric"])
    means = means.reindex([name for name in places.index if name in means.index])
    color = COLORS[i % len(COLORS)]
    # a line between values means something only where these are numbers
    numeric = pd.to_numeric(pd.Series(sweep.axes[0].labels), errors="coerce").notna().all()
    mark = axes.errorbar(
        places[means.index],
        means["mean"],
        yerr=means["std"].fillna(0),
        color=color,
        marker=MARKERS[i % len(MARKERS)],
        linestyle=STYLES[i % len(STYLES)] if numeric and not sweep.axes[0].named else "none",
        markersize=5,
        linewidth=1.2,
        capsize=3,
    )
    beside = places[scores["cell"]] + DODGE / 3
    axes.plot(beside, 100 * scores["value"], ".", color=color, alpha=0.6, markersize=4)
    return mark


def _draw_maps(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame | None, path: Path) -> None:
    """One map per protocol and metric, mean ± deviation written into its fields; then costs."""
    down, across = sweep.axes
    names, statistics = [cell.name for cell in sweep.cells], cell_means(scores)
    maps = []  # title, numbers, texts
    for protocol, (metric, title) in product(scores["protocol"].unique(), METRICS.items()):
        found = statistics.reindex(pd.MultiIndex.from_product([names, [protocol], [metric]]))
        deviation = found["std"].map("\n± {:.1f}".format).where(found["std"].notna(), "")
        texts = found["mean"].map("{:.1f}".format) + deviation
        maps.append((f"{protocol}, {title}", found["mean"], texts))
    if costs is not None:
        maps += [(title, costs[p], costs[p].map(_short)) for p, title in COST_TITLES.items()]
    width = max(3.5, 1.0 + 0.62 * len(across.labels))  # of one map, in inches
    rows = len(maps) // 2
    with drawn(path, 2 * width, (0.9 + 0.42 * len(down.labels)) * rows) as figure:
        panels = figure.subplots(rows, 2, squeeze=False).flat
        for axes, (title, numbers, texts) in zip(panels, maps, strict=True):
            _draw_map(axes, sweep, numbers, texts)
            axes.set_title(title, fontsize=9)
            _name_ticks(axes, "x", across, inches=(width - 0.9) / len(across.labels), fontsize=8)
            _name_ticks(axes, "y", down, inches=0.9, fontsize=8)


def _draw_map(axes: Axes, sweep: Sweep, numbers: pd.Series, texts: pd.Series) -> None:
    """A field per cell in the grid's order; those without a number stay empty."""
    down, across = (len(axis.labels) for axis in sweep.axes)
    grid = numbers.to_numpy(dtype=float).reshape(down, across)
    axes.imshow(np.ma.masked_invalid(grid), cmap="cividis", aspect="auto")
    low, high = numbers.min(), numbers.max()
    for at, (number, text) in enumerate(zip(numbers, texts, strict=True)):
        if np.isfinite(number):
            bright = number > low + 0.45 * (high - low)  # here black and white are equally clear
            color = "black" if bright else "white"
            place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}
            axes.text(at % across, at // across, text, color=color, **place)


def _short(millions: float) -> str:
    """Three digits: ``0.205``, ``2.81``, ``1,243``."""
    digits = 3 if millions < 1 else 2 if millions < 10 else 1 if millions < 100 else 0
    return f"{millions:,.{digits}f}"


def _name_ticks(
    axes: Axes, which: Literal["x", "y"], axis: GridAxis, *, inches: float, **style: Any
) -> None:
    """Labels wrapped to the room that each has; slanted where a word is longer than that.

    Args:
        style: of the options' names, which are left out where the file has labels.
    """
    letters = max(3, int(inches / LETTER))
    texts = [textwrap.fill(label, letters, break_long_words=False) for label in axis.labels]
    slanted: dict[str, Any] = {}
    if which == "x" and max(map(len, "\n".join(texts).split("\n"))) > letters:
        texts = list(axis.labels)
        slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    scale = axes.xaxis if which == "x" else axes.yaxis
    scale.set_ticks(range(len(texts)), texts, fontsize=8, **slanted)
    scale.set_label_text("" if axis.named else axis.title, **style)
