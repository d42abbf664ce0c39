"""Ranked lists as a figure: queries, and their nearest gallery images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vireid.data.datasets.names import label_of
from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError, UsageError
from vireid.evaluation.ranked_lists import GalleryRanking, RankedList
from vireid.figures.style import COLORS, DOUBLE, GREY, TALLEST, drawn
from vireid.structures import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORST = ("ap", "first")
Mark = tuple[str, str, str]  # colour, dashes and sign of a frame; all three differ, for grey print
RIGHT = (COLORS[0], "-", "✓")
WRONG = (COLORS[1], "--", "✗")
REMOVED = (GREY, ":", "–")
MEANINGS = {
    "same identity": RIGHT,
    "another identity": WRONG,
    "left out by the protocol": REMOVED,
}
CELL, GAP, LINE = 0.58, 0.06, 0.115  # inches: narrowest cell, between cells, a line of text
HEADING = 2.2 * LINE  # above all rows
PIXELS = 192  # height to which images are reduced: print shows no more


@dataclass(frozen=True, slots=True)
class ImageCell:
    """An image, two lines of text below it, and the frame around it."""

    path: Path
    text: tuple[str, str]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A query, which is the first cell, and its nearest gallery images."""

    heading: str
    cells: Sequence[ImageCell]


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
        worst: ``ap``: queries of the lowest average precision first; ``first``: queries whose
            first match has the last rank; empty: drawn at random.
        names: instead, images by their path or identities by their name or number, in this order.
        count: how many, without ``names``; None for 6, or all where there are fewer.
    Raises:
        DataError: no query has one of the names, or none has a match.
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
        return sorted(np.random.default_rng(seed).choice(answered, count, replace=False).tolist())
    precision, first = search.precision[answered], search.first[answered]
    keys = (-first, precision) if worst == "ap" else (precision, -first)  # the last counts most
    return answered[np.lexsort(keys)][:count].tolist()


def _named(search: GalleryRanking, name: str) -> list[int]:
    images, rows = search.features, search.queries
    found = images.paths[rows] == name
    if not found.any():
        pids = [pid for pid, one in search.identities.items() if one == name]
        found = np.isin(images.pids[rows], pids)
    if not found.any() and name.isdecimal():
        found = images.pids[rows] == int(name)
    if not found.any():
        raise DataError(
            f"{search.protocol.name} has no query {name!r}: name an identity or an image as the "
            f"features do, such as {images.paths[rows[0]]}"
        )
    return np.flatnonzero(found).tolist()


def describe(found: RankedList, search: GalleryRanking) -> str:
    """One line: the query, its average precision and the rank of its first match."""
    images, unit = search.features, search.protocol.cmc_unit
    who = f"{images.paths[found.query]} (identity {_identity(search, found.query)}, camera "
    who += f"{_camera(search, found.query)})"
    if not found.first:
        return f"{who}: no match in the gallery"
    counted = "" if unit == "image" else ", counted in identities"
    return f"{who}: AP {found.precision:.3f}, first match at rank {found.first}{counted}"


def _identity(search: GalleryRanking, row: int) -> int | str:
    return label_of(int(search.features.pids[row]), search.identities)


def _camera(search: GalleryRanking, row: int) -> int | str:
    return label_of(int(search.features.camids[row]), search.cameras)


def draw_lists(
    lists: Sequence[RankedList],
    search: GalleryRanking,
    root: Path,
    path: Path,
    *,
    top: int | None = None,
    title: str = "",
) -> None:
    """A row per query with its nearest gallery images, also those that the protocol leaves out.

    Args:
        root: folder that the features' paths are relative to.
        top: gallery images shown; None for 10, or all where there are fewer.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the gallery holds fewer images, or the figure would be too large.
    """
    top = min(10, len(search.gallery)) if top is None else top
    if not 1 <= top <= len(search.gallery):
        raise UsageError(f"--top {top}: this gallery holds {len(search.gallery)} images")
    rows = [
        ImageRow(describe(found, search), cells_of(found, search, root, top)) for found in lists
    ]
    draw_rows(rows, path, title=title, meanings=MEANINGS)


def cells_of(found: RankedList, search: GalleryRanking, root: Path, top: int) -> list[ImageCell]:
    """The query and its nearest images, with their rank, identity and camera."""
    images = search.features
    modality = Modality(int(images.modality[found.query])).name.lower()
    texts: list[str] = [modality]
    marks: list[Mark | None] = [None]
    rows = found.gallery[:top]
    for row, rank, removed in zip(rows, found.ranks(), found.removed, strict=False):
        same = images.pids[row] == images.pids[found.query]
        texts.append(f"{rank or ''} id {_identity(search, row)}".strip())
        marks.append(REMOVED if removed else RIGHT if same else WRONG)
    return [
        ImageCell(root / str(images.paths[row]), (text, f"camera {_camera(search, row)}"), mark)
        for row, text, mark in zip([found.query, *rows], texts, marks, strict=True)
    ]


def draw_rows(
    rows: Sequence[ImageRow], path: Path, *, title: str, meanings: Mapping[str, Mark]
) -> None:
    """Rows of images, all in cells of one size.

    Args:
        meanings: of the frames, for the legend.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the figure would be too large.
    """
    pictures = {cell.path: _picture(cell.path) for row in rows for cell in row.cells}
    slope = min(3.0, max(picture.height / picture.width for picture in pictures.values()))
    columns = max(len(row.cells) for row in rows)
    width = max(DOUBLE, (CELL + GAP) * columns + 3 * GAP)
    cell = (width - 3 * GAP) / columns - GAP  # a wider gap follows the query
    step = slope * cell + 4 * LINE + 2 * GAP
    height = HEADING + step * len(rows) + GAP
    if max(height, width) > TALLEST:
        raise UsageError(f"{len(rows)} queries of {columns - 1} images are too many for a picture")
    with drawn(path, width, height, layout=None) as figure:
        _draw_legend(figure, width, height, title, meanings)
        for k, row in enumerate(rows):
            upper = HEADING + k * step  # inches from the top
            figure.text(GAP / width, 1 - upper / height, row.heading, fontsize=7, va="top")
            bottom = upper + 1.4 * LINE + slope * cell
            for column, one in enumerate(row.cells):
                left = GAP + column * (cell + GAP) + (GAP if column else 0)
                place = (left / width, 1 - bottom / height, cell / width, slope * cell / height)
                axes = figure.add_axes(place)
                _draw_cell(axes, pictures[one.path], one)


def _picture(path: Path) -> Image.Image:
    picture = read_image(path, SHOWN)
    if picture.height > PIXELS:
        size = max(1, round(picture.width * PIXELS / picture.height)), PIXELS
        return picture.resize(size, Image.Resampling.BILINEAR)
    return picture


def _draw_cell(axes: Axes, picture: Image.Image, cell: ImageCell) -> None:
    """The image in the middle of its cell, undistorted; images that do not count are paler."""
    color, dashes, sign = cell.mark or ("none", "-", "")
    axes.imshow(picture, alpha=0.45 if cell.mark is REMOVED else 1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=color, linestyle=dashes, linewidth=1.8, capstyle="butt")
    axes.set_xlabel(f"{sign} {cell.text[0]}".strip() + f"\n{cell.text[1]}", fontsize=6.5)


def _draw_legend(
    figure: Figure, width: float, height: float, title: str, meanings: Mapping[str, Mark]
) -> None:
    from matplotlib.patches import Patch

    upper = 1 - GAP / height
    figure.text(GAP / width, upper, title, fontsize=7, va="top", weight="bold")
    frame: dict[str, Any] = {"facecolor": "none", "linewidth": 1.8}
    frames = [Patch(ec=color, ls=dashes, **frame) for color, dashes, _ in meanings.values()]
    names = [f"{sign} {meaning}" for meaning, (_, _, sign) in meanings.items()]
    style: dict[str, Any] = {"frameon": False, "fontsize": 6.5, "borderaxespad": 0, "borderpad": 0}
    style |= {"loc": "upper right", "bbox_to_anchor": (1 - GAP / width, upper), "ncols": 3}
    figure.legend(frames, names, handleheight=1.0, handlelength=1.8, **style)
