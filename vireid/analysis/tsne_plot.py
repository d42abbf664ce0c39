"""Draws features in the plane: marker = modality, colour and written number = identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.analysis.style import COLORS, DOUBLE, GREY, MARKERS, SINGLE, drawn
from vireid.analysis.tsne import Panel
from vireid.structures import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NUMBERED = 40  # identities that are told apart; of more only the modalities are
NEAR = 0.06  # of the picture's width: two middles that share a label
BY_MODALITY = {Modality.VISIBLE: COLORS[0], Modality.INFRARED: COLORS[1]}


def draw_panels(panels: Sequence[Panel], path: Path) -> None:
    """One panel beside the other; an identity has the same colour in all of them.

    No palette has twenty colours that everybody tells apart. So colours repeat, and the identity
    stands at the middle of its images of each modality, from where thin lines lead to them; a
    dashed line joins the two middles, which are one where they are near. Of more than
    :data:`MOST_NUMBERED` identities only the modalities are told apart, by colour too.

    Args:
        path: PNG, PDF or SVG.
    """
    pids = sorted({int(pid) for one in panels for pid in one.images.pids})
    numbered = len(pids) <= MOST_NUMBERED
    colors = {pid: COLORS[k % len(COLORS)] for k, pid in enumerate(pids)}
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    width = SINGLE if across == 1 else DOUBLE
    with drawn(path, width, 0.3 + 3.3 * down) as figure:
        fields = figure.subplots(down, across, squeeze=False).flatten()
        for axes, one in zip(fields, panels, strict=False):
            if numbered:
                _draw_spokes(axes, one, colors)
            _draw_points(axes, one, colors if numbered else None)
            _finish(axes, one, titled=len(panels) > 1)
        for axes in fields[len(panels) :]:
            axes.remove()
        present = [m for m in Modality if any((one.images.modality == m).any() for one in panels)]
        if len(present) > 1:
            handles = [_legend_mark(modality, numbered) for modality in present]
            style: dict[str, Any] = {"loc": "outside upper center", "ncols": 2, "frameon": False}
            figure.legend(handles=handles, **style)


def _draw_points(axes: Axes, one: Panel, colors: Mapping[int, str] | None) -> None:
    size = 14 if colors else max(1.5, min(14, 4000 / len(one.points)))
    for modality in Modality:
        rows = np.flatnonzero(one.images.modality == modality)
        if colors:
            shades = [colors[int(pid)] for pid in one.images.pids[rows]]
        else:
            shades = [BY_MODALITY[modality]] * len(rows)
        filled = modality is Modality.VISIBLE
        axes.scatter(
            *one.points[rows].T,
            s=size,
            marker=MARKERS[modality],
            facecolors=shades if filled else "none",
            edgecolors="none" if filled else shades,
            linewidths=0.8 if colors else 0.5,
            alpha=0.9,
        )


def _draw_spokes(axes: Axes, one: Panel, colors: Mapping[int, str]) -> None:
    """Lines to the middle of an identity's images of a modality, and between its two middles."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    near = NEAR * float(np.ptp(one.points, axis=0).max())
    halo = [withStroke(linewidth=2, foreground="white")]
    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5, "zorder": 5}
    for pid, color in colors.items():
        middles = []
        for modality in Modality:
            rows = (one.images.pids == pid) & (one.images.modality == modality)
            if not rows.any():
                continue
            # The median: a stray image does not pull it out of the others.
            middle = np.median(one.points[rows], axis=0)
            lines = [(middle, point) for point in one.points[rows]]
            axes.add_collection(LineCollection(lines, colors=color, linewidths=0.5, alpha=0.5))
            middles.append(middle)
        bridge: dict[str, Any] = {"color": color, "linewidth": 0.6, "alpha": 0.6}
        axes.plot(*np.transpose(middles), linestyle=(0, (2, 2)), **bridge)
        if np.linalg.norm(middles[0] - middles[-1]) < near:
            middles = [np.mean(middles, axis=0)]
        for middle in middles:
            axes.text(*middle, str(pid), color="black", path_effects=halo, **place)


def _finish(axes: Axes, one: Panel, *, titled: bool) -> None:
    axes.set_title(one.title if titled else "", loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(one.axes[0])
    axes.set_ylabel(one.axes[1])
    axes.set_aspect("equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_color(GREY)


def _legend_mark(modality: Modality, numbered: bool) -> Any:
    from matplotlib.lines import Line2D

    color = GREY if numbered else BY_MODALITY[modality]
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=MARKERS[modality],
        color=color,
        markerfacecolor=color if modality is Modality.VISIBLE else "none",
        markersize=4.5,
        label=modality.name.lower(),
    )
