"""Tables over several runs: mean and spread over seeds and over train/test splits."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.errors import DataError
from vireid.evaluation.results import COLUMNS, read_results
from vireid.runs.options import recipe_of
from vireid.runs.scores import RESULTS, mean_and_std, recipe_names, require_same_rules


@dataclass(frozen=True, slots=True)
class Row:
    """One protocol over the runs of one recipe.

    Args:
        recipe: name of the folder above ``split<t>/seed<k>``.
        mean, std: of COLUMNS, in per cent; the population's standard deviation over runs.
    """

    recipe: str
    protocol: str
    runs: int
    mean: Mapping[str, float]
    std: Mapping[str, float]


def table_rows(runs: Sequence[Path]) -> list[Row]:
    """Rows by recipe and protocol, in the order of the runs.

    Raises:
        DataError: a run has no results, or lacks a protocol that others of its recipe have, or
            they were not scored alike; names the run.
    """
    recipes: dict[Path, dict[Path, dict[str, Any]]] = {}
    for run in (run.resolve() for run in runs):
        results = read_results(run / RESULTS)["protocols"]
        recipes.setdefault(recipe_of(run), {})[run] = results
    rows = []
    names = recipe_names(recipes)
    for folder, members in recipes.items():
        recipe = names[folder]
        for protocol in dict.fromkeys(name for results in members.values() for name in results):
            entries = _entries(members, protocol)
            rows.append(Row(recipe, protocol, len(entries), *mean_and_std(entries)))
    return rows


def _entries(members: Mapping[Path, Mapping[str, Any]], protocol: str) -> list[dict[str, Any]]:
    lacking = [run for run, results in members.items() if protocol not in results]
    if lacking:
        raise DataError(
            f"{lacking[0]} has no results of {protocol}, which others of its recipe have: score it "
            f"with the evaluate tool and --protocols {protocol}"
        )
    entries = {run: results[protocol] for run, results in members.items()}
    require_same_rules(protocol, entries.items())
    return list(entries.values())


def _cells(row: Row, plus_minus: str) -> list[str]:
    scores = [
        f"{row.mean[c]:.2f}" + (f"{plus_minus}{row.std[c]:.2f}" if row.runs > 1 else "")
        for c in COLUMNS
    ]
    return [row.recipe, row.protocol, str(row.runs), *scores]


HEADER = ["recipe", "protocol", "runs", *COLUMNS]


def as_markdown(rows: Sequence[Row]) -> str:
    """Columns are aligned; ± is there where several runs are."""
    lines = [HEADER, *(_cells(row, " ± ") for row in rows)]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def as_csv(rows: Sequence[Row]) -> str:
    """Every score has a column for its mean and one for its standard deviation; per cent."""
    header = [*HEADER[:3], *(f"{c}_{kind}" for c in COLUMNS for kind in ("mean", "std"))]
    lines = [
        [row.recipe, row.protocol, str(row.runs)]
        + [f"{part[c]:.4f}" for c in COLUMNS for part in (row.mean, row.std)]
        for row in rows
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue().rstrip("\n")


def as_latex(rows: Sequence[Row]) -> str:
    """A tabular that needs no package, and what its numbers are as a comment."""
    note = "% Per cent: mean ± population standard deviation over seeds and splits."
    lines = [HEADER, *(_cells(row, r" $\pm$ ") for row in rows)]
    rows_of_text = ([*map(latex_text, line[:3]), *line[3:]] for line in lines)
    body = [latex_row(" & ".join(line)) + r" \\" for line in rows_of_text]
    body.insert(1, r"\hline")
    start = r"\begin{tabular}{llr" + "r" * len(COLUMNS) + "}"
    return "\n".join([note, start, *body, r"\end{tabular}"])


def latex_text(text: str) -> str:
    """Text in which LaTeX sees no command."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda m: special.get(m[0], "\\" + m[0]), text)


def latex_row(row: str) -> str:
    r"""The end of the row above would take a bracket or a star for an option of its own."""
    return "{}" + row if row.startswith(("[", "*")) else row


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
}
