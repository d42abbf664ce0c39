"""Maps drawn over images: rows of panels on one page, with one colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vireid.errors import UsageError
from vireid.figures.style import DOUBLE, DPI, HEAT, SINGLE, TALLEST, drawn, load_matplotlib
from vireid.figures.text import fit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROWEST, WIDEST = 0.5, 1.1  # inches: width of a panel
GAP, LINE = 0.06, 0.125  # inches: between panels, a line of text
BETWEEN = 3 * GAP  # groups of several panels
TEXT = 7.0  # points
MOST_LINES = 9  # of a name
BAR = (2.2, 0.11)  # inches: width and height of the colour bar
# An image is dimmed, so that in grey print, too, only a map is bright. Where a map is 0, the image
# is all that one sees; where it is largest, some of the image still shows through.
DIMMED, SHARPNESS, OPACITY, DARKEST = 0.1, 0.5, 0.72, 0.25


@dataclass(frozen=True, slots=True)
class Panel:
    """An image, as it is or in grey under a map.

    Args:
        image: (H, W, 3) uint8.
        heat: (h, w) map from 0 up, which is drawn from 0 to its largest value.
        shares: (g,) instead: share of each of g stripes, top to bottom, written on them.
    """

    image: np.ndarray
    heat: np.ndarray | None = None
    shares: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class PanelGroup:
    """Neighbouring panels under one title, which may have several lines."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A row of the figure: a heading on the left, and groups of panels below it."""

    heading: str
    groups: Sequence[PanelGroup]


@dataclass(frozen=True, slots=True)
class Words:
    """What is written below all rows: the meaning of the colours, and a note."""

    bar: str
    note: str


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Inches: of the figure, of a panel, and between groups; the height of each row."""

    width: float
    height: float
    cell: tuple[float, float]
    apart: float
    rows: Sequence[float]


def draw_panels(path: Path, rows: Sequence[PanelRow], words: Words, *, cells: bool = False) -> None:
    """A figure of at most a page's width, unless its panels would be too narrow.

    Args:
        cells: maps are drawn cell by cell instead of smoothly.
    Raises:
        UsageError: too many images for one figure, or the file cannot be written.
    """
    rows, words, sizes = _laid_out(rows, words)
    with drawn(path, sizes.width, sizes.height, layout=None) as figure:
        top = GAP
        for row, step in zip(rows, sizes.rows, strict=True):
            _draw_row(figure, row, top, sizes, cells=cells)
            top += step
        _write(figure, GAP, top, words.bar)
        _draw_bar(figure, top + _lines(words.bar) * LINE + GAP / 2)
        _write(figure, GAP, sizes.height - GAP - _lines(words.note) * LINE, words.note)


def require_size(rows: Sequence[PanelRow], words: Words) -> None:
    """Raises :class:`UsageError` for more images than one figure holds."""
    _laid_out(rows, words)


def _laid_out(rows: Sequence[PanelRow], words: Words) -> tuple[list[PanelRow], Words, _Sizes]:
    """The same with its texts in lines, and all sizes."""
    wide = any(len(group.panels) > 1 for row in rows for group in row.groups)
    apart = BETWEEN if wide else GAP
    size = max(len(_places(row, 1.0, apart)) for row in rows)
    gaps = max(_places(row, 0.0, apart)[-1] for row in rows) + 2 * GAP
    cell = max(min(WIDEST, (DOUBLE - gaps) / size), (SINGLE - gaps) / size, NARROWEST)
    width = max(SINGLE, gaps + size * cell)
    tall = cell * max(panel.image.shape[0] / panel.image.shape[1] for panel in _panels(rows))
    wrapped = [_wrapped(row, cell, width) for row in rows]
    heights = [_above(row) + tall + 1.5 * GAP for row in wrapped]
    words = Words(_fitted(words.bar, width - 2 * GAP), _fitted(words.note, width - 2 * GAP))
    below = (_lines(words.bar) + _lines(words.note) + 1.5) * LINE + BAR[1]
    height = sum(heights) + below + 2 * GAP
    if max(width, height) > TALLEST:
        raise UsageError(f"{len(rows)} rows of images are too many for one picture")
    return wrapped, words, _Sizes(width, height, (cell, tall), apart, heights)


def _panels(rows: Sequence[PanelRow]) -> list[Panel]:
    return [panel for row in rows for group in row.groups for panel in group.panels]


def _places(row: PanelRow, cell: float, apart: float) -> list[float]:
    """Inches from the left of each of a row's panels, without the margin."""
    places, left = [], 0.0
    for group in row.groups:
        places += [left + k * (cell + GAP) for k in range(len(group.panels))]
        left = places[-1] + cell + apart
    return places


def _wrapped(row: PanelRow, cell: float, width: float) -> PanelRow:
    """The row with its texts in lines that fit above its panels."""
    groups = [
        PanelGroup(_fitted(group.title, len(group.panels) * (cell + GAP)), group.panels)
        for group in row.groups
    ]
    return PanelRow(_fitted(row.heading, width - 2 * GAP), groups)


def _fitted(text: str, inches: float) -> str:
    """The text in lines of at most this length."""
    return "\n".join(fit_text(line, inches, TEXT, lines=MOST_LINES) for line in text.split("\n"))


def _above(row: PanelRow) -> float:
    """Inches of the text over a row's panels."""
    return (_lines(row.heading) + max(_lines(group.title) for group in row.groups)) * LINE + GAP / 2


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _draw_row(figure: Figure, row: PanelRow, top: float, sizes: _Sizes, *, cells: bool) -> None:
    cell, tall = sizes.cell
    places = _places(row, cell, sizes.apart)
    _write(figure, GAP, top, row.heading)
    upper, number = top + _above(row), 0
    for group in row.groups:
        first, last = places[number], places[number + len(group.panels) - 1] + cell
        for panel in group.panels:
            axes = _axes(figure, GAP + places[number], upper, cell, tall)
            _draw_panel(axes, panel, cell, cells=cells)
            number += 1
        middle, height = GAP + (first + last) / 2, _lines(group.title) * LINE + GAP / 4
        _write(figure, middle, upper - height, group.title, ha="center")


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without ticks and frame; all in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _write(figure: Figure, left: float, top: float, text: str, *, ha: str = "left") -> None:
    across, down = figure.get_size_inches()
    style: dict[str, Any] = {"fontsize": TEXT, "va": "baseline", "ha": ha}
    for number, line in enumerate(text.split("\n")):
        base = top + (number + 0.8) * LINE  # of letters; some reach below it
        figure.text(left / across, 1 - base / down, line, **style)


def _draw_panel(axes: Axes, panel: Panel, cell: float, *, cells: bool) -> None:
    heat = panel.heat
    if panel.shares is not None:
        heat, cells = panel.shares[:, None], True
    height, width = panel.image.shape[:2]
    pixels = max(width, round(cell * DPI))
    size = round(height * pixels / width), pixels
    axes.imshow(covered(panel.image, heat, size, cells=cells), aspect="equal")
    if panel.shares is not None:
        _label_stripes(axes, panel.shares, size)


def covered(
    image: np.ndarray, heat: np.ndarray | None, size: tuple[int, int], *, cells: bool = False
) -> np.ndarray:
    """The picture of a panel.

    Args:
        image: (H, W, 3) uint8.
        heat: (h, w) map from 0 up, or None for the image alone.
        size: (height, width) of the picture.
        cells: no values between the map's cells.
    Returns:
        (*size, 3) in [0, 1].
    """
    picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
    if heat is None:
        return np.asarray(picture) / 255
    grey = np.asarray(picture.convert("L")) / 255
    if span := np.ptp(grey):  # images at night are dark already
        grey = (grey - grey.min()) / span
    return _blend(DIMMED + SHARPNESS * grey, enlarged(heat, size, cells=cells))


def enlarged(heat: np.ndarray, size: tuple[int, int], *, cells: bool = False) -> np.ndarray:
    """A map over its largest value, at another size: between its cells bicubic, in [0, 1]."""
    largest = heat.max()
    scaled = (heat / largest if largest > 0 else heat).astype(np.float32)
    kind = Image.Resampling.NEAREST if cells else Image.Resampling.BICUBIC
    # Bicubic values may pass those of the cells.
    return np.clip(np.asarray(Image.fromarray(scaled).resize(size[::-1], kind)), 0, 1)


def _blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """(H, W) grey image and (H, W) map, both in [0, 1] → (H, W, 3)."""
    matplotlib = load_matplotlib()
    colors = matplotlib.colormaps[HEAT](DARKEST + (1 - DARKEST) * heat)[..., :3]
    opacity = OPACITY * heat[..., None]
    return (1 - opacity) * grey[..., None] + opacity * colors


def _label_stripes(axes: Axes, shares: np.ndarray, size: tuple[int, int]) -> None:
    from matplotlib.patheffects import withStroke

    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": TEXT}
    text["path_effects"] = [withStroke(linewidth=1.6, foreground="white")]
    height, width = size
    ends = np.linspace(0, height, len(shares) + 1) - 0.5
    for share, top, bottom in zip(shares, ends[:-1], ends[1:], strict=True):
        axes.text((width - 1) / 2, (top + bottom) / 2, f"{100 * share:.0f} %", **text)
    for end in ends[1:-1]:
        axes.axhline(end, color="white", linewidth=0.8)


def _draw_bar(figure: Figure, top: float) -> None:
    """The colours of maps over mid-grey, from 0 to the largest value."""
    axes = _axes(figure, GAP, top, *BAR)
    steps = np.linspace(0, 1, round(BAR[0] * DPI))[None]
    grey = np.full_like(steps, DIMMED + SHARPNESS / 2)
    axes.imshow(_blend(grey, steps), aspect="auto", extent=(0, 1, 0, 1))
    ends: dict[str, Any] = {"va": "top", "fontsize": TEXT, "transform": axes.transAxes}
    for place, text, side in ((0, "0", "left"), (0.5, "half", "center"), (1, "largest", "right")):
        axes.text(place, -0.35, text, ha=side, **ends)
