"""The picture of a sweep: scores over one option, or a heat map over two, and what models cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from vireid.cost.plots import METRICS
from vireid.figures.names import option_name, option_text, value_text, wrapped
from vireid.figures.style import (
    COLORS,
    DOUBLE,
    LETTER,
    LINE,
    MARKS,
    STYLES,
    drawn,
    legend_columns,
    legend_height,
    tidy,
)
from vireid.sweeps.spec import GridAxis, Sweep
from vireid.sweeps.tables import cell_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

COSTS = {"parameters": "parameters (M)", "macs": "MACs (M)"}
DODGE = 0.12  # between two protocols at one value, in distances between values
MOST_BESIDE = 12  # values that half a page's width holds
CELL = 0.46  # inches: a heat map's narrowest cell
SCORES_MAP, COSTS_MAP = "cividis", "Greys"  # lightness changes evenly, also in grey print


@dataclass(frozen=True, slots=True)
class AxisText:
    """An entry of the grid as the picture shows it.

    Args:
        title: empty where the labels say enough.
        texts: of the steps, in the order of the picture.
        order: positions of these steps in the file.
        numeric: the steps are numbers, and a line may join them.
    """

    title: str
    texts: tuple[str, ...]
    order: tuple[int, ...]
    numeric: bool


def draw_sweep(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame, path: Path) -> bool:
    """Error bars over one axis, heat maps over two; False where there are more.

    Args:
        scores: of :func:`~vireid.sweeps.tables.read_scores`.
        costs: of :func:`~vireid.sweeps.costs.cell_costs`. Costs that differ have a panel; those
            that all models share are stated in the heading.
    """
    if len(sweep.axes) > 2 or scores.empty:
        return False
    names = [cell.name for cell in sweep.cells]
    millions = (costs.reindex(names) / 1e6).astype(float)
    differing = [part for part in COSTS if millions[part].nunique() > 1]
    heading = _heading(scores, millions.drop(columns=differing), len(sweep.axes) == 1)
    draw = _draw_lines if len(sweep.axes) == 1 else _draw_maps
    draw(sweep, scores, millions[differing], heading, path)
    return True


def axis_text(sweep: Sweep, axis: GridAxis) -> AxisText:
    """Names of an option and its values: those of ``LABELS``, else short ones; numbers ascend."""
    texts = [
        sweep.texts.get(f"{axis.title}={label}") or sweep.texts.get(label) or _step_text(axis, k)
        for k, label in enumerate(axis.labels)
    ]
    numbers = pd.to_numeric(pd.Series(axis.labels), errors="coerce")
    numeric = bool(numbers.notna().all()) and not axis.named
    order = numbers.sort_values(kind="stable").index if numeric else range(len(texts))
    together = len(axis.keys) > 1
    title = "" if axis.named or together else option_name(axis.keys[0])
    title = sweep.texts.get(axis.title, title)
    return AxisText(title, tuple(texts[k] for k in order), tuple(order), numeric)


def _step_text(axis: GridAxis, position: int) -> str:
    step = axis.steps[position]
    if axis.named:
        return step.labels[0]
    if len(axis.keys) == 1:
        return value_text(step.labels[0])
    return ", ".join(option_text(key, value) for key, value in step.options.items())


def _with_counts(sweep: Sweep, shown: AxisText, scores: pd.DataFrame) -> AxisText:
    """The number of runs below each value, where that differs."""
    counts = cell_means(scores)["n"].groupby("cell").max()
    if counts.nunique() < 2:
        return shown
    found = counts.reindex([sweep.cells[k].name for k in shown.order]).fillna(0)
    texts = [f"{text}\nn = {n:.0f}" for text, n in zip(shown.texts, found, strict=True)]
    return replace(shown, texts=tuple(texts))


def _heading(scores: pd.DataFrame, alike: pd.DataFrame, dots: bool) -> str:
    """What the marks are, over how many runs, and the costs that all models share."""
    counts = cell_means(scores)["n"]
    low, high = counts.min(), counts.max()
    runs = f"{low} runs" if low == high else f"{low} to {high} runs"
    text = f"mean ± standard deviation over {runs} each" if high > 1 else "one run each"
    text += "; dots: single runs" if dots and high > 1 else ""
    known = alike.dropna(axis=1)
    if shared := [f"{COSTS[str(part)][:-4]} {_short(known[part].iloc[0])} M" for part in known]:
        text += f"\nthe same in all models: {' and '.join(shared)}"
    return text


def _draw_lines(
    sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame, heading: str, path: Path
) -> None:
    """Mean ± deviation of each protocol, every run as a small point; costs as bars below."""
    shown = _with_counts(sweep, axis_text(sweep, sweep.axes[0]), scores)
    protocols = list(scores["protocol"].unique())
    names = wrapped((sweep.texts.get(name, name) for name in protocols), int(6 / LETTER))
    keys = legend_columns(names, 6.6)
    beside = len(shown.texts) <= MOST_BESIDE
    top = legend_height(names, keys) + LINE * (heading.count("\n") + 1)
    heights = [2.4] * (1 if beside else 2) + [1.2] * (-(-len(costs.columns) // (1 + beside)))
    with drawn(path, DOUBLE, 0.5 + top + sum(heights)) as figure:
        rows = _panels(figure, heights, [len(METRICS), len(costs.columns)], 1 + beside)
        for axes, (metric, title) in zip(rows[0], METRICS.items(), strict=True):
            own = scores[scores["metric"] == metric]
            marks = [
                _draw_series(axes, sweep, shown, own[own["protocol"] == protocol], i, protocols)
                for i, protocol in enumerate(protocols)
            ]
            axes.set_ylabel(title)
        for axes, part in zip(rows[1], costs, strict=True):
            _draw_cost(axes, costs[part].iloc[list(shown.order)], alone=len(rows[1]) < 2 and beside)
            axes.set_ylabel(COSTS[str(part)])
        for axes in [*rows[0], *rows[1]]:
            place = _place(axes)
            inches = DOUBLE * len(place.colspan) / place.get_geometry()[1] - 0.7
            _name_ticks(axes, "x", shown, inches=inches / len(shown.texts))
            axes.set_xlabel(shown.title if place.is_last_row() else "")
            axes.set_xlim(-0.5, len(shown.texts) - 0.5)
            tidy(axes)
        style: dict[str, Any] = {"loc": "outside upper center", "ncols": keys, "frameon": False}
        handles: list[Any] = marks
        legend = figure.legend(handles, names, title=heading, **style)
        legend.get_title().set_multialignment("center")


def _place(axes: Axes) -> SubplotSpec:
    """Where a panel is in the figure's grid."""
    place = axes.get_subplotspec()
    assert place is not None
    return place


def _panels(
    figure: Figure, heights: Sequence[float], counts: Sequence[int], columns: int
) -> list[list[Axes]]:
    """Panels in rows of at most so many; one that is alone in its row is as wide as the row.

    Args:
        heights: of the rows.
        counts: panels of each kind; a kind begins a new row.
    """
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    found: list[list[Axes]] = []
    row = 0
    for count in counts:
        found.append([])
        for k in range(count):
            place, column = row + k // columns, k % columns
            alone = columns > 1 and k == count - 1 and column == 0
            field = grid[place, :] if alone else grid[place, column]
            found[-1].append(figure.add_subplot(field))
        row += -(-count // columns)
    return found


def _draw_series(
    axes: Axes,
    sweep: Sweep,
    shown: AxisText,
    scores: pd.DataFrame,
    i: int,
    protocols: Sequence[str],
) -> ErrorbarContainer:
    """One protocol's scores of one metric, moved aside by its number ``i``."""
    shift = DODGE * (i - (len(protocols) - 1) / 2)
    names = [sweep.cells[k].name for k in shown.order]
    places = pd.Series({name: at + shift for at, name in enumerate(names)})
    means = cell_means(scores).droplevel(["protocol", "metric"])
    means = means.reindex([name for name in names if name in means.index])
    color = COLORS[i % len(COLORS)]
    mark = axes.errorbar(
        places[means.index],
        means["mean"],
        yerr=means["std"].fillna(0) if means["std"].notna().any() else None,
        color=color,
        marker=MARKS[i % len(MARKS)],
        # a line between values means something only where these are numbers
        linestyle=STYLES[i % len(STYLES)] if shown.numeric else "none",
        markersize=4.5,
        linewidth=1.2,
        capsize=2.5,
    )
    if means["n"].max() > 1:
        beside = places[scores["cell"]] + DODGE / 3
        axes.plot(beside, 100 * scores["value"], ".", color=color, alpha=0.6, markersize=4)
    return mark


def _draw_cost(axes: Axes, millions: pd.Series, *, alone: bool) -> None:
    """A bar for each cell in the order of the picture; none where a model cannot be built."""
    known = millions.reset_index(drop=True).dropna()
    bars = axes.bar(known.index, known, width=0.3 if alone else 0.6, color="#999999")
    axes.bar_label(bars, list(known.map(_short)), fontsize=7.5, padding=1)
    axes.margins(y=0.25)


def _draw_maps(
    sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame, heading: str, path: Path
) -> None:
    """A map per protocol and metric; one colour scale and one colour bar for each metric."""
    down, across = (axis_text(sweep, axis) for axis in sweep.axes)
    protocols, statistics = list(scores["protocol"].unique()), cell_means(scores)
    beside = (DOUBLE / 2 - 1.0) / len(across.texts) >= CELL
    columns = 2 if beside else 1
    row = 0.6 + 0.48 * len(down.texts)  # inches
    pairs = list(product(protocols, METRICS) if beside else product(METRICS, protocols))
    kinds = [len(pairs), len(costs.columns)]
    heights = [row] * sum(-(-count // columns) for count in kinds)
    names = [cell.name for cell in sweep.cells]
    limits = statistics["mean"].groupby("metric").agg(["min", "max"])
    with drawn(path, DOUBLE, 0.9 + sum(heights)) as figure:
        figure.suptitle(heading, fontsize=7.5)
        panels, cost_panels = _panels(figure, heights, kinds, columns)
        maps: dict[str, list[Axes]] = {}
        for axes, pair in zip(panels, pairs, strict=True):
            protocol, metric = pair if beside else pair[::-1]
            key = pd.MultiIndex.from_product([names, [protocol], [metric]])
            own = statistics.reindex(key)
            _draw_map(axes, own["mean"], _cell_texts(own), down, across, limits.loc[metric])
            axes.set_title(f"{sweep.texts.get(protocol, protocol)}: {METRICS[metric]}", loc="left")
            maps.setdefault(metric, []).append(axes)
        for axes, part in zip(cost_panels, costs, strict=True):
            ends = costs[part].agg(["min", "max"])
            texts = costs[part].map(_short)
            _draw_map(axes, costs[part], texts, down, across, ends, cmap=COSTS_MAP)
            axes.set_title(COSTS[str(part)], loc="left")
        for metric, members in maps.items():
            _colour_bar(figure, members, METRICS[metric], below=beside)
        for axes in [*panels, *cost_panels]:
            _name_map(axes, down, across, columns)


def _cell_texts(statistics: pd.DataFrame) -> pd.Series:
    """Mean, deviation and number of runs of each cell, a line each."""
    deviation = statistics["std"].map("\n± {:.1f}".format).where(statistics["std"].notna(), "")
    return (
        statistics["mean"].map("{:.1f}".format)
        + deviation
        + statistics["n"].map("\nn = {:.0f}".format)
    )


def _draw_map(
    axes: Axes,
    numbers: pd.Series,
    texts: pd.Series,
    down: AxisText,
    across: AxisText,
    limits: pd.Series,
    *,
    cmap: str = SCORES_MAP,
) -> None:
    """A field per cell with its text; cells without a number stay empty.

    Args:
        numbers, texts: in the order of the file.
        limits: ``min`` and ``max`` of the colour scale.
    """
    order = np.ix_(down.order, across.order)
    size = (len(down.texts), len(across.texts))
    grid = numbers.to_numpy(dtype=float).reshape(size)[order]
    words = texts.to_numpy(dtype=object).reshape(size)[order]
    low, high = float(limits["min"]), float(limits["max"])
    scale: dict[str, Any] = {"vmin": low, "vmax": high if high > low else low + 1}
    axes.imshow(np.ma.masked_invalid(grid), cmap=cmap, aspect="auto", **scale)
    for (y, x), number in np.ndenumerate(grid):
        if np.isfinite(number):
            share = (number - low) / (scale["vmax"] - low)
            bright = share > 0.45 if cmap == SCORES_MAP else share < 0.55
            place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
            axes.text(x, y, str(words[y, x]), color="black" if bright else "white", **place)


def _colour_bar(figure: Figure, panels: Sequence[Axes], title: str, *, below: bool) -> None:
    """One bar for all maps of a metric: below a column of maps, or on their right."""
    place: dict[str, Any] = {"location": "bottom" if below else "right", "pad": 0.02}
    place |= {"aspect": 40, "shrink": 0.9} if below else {"aspect": 20}
    bar = figure.colorbar(panels[0].images[0], ax=list(panels), **place)
    bar.set_label(title)
    bar.outline.set_linewidth(0.4)


def _name_map(axes: Axes, down: AxisText, across: AxisText, columns: int) -> None:
    """Texts at the left of the first column, and below every map."""
    place = _place(axes)
    width = DOUBLE / columns * len(place.colspan) - 1.0
    _name_ticks(axes, "x", across, inches=width / len(across.texts))
    axes.set_xlabel(across.title)
    if place.is_first_col():
        _name_ticks(axes, "y", down, inches=0.9)
        axes.set_ylabel(down.title)
    else:
        axes.set_yticks([])


def _short(millions: float) -> str:
    """Three digits: ``0.205``, ``2.81``, ``1,243``."""
    digits = 3 if millions < 1 else 2 if millions < 10 else 1 if millions < 100 else 0
    return f"{millions:,.{digits}f}"


def _name_ticks(axes: Axes, which: Literal["x", "y"], shown: AxisText, *, inches: float) -> None:
    """Texts wrapped to the room that each has; slanted where a word is longer than that."""
    letters = max(3, int(inches / LETTER))
    texts = wrapped(shown.texts, letters)
    slanted: dict[str, Any] = {}
    longest = max(len(word) for text in shown.texts for word in text.split() or [""])
    if which == "x" and longest > letters:
        texts = wrapped(shown.texts, 24)
        slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    scale = axes.xaxis if which == "x" else axes.yaxis
    scale.set_ticks(range(len(texts)), texts, fontsize=7.5, **slanted)
