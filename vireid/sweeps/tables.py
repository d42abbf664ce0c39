"""The scores of a sweep: statistics over seeds, and Markdown, CSV and LaTeX of the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import pandas as pd

from vireid.evaluation.reranking.methods import method_notes
from vireid.evaluation.results import COLUMNS, read_results
from vireid.sweeps.costs import NOTE
from vireid.sweeps.planner import SweepRun
from vireid.sweeps.spec import GridCell, Sweep
from vireid.utils.tables import csv, latex, markdown

SCORE_COLUMNS = ("cell", "trial", "seed", "protocol", "metric", "value")
KEY = ["cell", "protocol", "metric"]  # of what the statistics are taken
METRICS = ("rank1", "mAP", "mINP")
COMPARED = ("rank1", "mAP")
NOTHING = "–"


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


@dataclass(frozen=True, slots=True)
class SweepTable:
    """A row per cell of a sweep.

    Args:
        note: what the numbers are.
        labels: of the cells, by their names; a column per axis.
        count: title of the column that says how many values are behind a row.
        columns: protocols and metrics that are shown.
        statistics: ``mean``, ``std`` and ``n`` by cell, protocol and metric.
        signed: the scores are differences.
        costs: ``parameters`` and ``macs`` by cell; empty: the table has no such columns.
    """

    note: str
    labels: pd.DataFrame
    count: str
    columns: tuple[tuple[str, str], ...]
    statistics: pd.DataFrame
    signed: bool = False
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def as_markdown(self) -> str:
        """The note, and a table with aligned columns."""
        texts = self.texts()
        texts.columns = texts.columns.map(" ".join).str.strip()
        return f"{self.note}\n\n{markdown(texts)}"

    def as_latex(self) -> str:
        r"""A tabular for ``\usepackage{booktabs}``, its note as a comment."""
        texts = self.texts()
        names, scores = len(self.labels.columns), len(self.columns)
        numbers = len(texts.columns) - names - scores
        return latex(texts, note=self.note, columns="l" * names + "r" * numbers + "c" * scores)

    def as_csv(self) -> str:
        """Every score has columns for its mean and standard deviation; per cent, empty: none."""
        table = self.labels.assign(**{self.count: self._runs()})
        if not self.costs.empty:
            table = table.join(self.costs)
        for protocol, metric in self.columns:
            scores = self._scores(protocol, metric)
            for part in ("mean", "std"):
                table[f"{protocol}_{metric}_{part}"] = scores[part]
        return csv(table)

    def _scores(self, protocol: str, metric: str) -> pd.DataFrame:
        """One column's statistics by cell, missing where there are none."""
        key = pd.MultiIndex.from_product([self.labels.index, [protocol], [metric]])
        return self.statistics.reindex(key).set_axis(self.labels.index)

    def _runs(self) -> pd.Series:
        """The most values behind any score of each cell."""
        counts = [self._scores(*column)["n"] for column in self.columns]
        return pd.concat(counts, axis=1).max(axis=1).fillna(0).astype(int)

    def texts(self) -> pd.DataFrame:
        """All cells of the table as text; names of the columns have two levels."""
        runs = self._runs()
        columns = {("", title): self.labels[title] for title in self.labels}
        columns["", self.count] = runs.astype(str)
        if not self.costs.empty:
            costs = (self.costs.reindex(self.labels.index) / 1e6).astype(float)
            columns["", "params (M)"] = costs["parameters"].map("{:.2f}".format, na_action="ignore")
            columns["", "MACs (M)"] = costs["macs"].map("{:,.1f}".format, na_action="ignore")
        for protocol, metric in self.columns:
            columns[protocol, metric] = self._column(self._scores(protocol, metric), runs)
        return pd.DataFrame(columns).astype(object).fillna(NOTHING)

    def _column(self, scores: pd.DataFrame, runs: pd.Series) -> pd.Series:
        """Mean ± deviation; the best of the means over the most runs is bold."""
        known = scores.dropna(subset="mean")
        means = known["mean"].map(("{:+z.2f}" if self.signed else "{:.2f}").format)
        texts = means + known["std"].map(" ± {:.2f}".format).where(known["std"].notna(), "")
        fewer = known["n"] != runs[known.index]
        texts += known["n"].map(" (n = {:.0f})".format).where(fewer, "")
        if not self.signed and len(known) > 1:
            most = known["n"] == known["n"].max()
            is_best = most & (means == means[known["mean"][most].idxmax()])
            texts = texts.where(~is_best, "**" + texts + "**")
        return texts.reindex(scores.index)


def sweep_tables(
    sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame
) -> tuple[SweepTable, SweepTable]:
    """Means over the runs of each cell, and paired differences to the baseline.

    Args:
        scores: of :func:`read_scores`.
        costs: of :func:`~vireid.sweeps.costs.cell_costs`.
    """
    over, by = ("seeds and splits", "seed and split") if sweep.trials else ("seeds", "seed")
    others = [cell for cell in sweep.cells if cell != sweep.baseline]
    protocols = scores["protocol"].unique()
    note = f"Per cent: mean ± population standard deviation over {over}; the best mean over the "
    note += "most runs is bold." + ("" if costs.empty else f" {NOTE}")
    note = " ".join([note, *method_notes(protocols)])
    absolute = SweepTable(
        note,
        _labels(sweep, sweep.cells),
        "runs",
        tuple(product(protocols, METRICS)),
        cell_means(scores),
        costs=costs,
    )
    relative = SweepTable(
        f"Difference to {sweep.describe(sweep.baseline)}, paired by {by}, in points: "
        "mean ± sample standard deviation (n − 1) over the pairs.",
        _labels(sweep, others),
        "pairs",
        tuple(product(protocols, COMPARED)),
        paired_differences(scores, sweep.baseline.name),
        signed=True,
    )
    return absolute, relative


def _labels(sweep: Sweep, cells: Sequence[GridCell]) -> pd.DataFrame:
    index = pd.Index([cell.name for cell in cells], name="cell")
    titles = [axis.title for axis in sweep.axes]
    return pd.DataFrame([cell.labels for cell in cells], index=index, columns=titles)


def tidy_csv(sweep: Sweep, scores: pd.DataFrame, costs: pd.DataFrame) -> str:
    """One line per run, protocol and metric: what was set, and the score as a fraction."""
    order = scores.groupby(KEY, sort=False).ngroup().argsort(kind="stable")
    rows = scores.iloc[order]
    options = pd.DataFrame([cell.options for cell in sweep.cells])
    keys = list(options.columns)
    options.index = pd.Index([cell.name for cell in sweep.cells])
    texts = {cell.name: sweep.describe(cell) for cell in sweep.cells}
    table = rows.join(options.join(costs), on="cell").replace({"cell": texts})
    columns = [*keys, "cell", "trial", "seed", *costs.columns, "protocol", "metric", "value"]
    return csv(table[columns], digits=None) + "\n"
