"""Tables over several runs: mean and spread over seeds and over train/test splits."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.results import COLUMNS, read_results
from vireid.runs.options import recipe_of

RESULTS, CONFIG = "results.json", "config.yaml"  # both are in the folder of a finished run
RULES = ("gallery_draw", "metric", "cmc_unit", "num_query", "num_gallery")  # must agree in a row


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


def find_runs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Runs in and beneath folders: those that have results, and those beneath that have none yet.

    A folder with results counts as it is, and so does one without any run beneath, whose results
    will be missed by name. Each run counts once, by whichever paths it was named.
    """
    runs: dict[Path, Path] = {}  # by their real paths
    unfinished: dict[Path, Path] = {}
    for folder in folders:
        beneath = [] if (folder / RESULTS).is_file() else sorted(folder.rglob(CONFIG))
        found = [config.parent for config in beneath if config.parent != folder]
        finished = [run for run in found if (run / RESULTS).is_file()] or [folder]
        for run in finished:
            runs.setdefault(run.resolve(), run)
        for run in found:
            if run not in finished:
                unfinished.setdefault(run.resolve(), run)
    return list(runs.values()), list(unfinished.values())


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
            values = {c: [100 * entry["mean"][c] for entry in entries] for c in COLUMNS}
            mean = {column: float(np.mean(of)) for column, of in values.items()}
            std = {column: float(np.std(of)) for column, of in values.items()}
            rows.append(Row(recipe, protocol, len(entries), mean, std))
    return rows


def recipe_names(folders: Iterable[Path]) -> dict[Path, str]:
    """The folders' own names; paths, where several share a name."""
    folders = list(folders)
    counts = Counter(folder.name for folder in folders)
    return {f: f.name if counts[f.name] == 1 else str(f) for f in folders}


def _entries(members: Mapping[Path, Mapping[str, Any]], protocol: str) -> list[dict[str, Any]]:
    lacking = [run for run, results in members.items() if protocol not in results]
    if lacking:
        raise DataError(
            f"{lacking[0]} has no results of {protocol}, which others of its recipe have: score it "
            f"with the evaluate tool and --protocols {protocol}"
        )
    entries = {run: results[protocol] for run, results in members.items()}
    (first, rules), *others = entries.items()
    for run, entry in others:
        for rule in RULES:
            if entry.get(rule) != rules.get(rule):
                raise DataError(
                    f"{protocol}: {rule} is {entry.get(rule)!s:.60} in {run}, but "
                    f"{rules.get(rule)!s:.60} in {first}: their scores have no mean"
                )
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
