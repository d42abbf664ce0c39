"""Draws where a network looks: a row per image, a column per exit and granularity."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.analysis.activations import Activations
from vireid.analysis.style import HEAT, TALLEST, drawn
from vireid.errors import UsageError
from vireid.structures import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL, ALPHA = 0.8, 0.55  # inches across an image; of what lies on it
NOTE = (
    "Energy of the map that each exit pools (squares summed over channels): dark 0, bright the "
    "image's own largest"
)
STRIPES = "; stripes: share of the deepest map's energy"


def draw_activations(found: Activations, path: Path) -> None:
    """The image, its energy at every exit, and the share of it in every stripe.

    Args:
        path: PNG, PDF or SVG.
    Raises:
        UsageError: too many images for one picture.
    """
    columns = ["image", *found.maps, *(f"{g} stripes" for g in found.granularities)]
    slope = found.images.shape[1] / found.images.shape[2]
    width, height = 0.5 + (CELL + 0.06) * len(columns), (CELL * slope + 0.08) * len(found.images)
    if height > TALLEST:
        raise UsageError(f"{len(found.images)} images are too many for one picture")
    with drawn(path, width, height + 0.75) as figure:
        fields = figure.subplots(len(found.images), len(columns), squeeze=False)
        for axes, name in zip(fields[0], columns, strict=True):
            axes.set_title(name, fontsize=7.5)
        for row in range(len(found.images)):
            _draw_row(fields[row], found, row)
        for axes in fields.flatten():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        note = NOTE + (STRIPES if found.granularities else "")
        figure.supxlabel("\n".join(textwrap.wrap(note, int(width * 17))), fontsize=6.5)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)


def _draw_row(fields: np.ndarray, found: Activations, row: int) -> None:
    image = found.images[row]
    modality = Modality(int(found.modality[row])).name.lower()
    fields[0].set_ylabel(
        f"{modality}\nid {found.pids[row]}, camera {found.camids[row]}", fontsize=7
    )
    fields[0].imshow(image)
    grey = 0.2 + 0.6 * image.astype(float).mean(axis=2) / 255  # pale: the energy is to be seen
    exits = list(found.maps.items())
    for axes, (_, maps) in zip(fields[1:], exits, strict=False):
        _draw_heat(axes, grey, maps[row])
    for axes, granularity in zip(fields[1 + len(exits) :], found.granularities, strict=True):
        _draw_stripes(axes, grey, found.shares(granularity)[row])


def _draw_heat(axes: Axes, grey: np.ndarray, energy: np.ndarray) -> None:
    """The map's own cells, not smoothed: between them the network says nothing."""
    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    heat: dict[str, Any] = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "alpha": ALPHA}
    axes.imshow(energy, cmap=HEAT, vmin=0, vmax=energy.max() or 1, interpolation="nearest", **heat)


def _draw_stripes(axes: Axes, grey: np.ndarray, shares: np.ndarray) -> None:
    import matplotlib
    from matplotlib.patheffects import withStroke

    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    colors = matplotlib.colormaps[HEAT]
    ends = np.linspace(0, height, len(shares) + 1) - 0.5
    for share, top, bottom in zip(shares, ends[:-1], ends[1:], strict=True):
        axes.axhspan(top, bottom, color=colors(share / max(shares.max(), 1e-12)), alpha=ALPHA, lw=0)
        axes.axhline(top, color="white", linewidth=0.8) if top > 0 else None
        halo = [withStroke(linewidth=1.5, foreground="white")]
        place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5}
        middle = ((width - 1) / 2, (top + bottom) / 2)
        axes.text(*middle, f"{100 * share:.0f} %", path_effects=halo, **place)
