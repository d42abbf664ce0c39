"""Learning curves and CMC curves, drawn from runs' saved numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid.errors import UsageError
from vireid.evaluation.results import read_results
from vireid.figures.style import drawn_panels, line_style, tidy
from vireid.runs.logs import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NOT_PLOTTED = {"epoch", "steps", "lr", "seconds", "wait_share", "peak_memory_mib"}
GRADIENT = "gradient norm"
RANKS = 20  # of a CMC curve
History = Sequence[Mapping[str, float]]  # rows of metrics.csv, without the empty columns


def draw_run(run: Path) -> None:
    """Draws both figures of a run into its ``figures/``."""
    draw_learning_curves({run.name: read_metrics(run)}, run / "figures/learning_curves.png")
    results = read_results(run / "results.json")
    draw_cmc({run.name: results["protocols"]}, run / "figures/cmc.png")


def panels_of(columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Groups columns of metrics.csv by what they belong to: panel → label → column.

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
    runs: Mapping[str, History], path: Path, *, terms: Sequence[str] = ()
) -> None:
    """Loss terms, accuracies and gradient norms over epochs.

    The terms of one run share panels by what they belong to. Of several runs, each term has its
    own panel with a line for each run.

    Args:
        runs: rows of metrics.csv, by title.
        terms: draw only columns whose name contains one of these.
    Raises:
        UsageError: no column's name does.
    """
    panels = panels_of(_chosen_columns(runs, terms))
    several = len(runs) > 1
    if several:
        panels = {
            panel if label == "total" else f"{panel}: {label}": {label: column}
            for panel, members in panels.items()
            for label, column in members.items()
        }
    layout: dict[str, Any] = {"width": 3.6, "height": 1.6, "margin": 0.4}
    with drawn_panels(path, len(panels), columns=3 if several else 2, **layout) as (figure, fields):
        for axes, (panel, members) in zip(fields, panels.items(), strict=True):
            lines = _draw_panel(axes, panel, members, runs)
        if several:
            figure.legend(lines, list(runs), loc="outside upper center", ncols=3, frameon=False)


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
    axes: Axes, panel: str, members: Mapping[str, str], runs: Mapping[str, History]
) -> list[Line2D]:
    """Draws a line for each member of a panel, or for each run, and returns them."""
    from matplotlib.ticker import LogLocator, NullLocator

    lines: list[Line2D] = []
    for history in runs.values():
        for column in members.values():
            rows = [row for row in history if column in row]
            lines += axes.plot(
                [row["epoch"] for row in rows],
                [row[column] for row in rows],
                marker="o" if len(rows) == 1 else None,
                markersize=3,
                **line_style(len(lines)),
            )
    tidy(axes)
    several = len(runs) > 1
    axes.set_title("\n".join(textwrap.wrap(panel, 32 if several else 40)), loc="left")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    if panel.startswith(GRADIENT):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, 1 if panel.startswith("accuracy") else 1.05 * axes.dataLim.ymax or 1)
    if not several and len(lines) > 1:
        axes.legend(lines, list(members), loc="upper left", bbox_to_anchor=(1, 1.03), frameon=False)
    return lines


def draw_cmc(runs: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Mean CMC curves: those of one run in one panel; of several runs a panel for each protocol.

    Args:
        runs: entries of results.json by protocol, by title.
    """
    protocols = dict.fromkeys(name for entries in runs.values() for name in entries)
    panels: dict[str, dict[str, Mapping[str, Any]]] = {
        name: {title: entries[name] for title, entries in runs.items() if name in entries}
        for name in protocols
    }
    if len(runs) == 1:
        panels = {"": dict(*runs.values())}
    with drawn_panels(path, len(panels), width=4.2, height=2.6, margin=0.2) as (_, fields):
        for axes, (protocol, entries) in zip(fields, panels.items(), strict=True):
            _draw_cmc_panel(axes, protocol, entries)


def _draw_cmc_panel(axes: Axes, protocol: str, entries: Mapping[str, Mapping[str, Any]]) -> None:
    lines = []
    for number, entry in enumerate(entries.values()):
        cmc = [100 * value for value in entry["cmc"][:RANKS]]
        lines += axes.plot(range(1, len(cmc) + 1), cmc, **line_style(number))
    tidy(axes)
    axes.set(xlabel="rank", ylabel="queries answered (%)", ylim=(0, 100))
    axes.set_title(protocol, loc="left")
    axes.set_xlim(left=1)
    axes.locator_params(axis="x", integer=True)
    names = [f"{name} ({100 * entry['mean']['rank1']:.1f} %)" for name, entry in entries.items()]
    axes.legend(lines, names, title="rank-1", alignment="left", loc="best", frameon=False)
