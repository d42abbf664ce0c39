"""Colours, lines, sizes and fonts of all figures, and how figures are saved.

Line styles, markers and numbers repeat what colours show, so that figures can be printed in grey.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vireid.errors import UsageError
from vireid.structures import Modality
from vireid.utils.io import replace_file, require_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

# Okabe and Ito's palette, which colour-blind readers can tell apart, without yellow, which is
# hard to see on white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKS = "os^DvPX"  # of lines
MARKERS = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}  # filled and hollow
GREY = "#767676"
HEAT = "inferno"  # its lightness rises evenly, also in grey print
SINGLE, DOUBLE = 3.4, 7.0  # inches: width of a paper's column and of a page
TALLEST = 200.0  # inches: the renderer cannot hold higher figures
DPI = 200
FORMATS = (".png", ".jpg", ".pdf", ".svg")
LINE = 0.16  # inches: height of a legend's line
LETTER = 0.062  # inches: width of a legend's letter
# Fonts with characters that matplotlib's own font lacks; those that are installed are used.
FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
)
_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "svg.hashsalt": "vireid",  # equal figures are equal files
    "text.parse_math": False,  # names of folders and labels may hold dollars
}
# No date, so that equal figures are equal files.
_METADATA: dict[str, dict[str, Any] | None] = {
    ".png": {},
    ".jpg": None,
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
}


def load_matplotlib() -> Any:
    """matplotlib, whatever the user's settings are; they stay as they are for the user's figures.

    Figures are drawn without pyplot, and so without a backend. But a MPLBACKEND that matplotlib
    does not know, such as that of a notebook in a process that the notebook starts, already ends
    the import.

    Raises:
        UsageError: it cannot be imported.
    """
    chosen = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except Exception as error:  # a matplotlibrc that is no text, for example
        raise UsageError(
            f"matplotlib cannot be imported ({type(error).__name__}: {error}): mend or remove "
            "its settings (a file matplotlibrc, MATPLOTLIBRC)"
        ) from error
    finally:
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
    if chosen is not None:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = chosen
    return matplotlib


def _own_settings(matplotlib: Any) -> dict[str, Any]:
    """matplotlib's defaults and this style, so that no setting of the user changes a figure."""
    from matplotlib.font_manager import fontManager

    defaults = dict(matplotlib.rcParamsDefault)
    for name in ("backend", "backend_fallback"):
        defaults.pop(name, None)
    installed = set(fontManager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    return defaults | _SETTINGS | {"font.family": fonts}


@contextmanager
def _missing_characters(path: Path) -> Iterator[None]:
    """Says in one line which characters no installed font has; they are drawn as boxes."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    missing: dict[str, None] = {}
    for warning in seen:
        if found := re.match(r"Glyph (\d+) .* missing from", str(warning.message)):
            missing[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if missing:
        shown = "".join(list(missing)[:10])
        print(
            f"{path}: no installed font has {shown}{'' if len(missing) <= 10 else ' …'}, so boxes "
            "are drawn; install a font with these characters (for Chinese, Japanese and Korean: "
            "Noto Sans CJK)",
            file=sys.stderr,
        )


@contextmanager
def drawn(
    path: Path,
    width: float,
    height: float,
    *,
    layout: Literal["constrained"] | None = "constrained",
) -> Iterator[Figure]:
    """A figure in this style, saved when the block ends.

    Args:
        path: PNG, JPEG, PDF or SVG.
        width, height: inches.
        layout: matplotlib's layout engine; None where the caller places everything.
    Raises:
        UsageError: the file cannot be written.
    """
    matplotlib = load_matplotlib()
    from matplotlib.figure import Figure

    suffix = path.suffix.lower()
    with matplotlib.rc_context(_own_settings(matplotlib)):
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        saving: dict[str, Any] = {"format": suffix[1:], "metadata": _METADATA[suffix], "dpi": DPI}
        if suffix == ".jpg":  # without subsampling, which would blur coloured text
            saving["pil_kwargs"] = {"quality": 80, "subsampling": 0, "optimize": True}
        with _missing_characters(path):
            replace_file(path, lambda file: figure.savefig(file, **saving))


@contextmanager
def drawn_panels(
    path: Path,
    count: int,
    *,
    height: float,
    width: float = SINGLE,
    columns: int = 2,
    margin: float = 0.3,
    fill: bool = False,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of several panels, saved when the block ends.

    Args:
        path: PNG, JPEG, PDF or SVG.
        count: panels, filled row by row.
        height: of a panel, inches.
        width: of a panel that is alone, inches; several panels share the width of a page.
        columns: at most.
        margin: height above and below all panels together, inches.
        fill: panels of an incomplete last row share the width of the page.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    with drawn(path, width if columns == 1 else DOUBLE, margin + height * rows) as figure:
        last = count - columns * (rows - 1) if fill else columns
        grid = figure.add_gridspec(rows, columns * last)
        yield figure, [figure.add_subplot(_field(grid, k, columns, last)) for k in range(count)]


def _field(grid: GridSpec, number: int, columns: int, last: int) -> Any:
    """The place of a panel in a grid of ``columns · last`` columns; ``last``: of the last row."""
    row, column = divmod(number, columns)
    share = columns if row == grid.nrows - 1 else last
    return grid[row, column * share : (column + 1) * share]


def require_figure(path: Path, *, inputs: Collection[Path] = ()) -> None:
    """Checks, before any work is done, that a figure can be written.

    Args:
        inputs: files and folders that the work reads.
    Raises:
        UsageError: the file is no PNG, JPEG, PDF or SVG, or cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw {path}: name a file that ends in {', '.join(FORMATS)}")
    require_target(path, inputs=inputs)


def require_no_image(path: Path, root: Path, images: Iterable[str]) -> None:
    """Raises :class:`UsageError` if a figure would replace an image of the data set.

    Args:
        root: folder that the images' paths are relative to.
    """
    target = path.resolve()
    if any(name.endswith(path.name) and (root / name).resolve() == target for name in images):
        raise UsageError(f"cannot write {path}: it is an image of the data set; name another file")


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of a panel's line, counted from 0; 28 differ."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": STYLES[number % len(STYLES)]}


def tidy(axes: Axes) -> None:
    """A faint grid behind what is drawn, and no frame above and on the right."""
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def head(
    axes: Axes, title: str, handles: Sequence[Any] = (), names: Sequence[str] = (), *, columns: int
) -> None:
    """A title, and below it a legend, above a panel: neither hides what is drawn.

    Args:
        columns: of the legend.
    """
    if not handles:
        axes.set_title(title, loc="left")
        return
    style: dict[str, Any] = {"frameon": False, "alignment": "left", "borderaxespad": 0.0}
    style |= {"handlelength": 1.8, "columnspacing": 1.2, "borderpad": 0.0}
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.03), "ncols": columns}
    legend = axes.legend(handles, names, title=title or None, **place, **style)
    legend.get_title().set_fontsize(8)


def legend_columns(names: Sequence[str], width: float, *, mark: float = 0.55) -> int:
    """How many columns of a legend fit in so many inches, at least 1, in rows of equal length.

    Args:
        mark: inches of a line's mark and the space around it.
    """
    letters = max(len(line) for name in names for line in name.split("\n"))
    fitting = max(1, min(len(names), int(width / (LETTER * letters + mark))))
    rows = -(-len(names) // fitting)
    return -(-len(names) // rows)


def legend_height(names: Sequence[str], columns: int) -> float:
    """Inches that a legend needs."""
    lines = [name.count("\n") + 1 for name in names]
    rows = -(-len(lines) // columns)
    by_column = (sum(lines[k * rows : (k + 1) * rows]) for k in range(columns))
    return LINE * max(by_column) + 0.1
