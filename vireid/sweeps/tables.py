"""Tables of a sweep: Markdown, CSV and LaTeX of the same numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vireid.reports.tables import latex_row, latex_text
from vireid.sweeps.costs import NOTE, Cost, Costs
from vireid.sweeps.spec import Cell, Sweep
from vireid.sweeps.statistics import Key, Spread, Values, means, paired_differences, protocols_in

METRICS = ("rank1", "mAP", "mINP")
COMPARED = ("rank1", "mAP")
NOTHING = "–"
COSTS, CSV_COSTS = ("params (M)", "MACs (M)"), ("parameters", "macs")
Column = tuple[str, str]  # protocol, metric


@dataclass(frozen=True, slots=True)
class Table:
    """Scores by cell.

    Args:
        note: what the numbers are.
        titles: of the columns that name the cell.
        count: title of the column that says how many values are behind a row.
        rows: labels of the cell, and its scores.
        signed: the scores are differences.
        costs: of the networks, by the cell's labels; empty: the table has no such columns.
    """

    note: str
    titles: tuple[str, ...]
    count: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[tuple[str, ...], Mapping[Column, Spread]], ...]
    signed: bool = False
    costs: Mapping[tuple[str, ...], Cost] = field(default_factory=dict)

    @property
    def head(self) -> list[str]:
        """Titles of the columns before the scores."""
        return [*self.titles, self.count, *(COSTS if self.costs else ())]

    def body(self, bold: str, plus_minus: str) -> list[list[str]]:
        """The rows as text.

        Args:
            bold: a format for the best of a column.
            plus_minus: what stands between mean and deviation.
        """
        best = {column: self._best(column) for column in self.columns}
        lines = []
        for labels, scores in self.rows:
            runs = max((score.n for score in scores.values()), default=0)
            line = [*labels, str(runs), *self._cost(labels)]
            for column in self.columns:
                text = self._text(scores.get(column), runs, plus_minus)
                is_best = column in scores and self._rank(scores[column]) == best[column]
                line.append(bold.format(text) if is_best else text)
            lines.append(line)
        return lines

    def _cost(self, labels: tuple[str, ...]) -> list[str]:
        if not self.costs:
            return []
        cost = self.costs.get(labels)
        if cost is None:
            return [NOTHING] * len(COSTS)
        return [f"{cost.parameters / 1e6:.2f}", f"{cost.macs / 1e6:,.1f}"]

    def _best(self, column: Column) -> tuple[int, str] | None:
        """The highest of the means over the most runs; there is none among differences."""
        found = [scores[column] for _, scores in self.rows if column in scores]
        if self.signed or len(found) < 2:
            return None
        return self._rank(max(found, key=lambda score: (score.n, score.mean)))

    def _rank(self, score: Spread) -> tuple[int, str]:
        """What makes two scores equally good: as many runs, and the mean as it is shown."""
        return score.n, self._mean(score)

    def _mean(self, score: Spread) -> str:
        return f"{score.mean:+z.2f}" if self.signed else f"{score.mean:.2f}"

    def _text(self, score: Spread | None, runs: int, plus_minus: str) -> str:
        if score is None:
            return NOTHING
        text = self._mean(score)
        text += "" if score.std is None else f"{plus_minus}{score.std:.2f}"
        return text if score.n == runs else f"{text} (n = {score.n})"


def tables(sweep: Sweep, values: Values, costs: Costs | None = None) -> tuple[Table, Table]:
    """Means over the runs of each cell, and paired differences to the baseline.

    Args:
        costs: for the first table's columns; None or empty leaves them out.
    """
    titles = tuple(axis.title for axis in sweep.axes)
    over, by = ("seeds and splits", "seed and split") if sweep.trials else ("seeds", "seed")
    others = [cell for cell in sweep.cells if cell != sweep.baseline]
    differences = paired_differences(values, sweep.baseline.name)
    protocols = protocols_in(values)
    scored = tuple((protocol, metric) for protocol in protocols for metric in METRICS)
    costs = costs or {}
    best = "the best mean over the most runs is bold"
    note = f"Per cent: mean ± population standard deviation over {over}; {best}."
    absolute = Table(
        f"{note} {NOTE}" if costs else note,
        titles,
        "runs",
        scored,
        _rows(sweep.cells, means(values), scored),
        costs={cell.labels: costs[cell.name] for cell in sweep.cells if cell.name in costs},
    )
    compared = tuple((protocol, metric) for protocol in protocols for metric in COMPARED)
    relative = Table(
        f"Difference to {sweep.describe(sweep.baseline)}, paired by {by}, in points: "
        "mean ± sample standard deviation (n − 1) over the pairs.",
        titles,
        "pairs",
        compared,
        _rows(others, differences, compared),
        signed=True,
    )
    return absolute, relative


def _rows(
    cells: Sequence[Cell], scores: Mapping[Key, Spread], columns: Sequence[Column]
) -> tuple[tuple[tuple[str, ...], dict[Column, Spread]], ...]:
    return tuple(
        (
            cell.labels,
            {column: scores[key] for column in columns if (key := (cell.name, *column)) in scores},
        )
        for cell in cells
    )


def as_markdown(table: Table) -> str:
    """The note, and a table whose columns are aligned."""
    header = [*table.head, *(" ".join(column) for column in table.columns)]
    lines = [header, *table.body("**{}**", " ± ")]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join([table.note, "", *(f"| {' | '.join(line)} |" for line in padded)])


def as_csv(table: Table) -> str:
    """Every score has columns for its mean and standard deviation; per cent, empty: none."""
    names = [f"{'_'.join(column)}_{part}" for column in table.columns for part in ("mean", "std")]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.titles, table.count, *(CSV_COSTS if table.costs else ()), *names])
    for labels, scores in table.rows:
        numbers: list[float | None] = []
        for column in table.columns:
            score = scores.get(column)
            numbers += [score.mean, score.std] if score else [None, None]
        shown = ["" if number is None else f"{number:.4f}" for number in numbers]
        cost = table.costs.get(labels)
        exact = [cost.parameters, cost.macs] if cost else ["", ""]
        runs = max((s.n for s in scores.values()), default=0)
        writer.writerow([*labels, runs, *(exact if table.costs else ()), *shown])
    return text.getvalue().rstrip("\n")


def as_latex(table: Table) -> str:
    r"""A tabular for ``\usepackage{booktabs}``, its note as a comment."""
    names = len(table.head)
    metrics = [metric for _, metric in table.columns]
    groups, rules, at = [], [], names + 1
    for protocol in dict.fromkeys(protocol for protocol, _ in table.columns):
        width = sum(name == protocol for name, _ in table.columns)
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(protocol)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    head = [*map(latex_text, table.head), *metrics]
    body = [
        [latex_text(cell).replace(NOTHING, "--") for cell in line[:names]]
        + [_number(cell) for cell in line[names:]]
        for line in table.body(r"\textbf{{{}}}", r" $\pm$ ")
    ]
    texts, numbers = "l" * len(table.titles), "r" * (names - len(table.titles))
    return "\n".join(
        [
            f"% {table.note}",
            rf"\begin{{tabular}}{{{texts}{numbers}{'c' * len(table.columns)}}}",
            r"\toprule",
            " & ".join([*[""] * names, *groups]).lstrip() + r" \\",
            "".join(rules),
            " & ".join(head) + r" \\",
            r"\midrule",
            *(latex_row(" & ".join(line)) + r" \\" for line in body),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _number(text: str) -> str:
    """A minus sign instead of a hyphen."""
    return re.sub(r"^-", "$-$", text).replace(NOTHING, "--")
