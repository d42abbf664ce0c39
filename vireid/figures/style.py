"""Colours, lines, sizes and fonts of all figures, and how figures are saved.

Line styles, markers and numbers repeat what colours show, so that figures can be printed in grey.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vireid.errors import UsageError
from vireid.structures import Modality
from vireid.utils.io import replace_file, require_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart, without yellow, which is
# hard to see on white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}  # filled and hollow
GREY = "#767676"
HEAT = "inferno"  # its lightness rises evenly, also in grey print
SINGLE, DOUBLE = 3.4, 7.0  # inches: width of a paper's column and of a page
TALLEST = 200.0  # inches: the renderer cannot hold higher figures
DPI = 200
FORMATS = (".png", ".jpg", ".pdf", ".svg")
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
    defaults = dict(matplotlib.rcParamsDefault)
    for name in ("backend", "backend_fallback"):
        defaults.pop(name, None)
    return defaults | _SETTINGS


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
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of several panels, saved when the block ends.

    Args:
        path: PNG, JPEG, PDF or SVG.
        count: panels, filled row by row.
        height: of a panel, inches.
        width: of a panel that is alone, inches; several panels share the width of a page.
        columns: at most.
        margin: height above and below all panels together, inches.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    with drawn(path, width if columns == 1 else DOUBLE, margin + height * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for unused in panels[count:]:
            unused.remove()
        yield figure, panels[:count]


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


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of a panel's line, counted from 0; 28 differ."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": STYLES[number % len(STYLES)]}


def tidy(axes: Axes) -> None:
    """A faint grid behind what is drawn, and no frame above and on the right."""
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
