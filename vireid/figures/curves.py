"""Learning curves and CMC curves, drawn from runs' saved numbers."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid.errors import DataError, UsageError
from vireid.evaluation.results import read_results
from vireid.figures.style import DOUBLE, drawn, line_style, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NOT_PLOTTED = {"epoch", "steps", "lr", "seconds", "wait_share", "peak_memory_mib"}
GRADIENT = "gradient norm"
RANKS = 20  # of a CMC curve
Row = Mapping[str, float]  # of metrics.csv, without the empty columns


def draw_run(folder: Path) -> None:
    """Both figures of a run folder, from its metrics.csv and results.json, into figures/."""
    draw_learning_curves(
        {folder.name: read_history(folder)}, folder / "figures/learning_curves.png"
    )
    results = read_results(folder / "results.json")
    draw_cmc({folder.name: results["protocols"]}, folder / "figures/cmc.png")


def read_history(run: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, one per epoch.

    Raises:
        DataError: missing, empty, or no such file.
    """
    path = run / "metrics.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{path} holds no learning curves ({type(error).__name__}: {error}): name the folder "
            "of a run that has trained for an epoch"
        ) from error
    if not rows or any("epoch" not in row for row in rows):
        raise DataError(f"{path} holds no epoch yet: let the run finish one")
    return rows


def panels_of(columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Columns of metrics.csv by what they belong to: panel → label → column.

    >>> panels_of(["epoch", "loss_sdm_kl_shallow1", "grad_identity"])["students, kl"]
    {'shallow1': 'loss_sdm_kl_shallow1'}
    """
    panels: dict[str, dict[str, str]] = {}
    for column in columns:
        if column not in NOT_PLOTTED:
            panel, label = _place(column)
            panels.setdefault(panel, {})[label] = column
    return panels


def _place(column: str) -> tuple[str, str]:
    """Panel and label of a column."""
    kind, _, name = column.partition("_")
    if kind not in ("loss", "grad"):
        return "accuracy", "training" if column == "accuracy" else column.replace("_", " ")
    if not name:
        return "total loss", "total"
    about = f"{GRADIENT}, " if kind == "grad" else ""
    if name.startswith("sdm_"):
        term, _, student = name.removeprefix("sdm_").rpartition("_")
        return f"{about}students, {term}", student
    if name.startswith("part_"):
        return f"{about}parts", name.removeprefix("part_").replace("_", " ")
    return f"{about}deep head", name.replace("_", " ")


def draw_learning_curves(
    runs: Mapping[str, Sequence[Row]], path: Path, *, terms: Sequence[str] = ()
) -> None:
    """Loss terms, accuracies and gradient norms over epochs.

    One run's terms share panels by what they belong to; of several runs each term has a panel.

    Args:
        runs: rows of metrics.csv, by title.
        path: PNG, PDF or SVG.
        terms: draw only columns whose name contains one of these.
    Raises:
        UsageError: no column's name does.
    """
    panels = panels_of(_chosen(runs, terms))
    several = len(runs) > 1
    if several:
        panels = {
            panel if label == "total" else f"{panel}: {label}": {label: column}
            for panel, members in panels.items()
            for label, column in members.items()
        }
    across = min(3 if several else 2, len(panels))
    down = -(-len(panels) // across)
    with drawn(path, min(DOUBLE, 3.6 * across), 0.4 + 1.6 * down) as figure:
        fields = figure.subplots(down, across, squeeze=False).flatten()
        lines = [
            _draw_panel(axes, panel, members, runs)
            for axes, (panel, members) in zip(fields, panels.items(), strict=False)
        ]
        for axes in fields[len(panels) :]:
            axes.remove()
        if several:
            style: dict[str, Any] = {"loc": "outside upper center", "ncols": 3, "frameon": False}
            figure.legend(lines[0], list(runs), **style)


def _chosen(runs: Mapping[str, Sequence[Row]], terms: Sequence[str]) -> list[str]:
    columns = dict.fromkeys(name for rows in runs.values() for row in rows for name in row)
    known = [name for name in columns if name not in NOT_PLOTTED]
    chosen = [name for name in known if not terms or any(term in name for term in terms)]
    if not chosen:
        raise UsageError(
            f"no column is named like {', '.join(terms)}; there are {', '.join(known)}"
        )
    return chosen


def _draw_panel(
    axes: Axes, panel: str, members: Mapping[str, str], runs: Mapping[str, Sequence[Row]]
) -> list[Line2D]:
    """Draws a line for each member of a panel, or for each run, and returns them."""
    from matplotlib.ticker import LogLocator, NullLocator

    several = len(runs) > 1
    rows_of = [
        (title if several else label, [row for row in history if column in row], column)
        for title, history in runs.items()
        for label, column in members.items()
    ]
    lines = [
        axes.plot(
            [row["epoch"] for row in rows],
            [row[column] for row in rows],
            marker="o" if len(rows) == 1 else None,
            markersize=3,
            **line_style(number),
        )[0]
        for number, (_, rows, column) in enumerate(rows_of)
    ]
    tidy(axes)
    axes.set_title("\n".join(textwrap.wrap(panel, 32 if several else 40)), loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if panel.startswith(GRADIENT):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, 1 if panel.startswith("accuracy") else 1.05 * axes.dataLim.ymax or 1)
    if not several and len(lines) > 1:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1.03)}
        axes.legend(lines, [label for label, *_ in rows_of], frameon=False, **place)
    return lines


def draw_cmc(runs: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Mean CMC curves: one run's in one panel, of several runs a panel for each protocol.

    Args:
        runs: entries of results.json by protocol, by title.
        path: PNG, PDF or SVG.
    """
    protocols = list(dict.fromkeys(name for entries in runs.values() for name in entries))
    panels: dict[str, dict[str, Mapping[str, Any]]] = {
        name: {title: entries[name] for title, entries in runs.items() if name in entries}
        for name in protocols
    }
    if len(runs) == 1:
        panels = {"": dict(*runs.values())}
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    with drawn(path, DOUBLE if across == 2 else 4.2, 0.2 + 2.6 * down) as figure:
        fields = figure.subplots(down, across, squeeze=False).flatten()
        for axes, (protocol, entries) in zip(fields, panels.items(), strict=False):
            _draw_cmc_panel(axes, protocol, entries)
        for axes in fields[len(panels) :]:
            axes.remove()


def _draw_cmc_panel(axes: Axes, protocol: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
    names = [f"{name} ({100 * entry['mean']['rank1']:.1f} %)" for name, entry in entries.items()]
    lines = []
    for number, entry in enumerate(entries.values()):
        cmc = [100 * value for value in entry["cmc"][:RANKS]]
        lines += axes.plot(range(1, len(cmc) + 1), cmc, **line_style(number))
    tidy(axes)
    axes.set_title(protocol, loc="left")
    axes.set_xlabel("rank")
    axes.set_ylabel("queries answered (%)")
    axes.set_ylim(0, 100)
    axes.set_xlim(left=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    style: dict[str, Any] = {"loc": "best", "title": "rank-1", "alignment": "left"}
    axes.legend(lines, names, frameon=False, **style)
