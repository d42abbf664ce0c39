"""Learning curves and CMC curves, drawn from a run's saved numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NOT_PLOTTED = {"epoch", "steps", "lr", "seconds", "wait_share", "peak_memory_mib"}
# Okabe and Ito's palette: told apart by colour-blind readers; line styles serve grey print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")


def draw_run(folder: Path) -> None:
    """Both figures of a run folder, from its metrics.csv and results.json, into figures/."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        history = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    draw_learning_curves(history, folder / "figures/learning_curves.png")
    draw_cmc(results["protocols"], folder / "figures/cmc.png")


def draw_learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss terms on one panel, accuracy and validation scores on the other, over epochs.

    Args:
        history: rows of metrics.csv.
        path: PNG, PDF or SVG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    names = [name for name in max(history, key=len) if name not in NOT_PLOTTED]
    for axes, label, members in (
        (losses, "loss", [n for n in names if n.startswith("loss")]),
        (scores, "share", [n for n in names if not n.startswith("loss")]),
    ):
        for i, name in enumerate(members):
            rows = [row for row in history if name in row]
            style = {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i % len(STYLES)]}
            marker = "o" if len(rows) == 1 else None
            axes.plot(
                [row["epoch"] for row in rows],
                [row[name] for row in rows],
                label=_readable(name),
                marker=marker,
                **style,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    scores.set_ylim(0, 1)
    losses.set_ylim(bottom=0)
    figure.savefig(path, dpi=150)


def draw_cmc(protocols: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Mean CMC curve of every protocol in results.json.

    Args:
        protocols: entries of results.json.
        path: PNG, PDF or SVG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, entry) in enumerate(protocols.items()):
        label = f"{name} ({100 * entry['mean']['rank1']:.1f} %)"
        cmc = entry["cmc"][:20]
        axes.plot(
            range(1, len(cmc) + 1),
            [100 * value for value in cmc],
            label=label,
            color=COLORS[i % len(COLORS)],
            linestyle=STYLES[i % len(STYLES)],
        )
    axes.set_xlabel("rank")
    axes.set_ylabel("queries answered (%)")
    axes.set_ylim(0, 100)
    axes.set_xlim(left=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False, loc="lower right", title="rank-1", title_fontsize=8)
    figure.savefig(path, dpi=150)


def _readable(column: str) -> str:
    if column == "loss":
        return "total"
    return column.removeprefix("loss_").replace("_", " ")
