"""Scores by kind and severity of corruption, and how the corruptions look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vireid.data.corruptions import KINDS, SEVERITIES, corrupt
from vireid.evaluation.results import COLUMNS
from vireid.figures.image_rows import (
    GAP,
    LINE,
    draw_header,
    draw_image,
    end_page,
    page_axes,
    write,
)
from vireid.figures.style import DOUBLE, HEAT, drawn
from vireid.runs.score import CLEAN, KindScores
from vireid.structures import Modality
from vireid.utils.io import write_text
from vireid.utils.tables import csv, markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHOWN = {"rank1": "rank-1", "mAP": "mAP"}  # scores in heat maps and in the printed table
MEAN = "mean"
MIDDLE = 0.5  # lightness of a colour from which on its text is black
WIDE, NAME, BLOCKS = 0.52, 0.66, 2  # inches of an image and of a kind's name; kinds side by side
HIGHEST = 1.04  # inches


def write_breakdown(scores: Sequence[KindScores], folder: Path) -> str:
    """Writes ``by_kind.csv``, ``by_kind.md`` and a heat map for each protocol.

    Args:
        scores: of all protocols, clean ones, too.
    Returns:
        the table in Markdown: mean over the severities, per cent.
    Raises:
        UsageError: a file cannot be written.
    """
    import pandas as pd

    rows = [
        {"protocol": one.protocol, "kind": one.kind, "severity": one.severity}
        | {column: one.mean[column] for column in COLUMNS}
        for one in scores
    ]
    table = pd.DataFrame(rows)
    text = "\n\n".join(
        f"{protocol}, per cent\n\n{markdown(_by_severity(part))}"
        for protocol, part in table.groupby("protocol", sort=False)
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "by_kind.csv", csv(table) + "\n")
    write_text(folder / "by_kind.md", text + "\n")
    for protocol, part in table.groupby("protocol", sort=False):
        draw_breakdown(str(protocol), part, folder / f"{protocol}.png")
    return text


def _by_severity(part: pd.DataFrame) -> pd.DataFrame:
    """Texts in per cent: a row for each kind, and columns for each severity and score."""
    rows = []
    for kind in [*dict.fromkeys(part["kind"]), MEAN]:
        row = {"kind": f"{kind}"}
        for column, title in SHOWN.items():
            grid = _grid(part, column)
            cells = _line(part, kind, column)
            row |= {f"{title} {level}": f"{100 * cells[level]:.1f}" for level in grid.columns}
            row[f"{title} {MEAN}"] = f"{100 * cells.mean():.1f}"
        rows.append(row)
    import pandas as pd

    return pd.DataFrame(rows)


def _line(part: pd.DataFrame, kind: str, column: str) -> pd.Series:
    """One kind's score by severity; clean images have the same at each."""
    grid = _grid(part, column)
    if kind == CLEAN:
        return grid.iloc[0] * 0 + float(part.loc[part["kind"] == CLEAN, column].iloc[0])
    return grid.mean() if kind == MEAN else grid.T[kind]


def _grid(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Kinds × severities of one protocol's score."""
    corrupted = part[part["kind"] != CLEAN]
    grid = corrupted.pivot_table(column, "kind", "severity", sort=False)
    return grid[sorted(grid.columns)]


def draw_breakdown(protocol: str, part: pd.DataFrame, path: Path) -> None:
    """Heat maps of one protocol: kinds × severities, with the means at the edges.

    Args:
        part: one row for each kind and severity, and one of clean images.
    """
    kinds = part["kind"].nunique()
    with drawn(path, DOUBLE, 0.75 + 0.19 * kinds) as figure:
        for axes, (column, title) in zip(
            figure.subplots(1, len(SHOWN), sharey=True), SHOWN.items(), strict=True
        ):
            clean = 100 * float(part.loc[part["kind"] == CLEAN, column].iloc[0])
            _draw_heat(axes, 100 * _grid(part, column), clean)
            axes.set_title(f"{title}, per cent (clean {clean:.1f})")
        figure.suptitle(f"{protocol}, by kind and severity of corruption", fontsize=9)


def _draw_heat(axes: Axes, grid: pd.DataFrame, clean: float) -> None:
    """One heat map with numbers; the colours go from 0 to the clean score."""
    from matplotlib import colormaps

    values = np.pad(grid.to_numpy(), ((0, 1), (0, 1)), mode="constant")
    values[:-1, -1] = values[:-1, :-1].mean(axis=1)
    values[-1] = values[:-1].mean(axis=0)
    colours = colormaps[HEAT]
    top = max(clean, float(values.max()), 1e-9)
    axes.imshow(values, cmap=colours, vmin=0, vmax=top, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        dark = np.dot(colours(value / top)[:3], (0.299, 0.587, 0.114)) < MIDDLE
        text = "white" if dark else "black"
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=text, fontsize=7)
    axes.set_xticks(range(values.shape[1]), [*map(str, grid.columns), MEAN])
    axes.set_yticks(range(values.shape[0]), [*grid.index, MEAN])
    axes.set_xlabel("severity")
    axes.tick_params(length=0)
    for edge in (values.shape[0] - 1.5, values.shape[1] - 1.5):
        line = axes.axhline if edge == values.shape[0] - 1.5 else axes.axvline
        line(edge, color="white", linewidth=1.5)


def draw_corruptions(image: Image.Image, path: Path, *, modality: Modality, seed: int) -> None:
    """Draws an image under every kind and severity of corruption.

    Args:
        image: RGB.
        modality: decides the kinds.
        seed: of the noise.
    """
    kinds = KINDS[modality]
    pixels = np.asarray(image.convert("RGB"))
    height = min(HIGHEST, WIDE * image.height / image.width)
    rows = -(-len(kinds) // BLOCKS)
    with drawn(path, DOUBLE, 1, layout=None) as figure:
        axes = page_axes(figure)
        title = f"{modality.name.lower()} image: kinds of corruption at severities 1 to 5"
        top = draw_header(axes, title, {}, [], width=DOUBLE) + GAP
        for number, kind in enumerate(kinds):
            block, row = divmod(number, rows)
            left = GAP + block * (DOUBLE / BLOCKS + GAP)
            upper = top + row * (height + GAP / 2)
            label = kind.replace("_", "\n")
            write(axes, left, upper + (height - LINE * (1 + label.count("\n"))) / 2, label)
            for severity in SEVERITIES:
                rng = np.random.default_rng([seed, severity])
                is_infrared = modality is Modality.INFRARED
                one = corrupt(pixels, kind, severity, rng, one_channel=is_infrared)
                place = left + NAME + (severity - 1) * (WIDE + GAP / 3)
                draw_image(axes, Image.fromarray(one), (place, upper, WIDE, height))
        end_page(figure, top + rows * (height + GAP / 2) + GAP)
