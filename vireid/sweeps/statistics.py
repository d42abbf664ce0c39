"""The numbers of a sweep: means over seeds, and differences that are paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vireid.evaluation.results import COLUMNS, read_results
from vireid.sweeps.planner import SweepRun
from vireid.sweeps.spec import Sweep
from vireid.utils.tables import csv

SCORE_COLUMNS = ("cell", "trial", "seed", "protocol", "metric", "value")
KEY = ["cell", "protocol", "metric"]  # of what the statistics are taken


def read_scores(runs: Sequence[SweepRun]) -> pd.DataFrame:
    """Every score of finished runs: a row per run, protocol and metric.

    Returns:
        ``cell`` (its name), ``trial`` (missing where the sweep does not vary it), ``seed``,
        ``protocol``, ``metric`` and ``value``, a fraction.
    Raises:
        DataError: a run's results.json is missing or damaged.
    """
    rows = [
        (run.cell.name, run.trial, run.seed, protocol, metric, entry["mean"][metric])
        for run in runs
        for protocol, entry in read_results(run.folder / "results.json")["protocols"].items()
        for metric in COLUMNS
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS).astype({"trial": "Int64", "value": float})


def cell_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Over the runs of each cell, with the population's standard deviation, as ``table`` has it.

    Returns:
        ``mean`` and ``std`` in per cent and ``n`` by cell, protocol and metric; no ``std`` of a
        single run.
    """
    return _statistics(scores, ddof=0)


def paired_differences(scores: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Each other cell's runs minus the baseline's runs of the same split and seed.

    The standard deviation is the sample's (n − 1): how far the differences of single pairs vary.
    What all runs of a seed share cancels out.

    Args:
        baseline: name of a cell.
    Returns:
        as :func:`cell_means`; ``n`` is the number of pairs.
    """
    is_baseline = scores["cell"] == baseline
    reference = scores[is_baseline].drop(columns="cell")
    same_run = ["trial", "seed", "protocol", "metric"]
    pairs = scores[~is_baseline].merge(reference, on=same_run, suffixes=("", "_of_baseline"))
    pairs["value"] -= pairs["value_of_baseline"]
    return _statistics(pairs, ddof=1)


def _statistics(scores: pd.DataFrame, *, ddof: int) -> pd.DataFrame:
    per_cent = 100 * scores["value"]
    groups = per_cent.groupby([scores[column] for column in KEY], sort=False)
    # functions of Series: groupby's own sum in another order, and the last digit may differ
    found = groups.agg(mean=lambda v: v.mean(), std=lambda v: v.std(ddof=ddof), n="size")
    return found.assign(std=found["std"].where(found["n"] > 1))


def tidy_csv(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame) -> str:
    """One line per run, protocol and metric: what was set, and the score as a fraction.

    Args:
        costs: of :func:`~vireid.sweeps.costs.cell_costs`.
    """
    order = scores.groupby(KEY, sort=False).ngroup().argsort(kind="stable")
    rows = scores.iloc[order]
    options = pd.DataFrame([cell.options for cell in sweep.cells])
    options["name"] = [cell.name for cell in sweep.cells]
    options["cell"] = [sweep.describe(cell) for cell in sweep.cells]
    cells = options.set_index("name").join(costs)
    table = rows.rename(columns={"cell": "name"}).join(cells, on="name").drop(columns="name")
    first = [*(key for axis in sweep.axes for key in axis.keys), "cell", "trial", "seed"]
    return csv(table[[*first, *costs.columns, "protocol", "metric", "value"]], digits=None) + "\n"
