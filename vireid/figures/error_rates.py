"""Detection error trade-off: false rejects over false accepts, with the equal error rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vireid.evaluation.verification import FALSE_ACCEPTS, FEWEST
from vireid.figures.distances import Distances
from vireid.figures.names import wrapped
from vireid.figures.style import (
    GREY,
    LETTER,
    MARKS,
    SINGLE,
    drawn,
    legend_columns,
    legend_height,
    line_style,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

HEIGHT = 2.5  # inches, without the legend
LEAST = 1e-4  # FAR at the left end of the axis, where there are pairs enough


def false_rejects(found: Distances) -> dict[float, float]:
    """FRR at each FAR that the number of pairs makes measurable, both in [0, 1]."""
    rates, pairs = found.error_rates(), int(found.counts["inter"].sum())
    measurable = [most for most in FALSE_ACCEPTS if most * pairs >= FEWEST]
    return {most: rates.at_false_accept(most).false_reject for most in measurable}


def describe_trade_off(title: str, found: Distances) -> str:
    """EER, and FRR at the FARs that are stated, in words."""
    if found.all_equal:
        return f"{title}: all scores are equal"
    text = f"{title}: EER {100 * found.error_rates().equal_error_rate:.1f} %"
    if points := false_rejects(found):
        rejects = " / ".join(f"{100 * rate:.1f}" for rate in points.values())
        accepts = " / ".join(f"{100 * most:g}" for most in points)
        text += f", FRR {rejects} % at FAR {accepts} %"
    return text


def draw_trade_off(runs: Mapping[str, Distances], path: Path) -> None:
    """A curve for each set of features by title; markers at the EER and at the stated FARs."""
    names = wrapped(
        [describe_trade_off(title, found) for title, found in runs.items()], int(3.0 / LETTER)
    )
    columns = legend_columns(names, SINGLE)
    with drawn(path, SINGLE, HEIGHT + legend_height(names, columns)) as figure:
        axes = figure.add_subplot()
        least = min(1 / int(found.counts["inter"].sum()) for found in runs.values())
        lines = [_draw_curve(axes, found, number) for number, found in enumerate(runs.values())]
        _scale(axes, max(least, LEAST))
        figure.legend(lines, names, loc="outside lower center", ncols=columns, frameon=False)


def _draw_curve(axes: Axes, found: Distances, number: int) -> Line2D:
    """Draws a curve; its line for the legend."""
    from matplotlib.lines import Line2D

    rates = found.error_rates()
    shown = rates.false_accept > 0
    style = line_style(number)
    accepted, rejected = 100 * rates.false_accept[shown], 100 * rates.false_reject[shown]
    axes.plot(accepted, rejected, **style)
    marker = MARKS[number % len(MARKS)]
    in_legend = Line2D([], [], marker=marker, markersize=5, **style)
    if found.all_equal:
        return in_legend
    mark = {"color": style["color"], "marker": marker, "linestyle": ""}
    points = false_rejects(found)
    axes.plot(
        [100 * most for most in points],
        [100 * rate for rate in points.values()],
        markersize=4,
        markerfacecolor="white",
        **mark,
    )
    equal = 100 * rates.equal_error_rate
    axes.plot([equal], [equal], markersize=5, **mark)
    return in_legend


def _scale(axes: Axes, least: float) -> None:
    """Axes in per cent, and the line on which both rates are equal."""
    accepted = np.geomspace(100 * least, 100, 200)
    axes.plot(accepted, accepted, color=GREY, linestyle=":", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="false accepts (FAR, %), log scale", ylabel="false rejects (FRR, %)")
    axes.set(xlim=(100 * least, 100), ylim=(0, 101))
    tidy(axes)
