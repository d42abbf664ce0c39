"""Runs as one HTML page, rendered by Jinja2: no network, no script, no other file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import vireid
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.results import COLUMNS, describe
from vireid.reports.figures import PageFigure, compared_cmc, curves_of, saved_figures
from vireid.reports.run_files import RunFiles
from vireid.reports.tables import score_table, score_texts
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import recipe_names

ABSENT = "–"
IGNORED = "OUTPUT_DIR"  # differs in every run, and the run's name shows it
ByRun = Mapping[str, Mapping[str, Any]]  # run → name → value


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of the page.

    Args:
        names: columns at the left that hold names; the others hold numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1


def page(runs: Sequence[RunFiles]) -> str:
    """The whole page.

    Raises:
        DataError: scores of a recipe's runs have no mean, or a figure is damaged.
    """
    folders = [run.folder.resolve() for run in runs]
    recipes = recipe_names(dict.fromkeys(map(recipe_of, folders)))
    labels = [_label(folder, recipes) for folder in folders]
    by_label = dict(zip(labels, runs, strict=True))
    environments = {label: run.environment for label, run in by_label.items()}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("template.html.j2").render(
        title=f"Report of {labels[0]}" + (f" and {len(runs) - 1} more" if len(runs) > 1 else ""),
        version=vireid.__version__,
        scores=_scores(runs),
        rules=dict.fromkeys(_rules(runs)),
        comparisons=list(_comparisons(runs, [recipes[recipe_of(folder)] for folder in folders])),
        options=list(_option_tables(by_label)),
        environments=list(_environment_tables(environments)),
        unrecorded=[label for label, found in environments.items() if not found],
        runs={label: _run(label, run) for label, run in by_label.items()},
    )


def breakable(text: str) -> Markup:
    """Escaped text whose long names may continue on the next line after a punctuation mark."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/,=+])(?=\w)", text))


def _label(folder: Path, recipes: Mapping[Path, str]) -> str:
    """``demo/seed0``: the recipe's name, and the folders below it."""
    recipe = recipe_of(folder)
    return "/".join([recipes[recipe], *folder.relative_to(recipe).parts])


def _scores(runs: Sequence[RunFiles]) -> PageTable:
    table = score_table([run.folder for run in runs])
    texts = score_texts(table)
    caption = "Per cent"
    if (table["runs"] > 1).any():
        caption += ": mean ± population standard deviation over the runs of each recipe"
    return PageTable(caption, list(texts.columns), texts.to_numpy().tolist(), names=2)


def _rules(runs: Sequence[RunFiles]) -> Iterator[str]:
    """What each protocol's scores mean, in one line."""
    for run in runs:
        for name, entry in run.results["results.json"]["protocols"].items():
            plain, _, rerank = name.partition("+")
            if plain in PROTOCOLS:
                line = describe(with_draw(PROTOCOLS[plain], entry["gallery_draw"]), entry)
                rule = line.removeprefix(plain)
            else:
                rule = f": this version does not know its rules; metric: {entry['metric']}"
            yield name + rule + ("; after k-reciprocal re-ranking" if rerank else "")


def _comparisons(runs: Sequence[RunFiles], recipes: Sequence[str]) -> Iterator[PageFigure]:
    """CMC curves of the recipes, for every protocol that several have."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for run, recipe in zip(runs, recipes, strict=True):
        for protocol, entry in run.results["results.json"]["protocols"].items():
            found.setdefault(protocol, {}).setdefault(recipe, []).append(entry)
    for protocol, entries in found.items():
        if len(entries) > 1:
            yield compared_cmc(protocol, entries)


def _option_tables(runs: Mapping[str, RunFiles]) -> Iterator[PageTable]:
    usual = flatten(default_config())
    values = {
        label: {key: value for key, value in run.options.items() if key != IGNORED}
        for label, run in runs.items()
    }
    common, differing = _compare(values)
    if differing:
        yield _differences(values, differing, "Options that differ between the runs")
    chosen = {key: value for key, value in common.items() if value != usual.get(key, ABSENT)}
    rows = [[key, _text(value), _text(usual.get(key, ABSENT))] for key, value in chosen.items()]
    if rows:
        where = "all runs have alike" if len(runs) > 1 else "the run has"
        caption = f"Options that {where} and that are not the defaults"
        yield PageTable(caption, ["option", "value", "default"], rows, names=3)


def _environment_tables(values: ByRun) -> Iterator[PageTable]:
    common, differing = _compare(values)
    if differing:
        yield _differences(values, differing, "What differs between the runs")
    if common:
        caption = "The same for all runs" if len(values) > 1 else "Where the run was trained"
        rows = [[key, _text(value)] for key, value in common.items()]
        yield PageTable(caption, ["what", "value"], rows, names=2)


def _compare(values: ByRun) -> tuple[dict[str, Any], list[str]]:
    """The values that all runs share, and the names whose value differs or is absent in a run."""
    names = dict.fromkeys(name for found in values.values() for name in found)
    texts = {name: {repr(found.get(name, ABSENT)) for found in values.values()} for name in names}
    first = next(iter(values.values()))
    common = {name: first[name] for name in names if len(texts[name]) == 1}
    return common, [name for name in names if name not in common]


def _differences(values: ByRun, names: Sequence[str], caption: str) -> PageTable:
    """A row per name and a column per run; the other way round where runs are more."""
    columns = [[_text(found.get(name, ABSENT)) for name in names] for found in values.values()]
    if len(values) > len(names):
        rows = [[label, *cells] for label, cells in zip(values, columns, strict=True)]
        return PageTable(caption, ["run", *names], rows, names=len(names) + 1)
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return PageTable(caption, ["", *values], rows, names=len(values) + 1)


def _text(value: object) -> str:
    """As config files have it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value) if value != "" else "(empty)"


def _run(label: str, run: RunFiles) -> dict[str, Any]:
    """What the template shows of one run."""
    epochs, seconds = run.history[-1]["epoch"], sum(r.get("seconds", 0) for r in run.history)
    return {
        "facts": f"{run.folder}: {epochs:.0f} epochs in {_duration(seconds)}",
        "commands": "\n".join(run.commands),
        "results": [_results(name, results) for name, results in run.results.items()],
        "figures": [*curves_of(run, label), *saved_figures(run.folder, label)],
        "options": yaml.safe_dump(dict(run.options), sort_keys=False, default_flow_style=None),
    }


def _results(name: str, results: Mapping[str, Any]) -> PageTable:
    """Every protocol of one file, mean ± deviation over gallery trials where there are several."""
    header = ["protocol", *COLUMNS, "queries", "gallery"]
    caption = "; ".join([f"{name}, per cent", "±: over gallery trials", *_source(results)])
    rows = [_result_row(name, entry) for name, entry in results["protocols"].items()]
    return PageTable(caption, header, rows)


def _source(results: Mapping[str, Any]) -> Iterable[str]:
    """Which features were scored: one text, or none."""
    source = results["source"]
    names = [
        key for key in ("epoch", "dataset", "exit", "embedding") if source.get(key) is not None
    ]
    parts = [f"{key} {_text(source[key])}" for key in names]
    parts += ["mirror images too"] if source.get("flip") else []
    return [", ".join(parts)] if parts else []


def _result_row(protocol: str, entry: Mapping[str, Any]) -> list[str]:
    several = len(entry["trials"]) > 1
    scores = [
        f"{100 * entry['mean'][c]:.2f}" + (f" ± {100 * entry['std'][c]:.2f}" if several else "")
        for c in COLUMNS
    ]
    given, scored = entry["num_query"], entry["num_valid_query"]
    queries = str(given) if given == scored else f"{scored} of {given}"
    return [protocol, *scores, queries, str(entry["num_gallery"])]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
