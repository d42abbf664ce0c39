"""The table across data sets, as Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vireid.crosseval.cells import Cell
from vireid.crosseval.overlap import Overlap
from vireid.crosseval.sets import EvaluationSet
from vireid.crosseval.trained import by_recipe
from vireid.errors import DataError
from vireid.evaluation.results import COLUMNS
from vireid.runs.run_scores import RULES, mean_and_std, require_same_rules
from vireid.utils import tables

METRICS = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}  # of Markdown and LaTeX
OWN, IMAGES, IDENTITIES = "*", "†", "‡"
NOTHING = "–"
LEGEND = {
    OWN: f"{OWN} the run was trained on this data set (its other identities)",
    IMAGES: f"{IMAGES} some test images are among the training images",
    IDENTITIES: f"{IDENTITIES} training and test identities have the same numbers or names",
}


@dataclass(frozen=True, slots=True)
class CellResult:
    """What scoring a cell gave.

    Args:
        entries: of results.json, by protocol.
        failures: reasons, by protocol.
    """

    cell: Cell
    overlap: Overlap
    entries: Mapping[str, Any]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MeanScore:
    """The scores of a recipe's runs by one protocol of one data set.

    Args:
        recipe: name of the folder that the runs share.
        trained_on: reader of the data set that trained them.
        own: they were trained on this data set.
        shared_images: test images among the training images, the most of any run; None: not
            checked.
        shared_identities: test identities that are called as training identities, likewise.
        of: runs of the recipe.
        runs: those that were scored.
        mean, std: mean and population standard deviation over the runs, in per cent, by metric;
            empty where none was scored.
        problem: why a run could not be scored; empty if all were.
        rules: by which they were scored: fields of their entries.
    """

    recipe: str
    trained_on: str
    on: EvaluationSet
    protocol: str
    own: bool
    shared_images: int | None
    shared_identities: int
    of: int
    runs: int
    mean: Mapping[str, float]
    std: Mapping[str, float]
    problem: str
    rules: Mapping[str, Any]

    @property
    def marks(self) -> str:
        """Own data set, shared images, identities of one number or name."""
        images, identities = bool(self.shared_images), bool(self.shared_identities)
        found = {OWN: self.own, IMAGES: images, IDENTITIES: identities}
        return "".join(mark for mark, holds in found.items() if holds)

    def text(self, metric: str, digits: int = 2) -> str:
        """Mean ± deviation, with the marks; ``–`` where nothing was scored."""
        if not self.runs:
            return NOTHING
        text = f"{self.mean[metric]:.{digits}f}"
        if self.of > 1:
            text += f" ± {self.std[metric]:.{digits}f}"
        if self.runs < self.of:
            text += f" (n = {self.runs})"
        return text + self.marks


def mean_scores(results: Sequence[CellResult]) -> list[MeanScore]:
    """One for each recipe, data set and protocol, in the order of the command line."""
    by_run: dict[str, dict[str, CellResult]] = {}
    for result in results:
        by_run.setdefault(result.cell.run.name, {})[result.cell.on.label] = result
    runs = {result.cell.run.name: result.cell.run for result in results}
    scores = []
    for recipe, members in by_recipe(list(runs.values())).items():
        for label, first in by_run[members[0].name].items():
            group = [by_run[run.name][label] for run in members]
            scores += [_mean(recipe, group, one.name) for one in first.cell.protocols]
    return scores


def _mean(recipe: str, group: Sequence[CellResult], protocol: str) -> MeanScore:
    cell = group[0].cell
    found = {r.cell.run.path: r.entries[protocol] for r in group if protocol in r.entries}
    reasons = dict.fromkeys(r.failures[protocol] for r in group if protocol in r.failures)
    problem = "; ".join(reasons)
    try:
        if found:
            require_same_rules(protocol, found.items())
    except DataError as error:
        found, problem = {}, str(error)
    mean, std = mean_and_std(found.values()) if found else ({}, {})
    checked = [r.overlap.images for r in group if r.overlap.images is not None]
    return MeanScore(
        recipe=recipe,
        trained_on=cell.run.dataset,
        on=cell.on,
        protocol=protocol,
        own=all(r.cell.own for r in group),
        shared_images=max(checked) if len(checked) == len(group) else None,
        shared_identities=max(r.overlap.identities for r in group),
        of=len(group),
        runs=len(found),
        mean=mean,
        std=std,
        problem=problem,
        rules={rule: next(iter(found.values())).get(rule) for rule in RULES} if found else {},
    )


def note(scores: Sequence[MeanScore]) -> str:
    """What the numbers and the marks are, in one line."""
    several = any(score.of > 1 for score in scores)
    texts = ["Per cent"]
    texts[0] += ": mean ± population standard deviation over runs" if several else ""
    used = {mark for score in scores for mark in score.marks if score.runs}
    texts += [words for mark, words in LEGEND.items() if mark in used]
    if not all(score.runs for score in scores):
        texts.append(f"{NOTHING} could not be scored")
    return f"{'; '.join(texts)}."


def _rows(scores: Sequence[MeanScore], title: Callable[[MeanScore], Any]) -> list[dict[Any, str]]:
    """A row per recipe and metric, a column per data set and protocol.

    Args:
        title: of a score's column.
    """
    rows: list[dict[Any, str]] = []
    for recipe in dict.fromkeys(score.recipe for score in scores):
        own = [score for score in scores if score.recipe == recipe]
        for metric, name in METRICS.items():
            first = {"run": recipe, "trained on": own[0].trained_on, "runs": str(own[0].of)}
            texts = {title(score): score.text(metric) for score in own}
            rows.append({**first, "metric": name, **texts})
    return rows


def as_markdown(scores: Sequence[MeanScore]) -> str:
    """The note, the table, and a line for whatever cannot be scored or compared."""
    rows = _rows(scores, lambda score: score.on.column(score.protocol))
    lines = "\n".join(f"- {line}" for line in (*problems(scores), *unlike(scores)))
    return "\n\n".join(filter(None, [note(scores), tables.markdown(rows), lines])) + "\n"


def as_latex(scores: Sequence[MeanScore]) -> str:
    r"""A tabular for ``\usepackage{booktabs}``; data sets span the columns of their protocols."""
    import pandas as pd

    rows = _rows(scores, lambda s: (s.on.label, s.on.short(s.protocol).replace("_", " ")))
    texts = pd.DataFrame(rows)
    pairs = [name if isinstance(name, tuple) else ("", name) for name in rows[0]]
    texts.columns = pd.MultiIndex.from_tuples(pairs)
    about = rf"{note(scores)} Needs \usepackage{{booktabs}}."
    columns = "llrl" + "r" * (len(pairs) - 4)
    return tables.latex(texts, note=about, columns=columns) + "\n"


def as_csv(scores: Sequence[MeanScore]) -> str:
    """A line per recipe, data set and protocol, with every metric in per cent."""
    import pandas as pd

    rows = [
        {
            "recipe": score.recipe,
            "trained_on": score.trained_on,
            "set": score.on.label,
            "dataset": score.on.dataset,
            "protocol": score.protocol,
            "own": score.own,
            "shared_images": score.shared_images,
            "shared_identities": score.shared_identities,
            "of": score.of,
            "runs": score.runs,
            **{
                f"{metric}_{kind}": of.get(metric)
                for metric in COLUMNS
                for kind, of in (("mean", score.mean), ("std", score.std))
            },
            "problem": score.problem,
        }
        for score in scores
    ]
    return tables.csv(pd.DataFrame(rows).astype({"shared_images": "Int64"})) + "\n"


def problems(scores: Sequence[MeanScore]) -> list[str]:
    """One line for each recipe, data set and reason of cells that could not be scored."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for score in scores:
        if score.problem:
            key = (score.recipe, score.on.label, score.problem)
            found.setdefault(key, []).append(score.protocol)
    return [
        f"{recipe} on {label} ({', '.join(protocols)}): {reason}"
        for (recipe, label, reason), protocols in found.items()
    ]


def unlike(scores: Sequence[MeanScore]) -> list[str]:
    """One line for each column and rule that differs from row to row."""
    lines = []
    for column in dict.fromkeys(score.on.column(score.protocol) for score in scores):
        own = [s for s in scores if s.runs and s.on.column(s.protocol) == column]
        for rule in RULES:
            values = {str(score.rules.get(rule)): score.recipe for score in reversed(own)}
            if len(values) > 1:
                shown = ", ".join(f"{value} for {recipe}" for value, recipe in values.items())
                lines.append(f"{column}: {rule} is {shown}: do not compare these rows")
    return lines
