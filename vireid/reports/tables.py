"""Tables of scores over several runs: mean and standard deviation over seeds and splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid.errors import DataError
from vireid.evaluation.reranking.methods import rule_notes, rule_of
from vireid.evaluation.results import COLUMNS, read_results
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import (
    RESULTS,
    RULES,
    mean_and_std,
    recipe_names,
    require_same_rules,
)
from vireid.utils import tables

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

RERANKING = "reranking"  # column: the rule of re-ranking in words, empty for plain scores
NOTE = "Per cent: mean ± population standard deviation over seeds and splits."


def score_table(runs: Sequence[Path]) -> pd.DataFrame:
    """A row per recipe and protocol, in the order of the runs.

    Returns:
        columns ``recipe`` (name of the folder above ``split<t>/seed<k>``), ``protocol``, ``runs``
        (how many), for each metric ``<metric>_mean`` and ``<metric>_std`` in per cent, and the
        rules by which all runs of the row were scored.
    Raises:
        DataError: a run has no results, or lacks a protocol that others of its recipe have, or
            they were not scored alike; names the run.
    """
    import pandas as pd

    recipes: dict[Path, dict[Path, dict[str, Any]]] = {}
    for run in (run.resolve() for run in runs):
        results = read_results(run / RESULTS)["protocols"]
        recipes.setdefault(recipe_of(run), {})[run] = results
    names = recipe_names(recipes)
    rows = []
    for folder, members in recipes.items():
        for protocol in dict.fromkeys(name for results in members.values() for name in results):
            entries = _entries(members, protocol)
            mean, std = mean_and_std(entries)
            scores = [value for metric in COLUMNS for value in (mean[metric], std[metric])]
            rules = [entries[0].get(rule) for rule in RULES]
            rules.append(rule_of(protocol, entries[0]))
            rows.append((names[folder], protocol, len(entries), *scores, *rules))
    metrics = [f"{metric}_{kind}" for metric in COLUMNS for kind in ("mean", "std")]
    return pd.DataFrame(rows, columns=["recipe", "protocol", "runs", *metrics, *RULES, RERANKING])


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


def score_texts(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`score_table` as texts, a column per metric, ± where runs are several."""
    texts = table[["recipe", "protocol", "runs"]].astype(str)
    for metric in COLUMNS:
        mean, std = (table[f"{metric}_{kind}"].map("{:.2f}".format) for kind in ("mean", "std"))
        texts[metric] = mean.where(table["runs"] == 1, mean + " ± " + std)
    return texts


def _as_markdown(table: pd.DataFrame) -> str:
    """The table, and below it what re-ranked rows are."""
    notes = rule_notes(zip(table["protocol"], table[RERANKING], strict=True))
    return "\n\n".join([tables.markdown(score_texts(table)), *notes])


def _as_latex(table: pd.DataFrame) -> str:
    notes = rule_notes(zip(table["protocol"], table[RERANKING], strict=True))
    note = " ".join([NOTE, *notes])
    note += r" Needs \usepackage{booktabs}."
    return tables.latex(score_texts(table), note=note, columns="llr" + "r" * len(COLUMNS))


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "md": _as_markdown,
    "csv": tables.csv,
    "latex": _as_latex,
}
