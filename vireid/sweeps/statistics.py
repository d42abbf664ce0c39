"""The numbers of a sweep: means over seeds, and differences that are paired by seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid.evaluation.results import COLUMNS, read_results
from vireid.sweeps.costs import Costs
from vireid.sweeps.planner import Run
from vireid.sweeps.spec import Sweep

Key = tuple[str, str, str]  # cell's name, protocol, metric
Values = dict[Key, dict[tuple[int | None, int], float]]  # → (trial, seed) → fraction


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of ``n`` values, in per cent; no deviation of a single one."""

    mean: float
    std: float | None
    n: int


def read_scores(runs: Sequence[Run]) -> Values:
    """Every score of finished runs, by cell, protocol and metric.

    Raises:
        DataError: a run's results.json is missing or damaged.
    """
    values: Values = {}
    for run in runs:
        for protocol, entry in read_results(run.folder / "results.json")["protocols"].items():
            for metric in COLUMNS:
                members = values.setdefault((run.cell.name, protocol, metric), {})
                members[run.trial, run.seed] = entry["mean"][metric]
    return values


def protocols_in(values: Values) -> list[str]:
    """Names of the protocols that any run was scored by."""
    return list(dict.fromkeys(protocol for _, protocol, _ in values))


def means(values: Values) -> dict[Key, Spread]:
    """Over the runs of each cell; the population's standard deviation, as the table tool has it."""
    return {key: _spread(list(members.values()), ddof=0) for key, members in values.items()}


def paired_differences(values: Values, baseline: str) -> dict[Key, Spread]:
    """Of each other cell's runs to the baseline's of the same split and seed.

    The standard deviation is the sample's (n − 1): how far the differences of single pairs vary,
    with what all runs of a seed share taken away.

    Args:
        baseline: name of a cell.
    """
    found = {}
    for (cell, protocol, metric), members in values.items():
        others = values.get((baseline, protocol, metric), {})
        pairs = [value - others[at] for at, value in members.items() if at in others]
        if cell != baseline and pairs:
            found[cell, protocol, metric] = _spread(pairs, ddof=1)
    return found


def _spread(fractions: Sequence[float], *, ddof: int) -> Spread:
    per_cent = 100 * np.asarray(fractions, dtype=float)
    std = float(per_cent.std(ddof=ddof)) if len(per_cent) > 1 else None
    return Spread(float(per_cent.mean()), std, len(per_cent))


def tidy_csv(sweep: Sweep, values: Values, costs: Costs | None = None) -> str:
    """One line per run, protocol and metric: what was set, and the score as a fraction.

    Args:
        costs: None leaves their columns out.
    """
    keys = [key for axis in sweep.axes for key in axis.keys]
    cells = {cell.name: cell for cell in sweep.cells}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    spent = () if costs is None else ("parameters", "macs")
    writer.writerow([*keys, "cell", "trial", "seed", *spent, "protocol", "metric", "value"])
    for (name, protocol, metric), members in values.items():
        options, cost = cells[name].options, (costs or {}).get(name)
        counts = [getattr(cost, column, "") for column in spent]
        for (trial, seed), value in members.items():
            shown = "" if trial is None else trial
            own = [sweep.describe(cells[name]), shown, seed, *counts, protocol, metric, value]
            writer.writerow([*(options[key] for key in keys), *own])
    return text.getvalue()
