"""Learning curves and CMC curves, drawn from runs' saved numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vireid.errors import UsageError
from vireid.evaluation.results import COLUMNS, read_results
from vireid.figures.names import short_names, wrapped
from vireid.figures.style import (
    LETTER,
    MARKS,
    SINGLE,
    drawn_panels,
    head,
    legend_columns,
    legend_height,
    line_style,
    tidy,
)
from vireid.runs.logs import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NOT_PLOTTED = {"epoch", "steps", "seconds", "wait_share", "peak_memory_mib"}
GRADIENT, VALIDATION = "gradient norm", "validation "
NATS, PERCENT, LOSS, NORM, RATE = "nats", "%", "loss", "norm, log scale", ""
STUDENTS = {  # terms of the student heads → what they are, unit
    "identity": ("identity loss", NATS),
    "kl": ("KL divergence", NATS),
    "hint": ("hint loss", LOSS),
}
SCORES = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "rank20": "rank-20"}
RANKS = (1, 5, 10, 20)  # that the axis of a CMC curve names; it ends at the last
FAR_APART = 20  # from this ratio of the highest to the lowest learning rate on: a log scale
History = Sequence[Mapping[str, float]]  # rows of metrics.csv, without the empty columns


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column of metrics.csv is drawn.

    Args:
        panel: title of the panel.
        label: of the line.
        unit: of the vertical axis.
    """

    panel: str
    label: str
    unit: str


def draw_run(run: Path) -> None:
    """Draws both figures of a run into its ``figures/``."""
    (title,) = short_names([str(run.resolve())])
    draw_learning_curves({title: read_metrics(run)}, run / "figures/learning_curves.png")
    results = read_results(run / "results.json")
    draw_cmc({title: results["protocols"]}, run / "figures/cmc.png")


def place_of(column: str) -> Place:
    """Panel, label and unit of a column of metrics.csv.

    >>> place_of("loss_sdm_kl_shallow1")
    Place(panel='student heads: KL divergence', label='shallow1', unit='nats')
    """
    kind, _, name = column.partition("_")
    if column == "lr":
        return Place("learning rate", "learning rate", RATE)
    if kind not in ("loss", "grad"):
        return _score_place(column)
    if not name:
        return Place("total loss", "total loss", LOSS)
    if name.startswith("sdm_"):
        term, _, student = name.removeprefix("sdm_").rpartition("_")
        what, unit = STUDENTS.get(term, (term, LOSS))
        place = Place(f"student heads: {what}", student, unit)
    elif name == "distill_kl":
        place = Place("teacher to student: KL divergence", "KL divergence", NATS)
    else:
        part = name.startswith("part_")
        label = name.removeprefix("part_").replace("_", " ")
        place = Place(f"{'part features' if part else 'deep head'}: losses", label, LOSS)
    if kind == "grad":
        return Place(f"{GRADIENT}, {place.panel.removesuffix(': losses')}", place.label, NORM)
    return place


def _score_place(column: str) -> Place:
    """The panel of accuracies: of training, and of the identities held out from it."""
    label = "training accuracy"
    if column.startswith("val_"):
        protocol, _, metric = column.removeprefix("val_").rpartition("_")
        label = f"{VALIDATION}{protocol} {SCORES.get(metric, metric)}"
    elif column != "accuracy":
        label = column.replace("_", " ")
    return Place("training accuracy and validation scores", label, PERCENT)


def panels_of(columns: Sequence[str], *, alone: bool = False) -> dict[str, dict[str, str]]:
    """Groups columns of metrics.csv by what they belong to: panel → label → column.

    Args:
        alone: each column has a panel of its own.
    """
    panels: dict[str, dict[str, str]] = {}
    for column in columns:
        if column not in NOT_PLOTTED:
            place = place_of(column)
            panel = _own_title(place) if alone else place.panel
            panels.setdefault(panel, {})[place.label] = column
    if not alone:  # a panel of scores names only what it shows
        panels = {_score_title(panel, members): members for panel, members in panels.items()}
    return panels


def _own_title(place: Place) -> str:
    if place.unit == PERCENT or place.label in place.panel:
        return place.label if place.unit == PERCENT else place.panel
    panel = place.panel.removesuffix(": losses")
    return f"{panel}: {place.label}" if panel != place.panel else f"{panel}, {place.label}"


def _score_title(panel: str, members: Mapping[str, str]) -> str:
    held_out = [label.startswith(VALIDATION) for label in members]
    if place_of(next(iter(members.values()))).unit != PERCENT or len(set(held_out)) == 2:
        return panel
    return "validation scores" if held_out[0] else "training accuracy"


def draw_learning_curves(
    runs: Mapping[str, History], path: Path, *, terms: Sequence[str] = ()
) -> None:
    """Loss terms, learning rate, accuracies and gradient norms over epochs.

    The terms of one run share panels by what they belong to. Of several runs, each term has its
    own panel with a line for each run.

    Args:
        runs: rows of metrics.csv, by title.
        terms: draw only columns whose name contains one of these.
    Raises:
        UsageError: no column's name does.
    """
    several = len(runs) > 1
    panels = panels_of(_chosen_columns(runs, terms), alone=several)
    columns, letters = (3, 29) if several else (2, 100)
    names = wrapped(runs, int(6 / LETTER))
    keys = legend_columns(names, 6.6)
    margin = 0.3 + (legend_height(names, keys) if several else 0)
    layout: dict[str, Any] = {"columns": columns, "height": 1.55, "margin": margin, "fill": True}
    with drawn_panels(path, len(panels), **layout) as (figure, fields):
        for axes, (panel, members) in zip(fields, panels.items(), strict=True):
            lines = _draw_panel(axes, members, runs)
            (title,) = wrapped([panel], letters)
            shown = (lines, list(members)) if not several and len(lines) > 1 else ((), ())
            head(axes, title, *shown, columns=legend_columns(list(members), 3.0, mark=0.42))
        for axes in fields[-(len(fields) % columns or columns) :]:
            axes.set_xlabel("epoch")
        if several:
            figure.legend(lines, names, loc="outside upper center", ncols=keys, frameon=False)


def _chosen_columns(runs: Mapping[str, History], terms: Sequence[str]) -> list[str]:
    columns = dict.fromkeys(name for rows in runs.values() for row in rows for name in row)
    known = [name for name in columns if name not in NOT_PLOTTED]
    chosen = [name for name in known if not terms or any(term in name for term in terms)]
    if not chosen:
        raise UsageError(
            f"no column is named like {', '.join(terms)}; there are {', '.join(known)}"
        )
    return chosen


def _draw_panel(
    axes: Axes, members: Mapping[str, str], runs: Mapping[str, History]
) -> list[Line2D]:
    """Draws a line for each member of a panel, or for each run, and returns them."""
    from matplotlib.ticker import MaxNLocator

    lines: list[Line2D] = []
    for history in runs.values():
        for label, column in members.items():
            rows = [row for row in history if np.isfinite(row.get(column, np.nan))]
            factor = 100 if place_of(column).unit == PERCENT else 1
            style = line_style(len(lines))
            if label.startswith(VALIDATION) or len(rows) == 1:
                style |= {"marker": MARKS[len(lines) % len(MARKS)], "markersize": 3.5}
            epochs, values = [row["epoch"] for row in rows], [row[column] for row in rows]
            lines += axes.plot(epochs, [factor * value for value in values], **style)
    tidy(axes)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    _scale_values(axes, place_of(next(iter(members.values()))).unit)
    return lines


def _scale_values(axes: Axes, unit: str) -> None:
    """Limits, scale and name of the vertical axis."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_ylabel(unit)
    low, high = axes.dataLim.intervaly
    if low > high:  # no value
        low = high = 0.0
    if (unit == NORM and high > 0) or (unit == RATE and low > 0 and high / low > FAR_APART):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(min(0, 1.05 * low), 100 if unit == PERCENT else max(0, 1.05 * high) or 1)


def mean_entry(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of several runs' entries of results.json, for :func:`draw_cmc`.

    Returns:
        ``mean`` of each metric, ``cmc``, ``cmc_std`` (population standard deviation over the runs)
        and ``runs``.
    """
    length = min(len(entry["cmc"]) for entry in entries)
    curves = np.array([entry["cmc"][:length] for entry in entries])
    known = [name for name in COLUMNS if all(name in entry["mean"] for entry in entries)]
    means = {name: float(np.mean([entry["mean"][name] for entry in entries])) for name in known}
    spread = {"cmc_std": curves.std(axis=0).tolist(), "runs": len(entries)}
    return {"mean": means, "cmc": curves.mean(axis=0).tolist(), **spread}


def draw_cmc(runs: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Mean CMC curves: those of one run in one panel; of several runs a panel for each protocol.

    The legend is below the panels and holds each curve's rank-1. Entries of :func:`mean_entry` of
    several runs have a band of one standard deviation.

    Args:
        runs: entries of results.json by protocol, by title.
    """
    protocols = list(dict.fromkeys(name for entries in runs.values() for name in entries))
    panels: dict[str, dict[str, Mapping[str, Any]]] = {
        name: {title: entries[name] for title, entries in runs.items() if name in entries}
        for name in protocols
    }
    if len(runs) == 1:
        panels = {"": dict(*runs.values())}
    keys = list(runs) if len(runs) > 1 else protocols  # a line of the legend each
    texts = [_rank1_text([panel.get(key) for panel in panels.values()]) for key in keys]
    width = SINGLE if len(panels) == 1 else 6.8
    names = wrapped(map("{}: {} %".format, keys, texts), int((width - 0.6) / LETTER))
    columns = legend_columns(names, width)
    title = "rank-1" + (f" by {' / '.join(protocols)}" if len(panels) > 1 else "")
    if any(entry.get("runs", 1) > 1 for panel in panels.values() for entry in panel.values()):
        title += "; curve ± band: mean ± standard deviation over runs"
    (title,) = wrapped([title], int(width / LETTER))
    margin = 0.2 + legend_height([title], 1) + legend_height(names, columns)
    style: dict[str, Any] = {"ncols": columns, "title": title, "frameon": False}
    across = 2 if len(panels) % 3 else 3
    layout: dict[str, Any] = {"columns": across, "height": 2.3, "margin": margin, "fill": True}
    with drawn_panels(path, len(panels), **layout) as (figure, fields):
        lines: dict[str, Line2D] = {}
        for axes, (protocol, entries) in zip(fields, panels.items(), strict=True):
            lines |= _draw_cmc_panel(axes, entries, keys)
            axes.set_title(protocol, loc="left")
        figure.legend([lines[key] for key in keys], names, loc="outside lower center", **style)


def _rank1_text(entries: Sequence[Mapping[str, Any] | None]) -> str:
    """Rank-1 in per cent in every panel."""
    return " / ".join(f"{100 * entry['mean']['rank1']:.1f}" if entry else "–" for entry in entries)


def _draw_cmc_panel(
    axes: Axes, entries: Mapping[str, Mapping[str, Any]], keys: Sequence[str]
) -> dict[str, Line2D]:
    """A line for each entry, in the style of its place among all keys."""
    lines, lowest = {}, 100.0
    for name, entry in entries.items():
        number = keys.index(name)
        cmc = 100 * np.array(entry["cmc"][: RANKS[-1]])
        ranks = np.arange(1, len(cmc) + 1)
        marks: dict[str, Any] = {"marker": MARKS[number % len(MARKS)], "markersize": 3.5}
        marks |= {"markevery": [rank - 1 for rank in RANKS if rank <= len(cmc)]}
        style = line_style(number)
        (lines[name],) = axes.plot(ranks, cmc, **style, **marks)
        if entry.get("runs", 1) > 1:
            spread = 100 * np.array(entry["cmc_std"][: len(cmc)])
            axes.fill_between(ranks, cmc - spread, cmc + spread, color=style["color"], alpha=0.15)
        lowest = min(lowest, cmc.min())
    tidy(axes)
    axes.set(xlabel="rank", ylabel="matching rate (%)", xticks=RANKS)
    axes.set(xlim=(0.5, RANKS[-1] + 0.5), ylim=(max(0, 10 * ((lowest - 2) // 10)), 101))
    return lines
