"""Tables and key numbers of a page: scores, options, environments, results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vireid.config.load import flatten
from vireid.config.schema import default_config
from vireid.evaluation.protocols import PROTOCOLS, plain_name, with_draw
from vireid.evaluation.reranking.methods import parse_name, rule_of
from vireid.evaluation.results import COLUMNS, describe
from vireid.reports.run_files import RunFiles
from vireid.reports.tables import score_texts

if TYPE_CHECKING:  # pandas takes half a second to import
    import pandas as pd

ABSENT = "–"
IGNORED = "OUTPUT_DIR"  # differs in every run, and the run's name shows it
KEY_METRICS = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}
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


@dataclass(frozen=True, slots=True)
class KeyNumbers:
    """One protocol's scores for the head of a page.

    Args:
        rows: per cent, as text, in the order of :data:`KEY_METRICS`; by the recipe's name and what
            it is.
        rule: what the protocol compares; empty where it is unknown.
    """

    protocol: str
    rows: Mapping[str, Sequence[str]]
    rule: str


def key_numbers(
    table: pd.DataFrame, rules: Mapping[str, str], *, baseline: str = ""
) -> Iterator[KeyNumbers]:
    """Of every protocol: the baseline, and the highest rank-1 among those with the most runs.

    Args:
        table: of :func:`~vireid.reports.tables.score_table`.
        rules: by protocol.
        baseline: name of a recipe; empty: there is none.
    """
    found: dict[str, list[tuple[tuple[int, float], dict[str, str]]]] = {}
    records: list[Any] = score_texts(table).to_dict("records")
    for runs, rank1, texts in zip(table["runs"], table["rank1_mean"], records, strict=True):
        found.setdefault(texts["protocol"], []).append(((int(runs), float(rank1)), texts))
    for protocol, recipes in found.items():
        if parse_name(protocol)[1]:  # re-ranked
            continue
        best = max(recipes, key=lambda row: row[0])[1]
        chosen = [t for _, t in recipes if t["recipe"] == baseline and t is not best] + [best]
        rows = {}
        for texts in chosen:
            what = [texts["recipe"], texts["runs"] + (" run" if texts["runs"] == "1" else " runs")]
            what += ["the baseline"] if texts["recipe"] == baseline != "baseline" else []
            what += [f"highest rank-1 of {len(recipes)}"] if texts is best and recipes[1:] else []
            rows[", ".join(what)] = [texts[metric] for metric in KEY_METRICS]
        yield KeyNumbers(protocol, rows, rules.get(protocol, ""))


def score_page_table(table: pd.DataFrame) -> PageTable:
    """Every recipe and protocol of :func:`~vireid.reports.tables.score_table`."""
    texts = score_texts(table)
    caption = "Per cent"
    if (table["runs"] > 1).any():
        caption += ": mean ± population standard deviation over the runs of each recipe"
    caption += _of_reranked(table["protocol"])
    return PageTable(caption, list(texts.columns), texts.to_numpy().tolist(), names=2)


def _of_reranked(names: Iterable[str]) -> str:
    """A sentence on a table with re-ranked scores; empty for others."""
    suffixes = [f"+{method}" for _, method in map(parse_name, names) if method]
    if not suffixes:
        return ""
    which = ", ".join(dict.fromkeys(suffixes))
    return f". {which}: re-ranked with other test images, which does not compare with plain scores"


def rules_of(runs: Iterable[RunFiles]) -> dict[str, str]:
    """What each protocol's scores mean, in one line; several lines where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, entry in run.results["results.json"]["protocols"].items():
            found.setdefault(name, {})[_rule(name, entry)] = None
    return {name: " | ".join(lines) for name, lines in found.items()}


def _rule(name: str, entry: Mapping[str, Any]) -> str:
    plain, reranked = plain_name(parse_name(name)[0]), rule_of(name, entry)
    if plain in PROTOCOLS:
        line = describe(with_draw(PROTOCOLS[plain], entry["gallery_draw"]), entry)
        rule = line.removeprefix(f"{plain}: ")
    else:
        rule = f"this version does not know its rules; metric: {entry['metric']}"
    return rule + (f"; {reranked}" if reranked else "")


def option_tables(runs: Mapping[str, RunFiles]) -> Iterator[PageTable]:
    """Options that differ between runs, and those that all share and that are not defaults."""
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
        where = "all runs share" if len(runs) > 1 else "the run has"
        caption = f"Options that {where} and that are not the defaults"
        yield PageTable(caption, ["option", "value", "default"], rows, names=3)


def environment_tables(values: ByRun) -> Iterator[PageTable]:
    """Versions, device and data: what differs between runs, and what they share."""
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


def results_table(name: str, results: Mapping[str, Any]) -> PageTable:
    """Every protocol of one file, mean ± deviation over gallery trials where there are several."""
    header = ["protocol", *COLUMNS, "queries", "gallery"]
    caption = "; ".join([f"{name}, per cent", "±: over gallery trials", *_source(results)])
    caption += _of_reranked(results["protocols"])
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
