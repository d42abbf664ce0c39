"""Rows of images with text below them: ranked lists, search results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import UsageError
from vireid.figures.style import COLORS, DOUBLE, GREY, SINGLE, TALLEST, drawn
from vireid.figures.text import fit_text, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[int, int, int, int]  # x0, y0, x1, y1: pixels of an upright image
Place = tuple[Path, Box | None, tuple[Path, ...]]  # a file, the part that is shown, more files
Mark = tuple[str, str, str]  # colour, dashes and sign of a frame; all three differ, for grey print
RIGHT = (COLORS[0], "-", "✓")
WRONG = (COLORS[1], "--", "✗")
REMOVED = (GREY, ":", "–")
FRAME = 1.8  # points: width of a frame's line
TEXT, LINE = 7.0, 0.117  # points: letters; inches: from a line of text to the next
GAP = 0.06  # inches between cells
LEAST, WIDEST, HIGHEST = 0.48, 1.1, 2.2  # inches: narrowest and widest cell, highest image
LEFT_OUT = 0.18  # inches of the … for images that are not shown
PER_LINE = 10  # gallery images, where one line cannot hold a row
PIXELS = 300  # height to which images are reduced: print shows no more


@dataclass(frozen=True, slots=True)
class ImageCell:
    """An image with the frame around it and the text below it.

    Args:
        text: entries that begin on a new line each.
        more: files that are shown beside the first: further frames of a track.
        lines: that an entry may take, before its middle is left out.
        box: the part of the image that is shown; None for all of it.
    """

    path: Path
    text: Sequence[str]
    mark: Mark | None = None
    lines: int = 3
    box: Box | None = None
    more: tuple[Path, ...] = ()

    @property
    def place(self) -> Place:
        """What the cell shows."""
        return self.path, self.box, self.more


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A query, which is the first cell, and its nearest gallery images.

    Args:
        heading: lines above the images.
        cells: None where images are left out, which is drawn as ….
    """

    heading: Sequence[str]
    cells: Sequence[ImageCell | None]


def draw_rows(
    rows: Sequence[ImageRow],
    path: Path,
    *,
    title: str,
    meanings: Mapping[str, Mark],
    notes: Sequence[str] = (),
) -> None:
    """Draws rows of images, all in cells of one size.

    A row that is too long for the width of a page continues below, right of its query.

    Args:
        meanings: of the frames, for the legend, which names those that occur.
        notes: lines below the legend.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the figure would be too large.
    """
    cells = [cell for row in rows for cell in row.cells if cell]
    pictures = {place: show_image(*place) for place in dict.fromkeys(c.place for c in cells)}
    slope = min(3.0, max(picture.height / picture.width for picture in pictures.values()))
    used = {cell.mark for cell in cells}
    legend = {meaning: mark for meaning, mark in meanings.items() if mark in used}
    width, cell = _sizes(rows, slope, strips=any(cell.more for cell in cells))
    with drawn(path, width, 1, layout=None) as figure:
        axes = page_axes(figure)
        lower = draw_header(axes, title, legend, notes, width=width)
        for row in rows:
            upper = lower + 2 * GAP
            for entry in row.heading:
                upper = write(axes, GAP, upper, fit_text(entry, width - 2 * GAP, TEXT, lines=2))
            lower = upper + GAP
            for line in _lines(row.cells, width, cell):
                lower = _draw_line(axes, line, lower, (cell, slope * cell), pictures)
        end_page(figure, lower + GAP)


def _sizes(rows: Sequence[ImageRow], slope: float, *, strips: bool) -> tuple[float, float]:
    """Width of the figure and of a cell, in inches: one line for each row if a page can hold it.

    Strips of frames are twice as wide as images.
    """
    least, widest, most = LEAST, WIDEST, PER_LINE
    if strips:
        least, widest, most = 2 * LEAST, 2 * WIDEST, PER_LINE // 2
    gaps = max(row.cells.count(None) for row in rows) * (LEFT_OUT + GAP)
    columns = max(sum(cell is not None for cell in row.cells) for row in rows)

    def cell_in(width: float, count: int) -> float:
        return min(widest, HIGHEST / slope, (width - 3 * GAP - gaps) / count - GAP)

    width = SINGLE if columns <= 0.4 * most else DOUBLE
    if cell_in(width, columns) >= least or columns <= most + 1:
        return width, cell_in(width, columns)
    for per_line in range(most, columns + most, most):
        width = DOUBLE * per_line / most
        cell = cell_in(width, per_line + 1)
        if len(rows) * -(-columns // per_line) * (slope * cell + 6 * LINE) < 0.9 * TALLEST:
            break
    return width, cell


def _lines(
    cells: Sequence[ImageCell | None], width: float, cell: float
) -> Iterator[list[tuple[float, ImageCell | None]]]:
    """The cells of each line of a row, with the inches from the left edge where they begin."""
    line: list[tuple[float, ImageCell | None]] = [(GAP, cells[0])]
    left = second = 3 * GAP + cell  # a wider gap follows the query
    for one in cells[1:]:
        if left + cell > width and line:
            yield line
            line, left = [], second
        line.append((left, one))
        left += GAP + (LEFT_OUT if one is None else cell)
    yield line


def _draw_line(
    axes: Axes,
    line: Sequence[tuple[float, ImageCell | None]],
    upper: float,
    size: tuple[float, float],
    pictures: Mapping[Place, Image.Image],
) -> float:
    """Draws images and what is below them; returns where the next line begins."""
    width, height = size
    lower = below = upper + height + GAP
    for left, one in line:
        if one is None:
            middle = left + LEFT_OUT / 2
            write(axes, middle, upper + height / 2, "…", ha="center", fontsize=2 * TEXT)
            continue
        draw_image(axes, pictures[one.place], (left, upper, width, height), mark=one.mark)
        sign = one.mark[2] if one.mark else ""
        texts = [f"{sign} {one.text[0]}".strip(), *one.text[1:]]
        room = width + 0.7 * GAP  # 0.02 inches stay between the texts of two cells
        words = "\n".join(fit_text(text, room, TEXT, lines=one.lines) for text in texts)
        lower = max(lower, write(axes, left + width / 2, below, words, ha="center"))
    return lower + GAP


def show_image(path: Path, box: Box | None = None, more: Sequence[Path] = ()) -> Image.Image:
    """An image as figures show it: RGB, and not larger than print needs.

    Args:
        more: files of which a strip is made, beside the first.
    Raises:
        DataError: one is missing or cannot be read.
    """
    if more:
        return side_by_side([show_image(path, box), *(show_image(one) for one in more)])
    picture = read_image(path, SHOWN)
    picture = picture.crop(box) if box else picture
    scale = PIXELS / max(picture.height, picture.width)
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """A strip of pictures in one height, that of the first, on white."""
    height = pictures[0].height
    widths = [max(1, round(one.width * height / one.height)) for one in pictures]
    gap = max(1, widths[0] // 30)
    strip = Image.new("RGB", (sum(widths) + gap * (len(widths) - 1), height), "white")
    left = 0
    for one, width in zip(pictures, widths, strict=True):
        strip.paste(one if one.size == (width, height) else one.resize((width, height)), (left, 0))
        left += width + gap
    return strip


def page_axes(figure: Figure) -> Axes:
    """Axes of the whole figure; coordinates are inches from the upper left corner."""
    figure.suppressComposite = True  # vector files keep the images apart
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.autoscale(False)
    return axes


def end_page(figure: Figure, height: float) -> None:
    """Gives a figure with :func:`page_axes` the height that its content needs.

    Raises:
        UsageError: it would be too large.
    """
    width = figure.get_figwidth()
    if max(height, width) > TALLEST:
        raise UsageError(
            f"a picture of {height:,.0f} × {width:,.0f} inches is too large: name fewer images"
        )
    figure.set_size_inches(width, height)
    figure.axes[0].set(xlim=(0, width), ylim=(height, 0))


def draw_image(
    axes: Axes,
    picture: Image.Image,
    place: tuple[float, float, float, float],
    *,
    mark: Mark | None = None,
) -> None:
    """The image in the middle of its place, undistorted; images that do not count are paler.

    Args:
        place: left, upper, width and height, in inches as of :func:`page_axes`.
    """
    left, upper, width, height = place
    scale = min(width / picture.width, height / picture.height)
    wide, tall = picture.width * scale, picture.height * scale
    left, upper = left + (width - wide) / 2, upper + (height - tall) / 2
    extent = (left, left + wide, upper + tall, upper)
    axes.imshow(picture, extent=extent, aspect="auto", alpha=0.45 if mark is REMOVED else 1)
    if mark is not None:
        draw_frame(axes, (left, upper, wide, tall), mark)


def draw_frame(
    axes: Axes, place: tuple[float, float, float, float], mark: Mark, *, line: float = FRAME
) -> None:
    """The frame of a mark around a place as of :func:`draw_image`; ``line`` is in points."""
    from matplotlib.patches import Rectangle

    left, upper, width, height = place
    style: dict[str, Any] = {"ec": mark[0], "ls": mark[1], "lw": line, "capstyle": "butt"}
    axes.add_patch(Rectangle((left, upper), width, height, fill=False, joinstyle="miter", **style))


def write(axes: Axes, left: float, upper: float, text: str, **options: Any) -> float:
    """Writes lines of text from a place in inches on; returns where the next line begins."""
    style: dict[str, Any] = {"fontsize": TEXT, "va": "top"} | options
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line:
            axes.text(left, upper + number * LINE, line, **style)
    return upper + len(lines) * LINE


def draw_header(
    axes: Axes, title: str, legend: Mapping[str, Mark], notes: Sequence[str], *, width: float
) -> float:
    """Title, legend and notes of a figure; returns where its content begins."""
    inner = width - 2 * GAP
    fitted = fit_text(title, inner, TEXT, lines=3, bold=True)
    upper = write(axes, GAP, GAP, fitted, weight="bold") + GAP / 2
    left, box = GAP, 0.26
    for meaning, mark in legend.items():
        words = f"{mark[2]} {meaning}"
        length = box + GAP + text_width(words, TEXT)
        if left + length > width - GAP:
            left, upper = GAP, upper + 1.3 * LINE
        draw_frame(axes, (left + 0.02, upper, box - 0.04, 0.9 * LINE), mark, line=1.2)
        write(axes, left + box + GAP / 2, upper, words)
        left += length + 3 * GAP
    upper += 1.3 * LINE if legend else 0
    for note in notes:
        upper = write(axes, GAP, upper, fit_text(note, inner, TEXT, lines=3))
    return upper
