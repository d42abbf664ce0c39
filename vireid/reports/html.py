"""Runs as one HTML page that needs nothing beside it: no network, no script, no other file."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

import vireid
from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.results import COLUMNS, describe
from vireid.reports.figures import compared_cmc, curves_of, saved_figures
from vireid.reports.run_files import RunFiles
from vireid.reports.tables import Row, table_rows
from vireid.runs.options import recipe_of
from vireid.runs.scores import recipe_names

EMPTY = frozenset({"img", "meta", "link", "br", "wbr"})  # elements that have no end


class Markup(str):
    """Text that is HTML already; any other text is escaped where it is put into an element."""

    __slots__ = ()


def element(tag: str, /, *content: str | Iterable[str], **attributes: object) -> Markup:
    """One element.

    Args:
        content: text, which is escaped, or :class:`Markup`; lists of such are put in one by one.
        attributes: escaped; ``class_`` stands for ``class``, an underscore for a hyphen; those
            that are None or empty are left out.
    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    names = {key: key.rstrip("_").replace("_", "-") for key in attributes}
    given = "".join(
        f' {names[key]}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    if tag in EMPTY:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{join(content)}</{tag}>")


def join(content: Iterable[str | Iterable[str]]) -> Markup:
    """Pieces one behind another; those that are not :class:`Markup` are escaped."""
    pieces = []
    for piece in content:
        if isinstance(piece, Markup):
            pieces.append(str(piece))
        elif isinstance(piece, str):
            pieces.append(html.escape(piece))
        else:
            pieces.append(str(join(piece)))
    return Markup("".join(pieces))


def breakable(text: str) -> Markup:
    """Text whose long names may go on in the next line behind a mark within them."""
    pieces = re.split(r"(?<=[._/,=+])(?=\w)", text)
    return join([pieces[0], *((element("wbr"), piece) for piece in pieces[1:])])


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, names: int = 1
) -> Markup:
    """A table in a box of its own, which scrolls where the page is narrower.

    Args:
        caption: what it shows.
        names: columns at the left that name a row; the others are set as numbers.
    """
    head = element("tr", [element("th", title, scope="col") for title in header])
    body = [
        element(
            "tr",
            element("th", breakable(row[0]), scope="row"),
            [
                element(
                    "td",
                    breakable(cell) if at < names else cell,
                    class_="" if at < names else "number",
                )
                for at, cell in enumerate(row[1:], start=1)
            ],
        )
        for row in rows
    ]
    whole = element("table", element("thead", head), element("tbody", body))
    box = element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)
    return element("figure", element("figcaption", caption), box, class_="table")


STYLE = """
:root { color-scheme: light; --line: #d5d9de; --quiet: #55606b; --accent: #0b5a8f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; color: #1b1f23; background: #fff;
  overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; padding-bottom: .2rem;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 0; padding: 0;
  list-style: none; }
.quiet { color: var(--quiet); font-size: .9rem; }
.rules { padding-left: 1.2rem; font-size: .9rem; }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; overflow-wrap: break-word;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--quiet); white-space: nowrap; }
tbody th { font-weight: 500; max-width: 22rem; }
td { max-width: 26rem; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 0 2rem; }
figure { margin: 1rem 0; max-width: 100%; }
figure .scroll { margin: 0; }
.table figcaption { padding: 0 0 .2rem; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--quiet); font-size: .9rem; }
pre { margin: .5rem 0; padding: .6rem .8rem; background: #f4f6f8; font-size: .85rem;
  white-space: pre-wrap; }
.options { columns: 22rem; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  th, td { padding: .3rem .5rem; }
  td { overflow-wrap: anywhere; min-width: 6rem; }
  td.number { min-width: 0; }
}
@page { margin: 15mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table, pre { font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; }
  thead th { white-space: normal; }
  th, td { overflow-wrap: anywhere; }
  .options { font-size: 6.5pt; columns: 3; }
  .figures { display: block; }
  tr, figure, pre { break-inside: avoid; }
  figure.table { break-inside: auto; }
  h2, h3, .table figcaption, summary { break-after: avoid; }
  figure img { min-width: 0 !important; max-height: 75mm; width: auto; }
  details::details-content { content-visibility: visible; height: auto; }
  summary { list-style: none; color: inherit; font-weight: 600; }
}
"""


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
    usual = flatten(default_config())
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
