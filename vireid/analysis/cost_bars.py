"""The picture of how long networks take per image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vireid.analysis.cost import Cost
from vireid.analysis.style import COLORS, DOUBLE, drawn, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HATCHES = ("", "///", "...", "xx")  # runtimes, told apart without colours, too
LONG_LABEL = 28  # characters of a row's name


def draw_bars(costs: Sequence[Cost], path: Path) -> None:
    """Milliseconds per image: a panel for each batch, a bar for each network and runtime.

    The line over a bar's end runs from the first to the third quartile.

    Args:
        costs: with times of the same runtimes and batches.
        path: PNG, PDF or SVG.
    """
    runtimes = list(dict.fromkeys(runtime for runtime, _ in costs[0].times))
    batches = list(dict.fromkeys(batch for _, batch in costs[0].times))
    labels = _labels(costs)
    rows = len(costs) * len(runtimes)
    lines = max(rows, sum(label.count("\n") + 1 for label in labels))
    with drawn(path, DOUBLE, 1.0 + 0.24 * lines) as figure:
        panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
        for axes, batch in zip(panels, batches, strict=True):
            for place, runtime in enumerate(runtimes):
                _draw_runtime(axes, costs, (runtime, batch), place, len(runtimes))
            axes.set_yticks(range(len(costs)), labels)
            axes.margins(x=0.2)  # the numbers behind the bars
            axes.set_xlabel(f"ms per image, batch {batch}")
            tidy(axes)
            axes.grid(visible=False, axis="y")
        panels[0].invert_yaxis()
        if len(runtimes) > 1:
            handles = panels[0].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper center", ncols=len(runtimes), frameon=False)


def _draw_runtime(
    axes: Axes, costs: Sequence[Cost], key: tuple[str, int], place: int, places: int
) -> None:
    times = [cost.times[key] for cost in costs]
    height = 0.8 / places
    at = [row + (place - (places - 1) / 2) * height for row in range(len(costs))]
    quartiles = [time.quartiles_ms for time in times]
    medians = [time.median_ms for time in times]
    bars = axes.barh(
        at,
        medians,
        height=height * 0.9,
        xerr=[
            [median - low for median, (low, _) in zip(medians, quartiles, strict=True)],
            [high - median for median, (_, high) in zip(medians, quartiles, strict=True)],
        ],
        error_kw={"linewidth": 0.8, "capsize": 2},
        color=COLORS[place % len(COLORS)],
        hatch=HATCHES[place % len(HATCHES)],
        edgecolor="white",
        label=key[0],
    )
    axes.bar_label(bars, [f"{median:.3g}" for median in medians], padding=3, fontsize=7)


def _labels(costs: Sequence[Cost]) -> list[str]:
    """A network's name, and its exit where those differ."""
    several = len({cost.subject.exit_name for cost in costs}) > 1
    names = [
        f"{cost.subject.name}, {cost.subject.exit_name}" if several else cost.subject.name
        for cost in costs
    ]
    return [textwrap.fill(name, LONG_LABEL) for name in names]
