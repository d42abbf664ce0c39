"""Ranked lists as a picture: a query, and the gallery images that it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vireid.data.images import read_image
from vireid.errors import DataError, UsageError
from vireid.evaluation.ranked_lists import GalleryRanking, RankedList
from vireid.figures.style import COLORS, DOUBLE, GREY, TALLEST, drawn
from vireid.structures import FeatureSet, Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORST = ("ap", "first")
Mark = tuple[str, str, str]
# Colour, dashes and sign of a frame: the last two tell the first in grey print.
RIGHT = (COLORS[0], "-", "✓")
WRONG = (COLORS[1], "--", "✗")
REMOVED = (GREY, ":", "–")
MEANINGS = {
    "same identity": RIGHT,
    "another identity": WRONG,
    "left out by the protocol": REMOVED,
}
CELL, GAP, LINE = 0.58, 0.06, 0.115  # inches: narrowest cell, between cells, a line of text
PIXELS = 192  # height to which images are reduced: print has no more


def choose_queries(
    search: GalleryRanking,
    *,
    worst: str = "",
    names: Sequence[str] = (),
    count: int | None = None,
    seed: int = 0,
) -> list[int]:
    """Positions of the queries to show.

    Args:
        worst: ``ap``: those of the lowest average precision first; ``first``: those whose first
            match stands last; empty: drawn at random.
        names: instead, images by their path or identities by their number, in this order.
        count: how many, unless ``names`` tell; None for 6, or all where there are fewer.
    Raises:
        DataError: no query is named so, or none has a match.
        UsageError: ``count`` is more than there are.
    """
    if names:
        return [position for name in names for position in _named(search, name)]
    answered = np.flatnonzero(search.first > 0)
    if not len(answered):
        raise DataError(f"{search.protocol.name}: no query has a true match in the gallery")
    count = min(6, len(answered)) if count is None else count
    if not 1 <= count <= len(answered):
        raise UsageError(
            f"--count {count}: {search.protocol.name} has {len(answered)} queries with a match"
        )
    if not worst:
        drawn_at_random = np.random.default_rng(seed).choice(answered, count, replace=False)
        return sorted(drawn_at_random.tolist())
    precision, first = search.precision[answered], search.first[answered]
    keys = (-first, precision) if worst == "ap" else (precision, -first)  # the last counts most
    return answered[np.lexsort(keys)][:count].tolist()


def _named(search: GalleryRanking, name: str) -> list[int]:
    images, rows = search.features, search.queries
    found = images.paths[rows] == name
    if not found.any() and name.isdecimal():
        found = images.pids[rows] == int(name)
    if not found.any():
        raise DataError(
            f"{search.protocol.name} has no query {name!r}: name an identity or an image as the "
            f"features do, such as {images.paths[rows[0]]}"
        )
    return np.flatnonzero(found).tolist()


def describe(found: RankedList, search: GalleryRanking) -> str:
    """One line: the query and how well it was answered."""
    images, unit = search.features, search.protocol.cmc_unit
    who = f"{images.paths[found.query]} (identity {images.pids[found.query]}, camera "
    who += f"{images.camids[found.query]})"
    if not found.first:
        return f"{who}: no match in the gallery"
    counted = "" if unit == "image" else ", counted in identities"
    return f"{who}: AP {found.precision:.3f}, first match at rank {found.first}{counted}"


def draw_lists(
    lists: Sequence[RankedList],
    search: GalleryRanking,
    root: Path,
    path: Path,
    *,
    top: int | None = None,
    title: str = "",
) -> None:
    """A row per query with its nearest gallery images, those left out by the protocol among them.

    Args:
        root: folder that the features' paths are relative to.
        path: PNG, PDF or SVG.
        top: gallery images shown; None for 10, or all where there are fewer.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the gallery holds fewer images, or the picture would be too large.
    """
    top = min(10, len(search.gallery)) if top is None else top
    if not 1 <= top <= len(search.gallery):
        raise UsageError(f"--top {top}: this gallery holds {len(search.gallery)} images")
    images = search.features
    rows = []
    for found in lists:
        chosen = [found.query, *found.gallery[:top].tolist()]
        cells = [
            Cell(root / str(images.paths[row]), _words(found, images, k), _mark(found, images, k))
            for k, row in enumerate(chosen)
        ]
        rows.append(Row(describe(found, search), cells))
    draw_rows(rows, path, title=title, meanings=MEANINGS)


@dataclass(frozen=True, slots=True)
class Cell:
    """An image, two lines of words below it, and the frame around it."""

    path: Path
    words: tuple[str, str]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A query, which is the first cell, and what it found."""

    heading: str
    cells: Sequence[Cell]


def draw_rows(rows: Sequence[Row], path: Path, *, title: str, meanings: Mapping[str, Mark]) -> None:
    """Rows of images, all in cells of one size.

    Args:
        meanings: what the frames tell, for the legend.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the picture would be too large.
    """
    pictures = {cell.path: _picture(cell.path) for row in rows for cell in row.cells}
    slope = max(picture.height / picture.width for picture in pictures.values())
    columns = max(len(row.cells) for row in rows)
    width = max(DOUBLE, (CELL + GAP) * columns + 3 * GAP)
    cell = (width - 3 * GAP) / columns - GAP
    step = min(slope, 3.0) * cell + 4 * LINE + 2 * GAP
    height = 2.2 * LINE + step * len(rows) + GAP
    if max(height, width) > TALLEST:
        raise UsageError(f"{len(rows)} queries of {columns - 1} images are too many for a picture")
    with drawn(path, width, height, layout="none") as figure:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        _draw_legend(axes, width, title, meanings)
        for k, row in enumerate(rows):
            upper = 2.2 * LINE + k * step
            axes.text(GAP, upper, row.heading, fontsize=7, va="top")
            box = (cell, step - 4 * LINE - 2 * GAP)
            for column, one in enumerate(row.cells):
                left = GAP + column * (cell + GAP) + (GAP if column else 0)
                _draw_image(axes, pictures[one.path], (left, upper + 1.4 * LINE), box)
                _draw_mark(axes, one.mark, one.words, (left, upper), box)


def _picture(path: Path) -> Image.Image:
    picture = read_image(path)
    if picture.height > PIXELS:
        size = max(1, round(picture.width * PIXELS / picture.height)), PIXELS
        return picture.resize(size, Image.Resampling.BILINEAR)
    return picture


def _mark(found: RankedList, images: FeatureSet, column: int) -> Mark | None:
    """Of the query, in column 0, there is none."""
    if column == 0:
        return None
    if found.removed[column - 1]:
        return REMOVED
    same = images.pids[found.gallery[column - 1]] == images.pids[found.query]
    return RIGHT if same else WRONG


def _words(found: RankedList, images: FeatureSet, column: int) -> tuple[str, str]:
    """Two lines below an image: its rank and identity, its camera."""
    row = found.query if column == 0 else int(found.gallery[column - 1])
    camera = f"camera {images.camids[row]}"
    if column == 0:
        return Modality(int(images.modality[row])).name.lower(), camera
    rank = int(found.ranks()[column - 1])
    return f"{rank or ''} id {images.pids[row]}".strip(), camera


def _draw_image(
    axes: Axes, picture: Image.Image, corner: tuple[float, float], box: tuple[float, float]
) -> None:
    """As large as the box allows, in its middle, undistorted."""
    scale = min(box[0] / picture.width, box[1] / picture.height)
    width, height = scale * picture.width, scale * picture.height
    left, upper = corner[0] + (box[0] - width) / 2, corner[1] + (box[1] - height) / 2
    axes.imshow(
        np.asarray(picture),
        extent=(left, left + width, upper + height, upper),
        aspect="auto",
        interpolation="antialiased",
    )


def _draw_mark(
    axes: Axes,
    mark: Mark | None,
    words: tuple[str, str],
    corner: tuple[float, float],
    box: tuple[float, float],
) -> None:
    left, upper = corner[0], corner[1] + 1.4 * LINE
    middle, below = left + box[0] / 2, upper + box[1] + 0.4 * LINE
    text: dict[str, Any] = {"fontsize": 6.5, "ha": "center", "va": "top"}
    sign = ""
    if mark is not None:
        color, dashes, sign = mark
        _draw_frame(axes, (left, upper), box, color, dashes)
        if mark is REMOVED:  # paler, as it does not count
            axes.fill_between([left, left + box[0]], upper, upper + box[1], color="w", alpha=0.55)
    axes.text(middle, below, f"{sign} {words[0]}".strip(), **text)
    axes.text(middle, below + LINE, words[1], **text)


def _draw_frame(
    axes: Axes, corner: tuple[float, float], box: tuple[float, float], color: str, dashes: str
) -> None:
    from matplotlib.patches import Rectangle

    style: dict[str, Any] = {"fill": False, "edgecolor": color, "linestyle": dashes}
    axes.add_patch(Rectangle(corner, *box, linewidth=1.8, **style))


def _draw_legend(axes: Axes, width: float, title: str, meanings: Mapping[str, Mark]) -> None:
    """The heading, and what the frames mean, from right to left."""
    axes.text(GAP, GAP, title, fontsize=7, va="top", weight="bold")
    right = width - GAP
    for meaning, (color, dashes, sign) in reversed(meanings.items()):
        text = axes.text(right, GAP, f"{sign} {meaning}", fontsize=6.5, va="top", ha="right")
        right -= text.get_window_extent().width / axes.figure.dpi + 0.22  # data are inches
        _draw_frame(axes, (right, GAP), (0.16, 0.09), color, dashes)
        right -= 0.15
