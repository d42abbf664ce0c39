"""The figure of the table across data sets: a heat map of runs by data sets and protocols."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.crosseval.tables import NOTHING, OWN, MeanScore, note
from vireid.figures.names import wrapped
from vireid.figures.style import DOUBLE, GREY, LETTER, LINE, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {"rank1": "rank-1 (%)", "mAP": "mAP (%)"}
SCALE = "cividis"  # its lightness changes evenly, also in grey print
FRAME = "#D55E00"
ROW, NAMES = 0.3, 1.7  # inches: height of a row, width of its name
MOST_BESIDE = 4  # runs that half a page's width holds


def draw_matrix(scores: Sequence[MeanScore], path: Path) -> None:
    """A panel for rank-1 and one for mAP; rows are data sets and protocols, columns are runs.

    Frames mark the data set that a run was trained on.
    """
    recipes = list(dict.fromkeys(score.recipe for score in scores))
    rows = [
        [score for score in scores if (score.on, score.protocol) == test]
        for test in dict.fromkeys((score.on, score.protocol) for score in scores)
    ]
    beside = len(recipes) <= MOST_BESIDE
    width = (DOUBLE - NAMES - 0.6) / (2 if beside else 1) / len(recipes)
    below = wrapped(recipes, int(width / LETTER))
    high = ROW * len(rows) + LINE * max(text.count("\n") + 1 for text in below) + 0.35
    heading = wrapped([note(scores).replace(f"; {OWN} ", f"; {OWN} and frame: ", 1)], 110)[0]
    above = LINE * (heading.count("\n") + 2)
    shown = [score.mean[metric] for score in scores if score.runs for metric in PANELS]
    largest = max(shown, default=0.0) or 1.0
    with drawn(path, DOUBLE, above + high * (1 if beside else 2)) as figure:
        figure.suptitle(heading, fontsize=7.5)
        panels = figure.subplots(*((1, 2) if beside else (2, 1)), squeeze=False).ravel()
        for number, (axes, (metric, title)) in enumerate(zip(panels, PANELS.items(), strict=True)):
            image = _draw_panel(axes, rows, metric, largest)
            axes.set_title(title, loc="left")
            axes.set_xticks(range(len(recipes)), below)
            names = _names(rows) if number == 0 or not beside else [""] * len(rows)
            axes.set_yticks(range(len(rows)), names)
        bar = figure.colorbar(image, ax=list(panels), aspect=30, pad=0.02)
        bar.outline.set_linewidth(0.4)


def _names(rows: Sequence[Sequence[MeanScore]]) -> list[str]:
    """The data set and the protocol of each row, in lines that fit beside the panel."""
    names = []
    for score, *_ in rows:
        short = score.on.short(score.protocol).replace("_", " ").replace("+", ", ")
        names.append(short if short.startswith(score.on.label) else f"{score.on.label}: {short}")
    return wrapped(names, int(NAMES / LETTER))


def _draw_panel(
    axes: Axes, rows: Sequence[Sequence[MeanScore]], metric: str, largest: float
) -> Any:
    """One metric of all cells, coloured from 0 to ``largest``; returns the image."""
    from matplotlib.patches import Rectangle

    means = [[score.mean.get(metric, np.nan) for score in row] for row in rows]
    grid = np.ma.masked_invalid(np.array(means, dtype=float))
    image = axes.imshow(grid, cmap=SCALE, vmin=0, vmax=largest, aspect="auto")
    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
    for (y, x), value in np.ndenumerate(grid.filled(np.nan)):
        score = rows[y][x]
        if not score.runs:
            axes.text(x, y, NOTHING, color=GREY, **place)
            continue
        color = "black" if value > 0.45 * largest else "white"
        axes.text(x, y, score.text(metric, digits=1), color=color, **place)
        if score.own:
            corner = (x - 0.47, y - 0.4)
            axes.add_patch(Rectangle(corner, 0.94, 0.8, fill=False, ec=FRAME, lw=1.8))
    for y, (one, other) in enumerate(pairwise(row[0].on for row in rows)):
        if one != other:  # a white line between two data sets
            axes.axhline(y + 0.5, color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
