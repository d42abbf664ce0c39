"""Runs as one HTML page that needs nothing beside it: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

import vireid
from vireid.analysis.markup import Markup, element, join, table
from vireid.analysis.report_figures import compared_cmc, curves_of, saved_figures
from vireid.analysis.report_style import STYLE
from vireid.analysis.run_files import RunFiles
from vireid.analysis.table import Row, recipe_names, table_rows
from vireid.config.defaults import default_config
from vireid.config.load import flatten, to_dict
from vireid.engine.options import recipe_of
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.report import COLUMNS, describe

NOTHING = "–"
OF_FOLDER = "OUTPUT_DIR"  # every run's own, and its name says it
Values = Mapping[str, Mapping[str, Any]]  # run → name → value


def page(runs: Sequence[RunFiles]) -> str:
    """The whole page.

    Args:
        runs: at least one.
    Raises:
        DataError: scores of a recipe's runs have no mean, or a figure is damaged.
    """
    labels = _labels(runs)
    rows = table_rows([run.folder for run in runs])
    named = dict(zip(labels, runs, strict=True))
    sections = [
        ("scores", "Scores", _scores(rows, runs)),
        ("options", "Configuration", _options(named)),
        ("environment", "Environment", _environment(named)),
    ]
    for number, (label, run) in enumerate(named.items(), start=1):
        sections.append((f"run-{number}", label, _run(label, run)))
    title = f"Report of {labels[0]}" + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    ]
    links = [
        element("li", element("a", name, href=f"#{anchor}")) for anchor, name, content in sections
    ]
    top = element(
        "header",
        element("h1", title),
        element(
            "p", f"Written by vireid {vireid.__version__} from the runs' files.", class_="quiet"
        ),
        element("nav", element("ul", links), aria_label="Sections"),
    )
    body = [
        element("section", element("h2", name), content, id=anchor)
        for anchor, name, content in sections
    ]
    whole = [element("head", head), element("body", top, element("main", body))]
    return "<!DOCTYPE html>\n" + element("html", whole, lang="en") + "\n"


def _labels(runs: Sequence[RunFiles]) -> list[str]:
    """``demo/seed0``: the recipe's name and what its runs differ in."""
    folders = [run.folder.resolve() for run in runs]
    names = recipe_names(dict.fromkeys(recipe_of(folder) for folder in folders))
    return ["/".join([names[recipe_of(f)], *f.relative_to(recipe_of(f)).parts]) for f in folders]


def _scores(rows: Sequence[Row], runs: Sequence[RunFiles]) -> Markup:
    several = any(row.runs > 1 for row in rows)
    header = ["recipe", "protocol", "runs", *COLUMNS]
    body = [
        [row.recipe, row.protocol, str(row.runs)]
        + [f"{row.mean[c]:.2f}" + (f" ± {row.std[c]:.2f}" if row.runs > 1 else "") for c in COLUMNS]
        for row in rows
    ]
    caption = "Per cent" + (
        ": mean ± population standard deviation over the runs of each recipe" if several else ""
    )
    pieces: list[Markup] = [table(header, body, caption=caption, names=2), _rules(runs)]
    if len({row.recipe for row in rows}) > 1:
        pieces.append(element("div", list(_comparisons(runs)), class_="figures"))
    return join(pieces)


def _rules(runs: Sequence[RunFiles]) -> Markup:
    lines = dict.fromkeys(
        _rule(name, entry)
        for run in runs
        for name, entry in run.results["results.json"]["protocols"].items()
    )
    return join(
        [
            element("h3", "Rules"),
            element("ul", [element("li", line) for line in lines], class_="rules"),
        ]
    )


def _rule(name: str, entry: Mapping[str, Any]) -> str:
    """What a protocol's scores mean, in one line."""
    plain, _, rerank = name.partition("+")
    after = "; after k-reciprocal re-ranking" if rerank else ""
    if plain not in PROTOCOLS:
        return f"{name}: this version does not know its rules; metric: {entry['metric']}{after}"
    line = describe(with_draw(PROTOCOLS[plain], entry["gallery_draw"]), entry)
    return name + line.removeprefix(plain) + after


def _comparisons(runs: Sequence[RunFiles]) -> Iterator[Markup]:
    """CMC curves of the recipes, for every protocol that several have."""
    names = recipe_names(dict.fromkeys(recipe_of(run.folder.resolve()) for run in runs))
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for run in runs:
        recipe = names[recipe_of(run.folder.resolve())]
        for protocol, entry in run.results["results.json"]["protocols"].items():
            found.setdefault(protocol, {}).setdefault(recipe, []).append(entry)
    for protocol, recipes in found.items():
        if len(recipes) > 1:
            yield compared_cmc(protocol, recipes)


def _options(runs: Mapping[str, RunFiles]) -> Markup:
    usual = flatten(to_dict(default_config()))
    values = {
        label: {key: value for key, value in run.options.items() if key != OF_FOLDER}
        for label, run in runs.items()
    }
    common, differing = _compare(values)
    chosen = {key: value for key, value in common.items() if value != usual.get(key, NOTHING)}
    rows = [[key, _text(value), _text(usual.get(key, NOTHING))] for key, value in chosen.items()]
    pieces = [_differences(values, differing, "Options that differ between the runs")]
    where = "all runs have alike" if len(runs) > 1 else "the run has"
    caption = f"Options that {where} and that are not the defaults"
    if rows:
        header = ["option", "value", "default"]
        pieces.append(table(header, rows, caption=caption, names=3))
    return join(pieces)


def _environment(runs: Mapping[str, RunFiles]) -> Markup:
    values = {label: run.environment for label, run in runs.items()}
    common, differing = _compare(values)
    rows = [[key, _text(value)] for key, value in common.items()]
    pieces = [_differences(values, differing, "What differs between the runs")]
    if rows:
        caption = "The same for all runs" if len(runs) > 1 else "Where the run was trained"
        pieces.append(table(["what", "value"], rows, caption=caption, names=2))
    unknown = [label for label, found in values.items() if not found]
    if unknown:
        pieces.append(element("p", f"Not recorded: {', '.join(unknown)}.", class_="quiet"))
    return join(pieces)


def _compare(values: Values) -> tuple[dict[str, Any], list[str]]:
    """What all have alike, and the names of what some have otherwise or not at all."""
    names = dict.fromkeys(name for found in values.values() for name in found)
    texts = {name: {repr(found.get(name, NOTHING)) for found in values.values()} for name in names}
    first = next(iter(values.values()))
    common = {name: first[name] for name in names if len(texts[name]) == 1}
    return common, [name for name in names if name not in common]


def _differences(values: Values, names: Sequence[str], caption: str) -> Markup:
    """Names down and runs across, or the other way round where runs are more."""
    if not names:
        return Markup()
    cells = {
        (label, name): _text(found.get(name, NOTHING))
        for label, found in values.items()
        for name in names
    }
    if len(values) > len(names):
        rows = [[label, *(cells[label, name] for name in names)] for label in values]
        return table(["run", *names], rows, caption=caption, names=len(names) + 1)
    rows = [[name, *(cells[label, name] for label in values)] for name in names]
    return table(["", *values], rows, caption=caption, names=len(values) + 1)


def _text(value: object) -> str:
    """As config files have it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value) if value != "" else "(empty)"


def _run(label: str, run: RunFiles) -> Markup:
    command = [element("h3", "Command"), element("pre", "\n".join(run.commands))]
    epochs, seconds = run.history[-1]["epoch"], sum(r.get("seconds", 0) for r in run.history)
    facts = f"{run.folder}: {epochs:.0f} epochs in {_duration(seconds)}"
    options = yaml.safe_dump(dict(run.options), sort_keys=False, default_flow_style=None)
    whole = element(
        "details", element("summary", "All options"), element("pre", options, class_="options")
    )
    return join(
        [
            element("p", facts, class_="quiet"),
            command if run.commands else [],
            [_results(name, results) for name, results in run.results.items()],
            element("h3", "Figures"),
            element(
                "div", curves_of(run, label), saved_figures(run.folder, label), class_="figures"
            ),
            element("h3", "Options"),
            whole,
        ]
    )


def _results(name: str, results: Mapping[str, Any]) -> Markup:
    """Every protocol of one file, mean ± deviation over gallery trials where there are several."""
    source = results["source"]
    told = [f"{key} {_text(source[key])}" for key in ("epoch", "dataset", "exit", "embedding")
            if source.get(key) is not None]  # fmt: skip
    told += ["mirror images too"] if source.get("flip") else []
    rows = []
    for protocol, entry in results["protocols"].items():
        scores = [
            f"{100 * entry['mean'][c]:.2f}"
            + (f" ± {100 * entry['std'][c]:.2f}" if len(entry["trials"]) > 1 else "")
            for c in COLUMNS
        ]
        fed, scored = entry["num_query"], entry["num_valid_query"]
        queries = str(fed) if fed == scored else f"{scored} of {fed}"
        rows.append([protocol, *scores, queries, str(entry["num_gallery"])])
    caption = f"{name}, per cent; ±: over gallery trials; {', '.join(told)}".rstrip("; ")
    return table(["protocol", *COLUMNS, "queries", "gallery"], rows, caption=caption)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
