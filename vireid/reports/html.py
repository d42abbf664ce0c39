"""Runs, or a sweep, as one HTML page, rendered by Jinja2: no network and no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import vireid
from vireid.reports.figures import PageFigure, compared_cmc, figures_of
from vireid.reports.page_tables import (
    KEY_METRICS,
    PageTable,
    environment_tables,
    key_numbers,
    option_tables,
    results_table,
    rules_of,
    score_page_table,
)
from vireid.reports.ranked_lists import ListOptions, RunLists, lists_of
from vireid.reports.run_files import RunFiles
from vireid.reports.sweep_tables import SweepFolder
from vireid.reports.tables import score_table
from vireid.reports.thresholds import threshold_tables
from vireid.reports.thumbnails import HEIGHT, ImageStore
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import recipe_names

LIMIT = 15_000_000  # bytes of a page; images of the data set shrink until it is kept
TEXT = 1_000_000  # bytes set aside for a page's tables
MOST_CURVES = 7  # in one figure, so that each has a colour


@dataclass(frozen=True, slots=True)
class RunSection:
    """What the page shows of one run.

    Args:
        anchor: of links to it.
        options: all of them, as YAML.
    """

    label: str
    anchor: str
    facts: str
    commands: str
    results: Sequence[PageTable]
    figures: Sequence[PageFigure]
    lists: RunLists
    options: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and a line about its images where it has any."""

    text: str
    about_images: str


def runs_page(runs: Sequence[RunFiles], options: ListOptions) -> Page:
    """The page of some runs.

    Raises:
        DataError: scores of a recipe's runs have no mean, or a figure is damaged.
    """
    folders = [run.folder.resolve() for run in runs]
    recipes = recipe_names(dict.fromkeys(map(recipe_of, folders)))
    labels = [_label(folder, recipes) for folder in folders]
    by_label = dict(zip(labels, runs, strict=True))
    table = score_table([run.folder for run in runs])
    rules = rules_of(runs)
    store = ImageStore()
    sections = _sections(by_label, options, store)
    content = _shared(by_label) | {
        "title": f"Report of {labels[0]}" + (f" and {len(runs) - 1} more" if runs[1:] else ""),
        "cards": list(key_numbers(table, rules)),
        "scores": score_page_table(table),
        "rules": rules,
        "comparisons": list(_comparisons(runs, [recipes[recipe_of(f)] for f in folders])),
        "runs": sections,
    }
    return _rendered("runs.html.j2", content, sections, content["comparisons"], store)


def sweep_page(sweep: SweepFolder, runs: Sequence[RunFiles], options: ListOptions) -> Page:
    """The page of a sweep.

    Args:
        runs: the finished ones, in the sweep's order.
    Raises:
        DataError: scores of a cell's runs have no mean, or a figure is damaged.
    """
    by_label = {str(run.folder.relative_to(sweep.folder)): run for run in runs}
    table = score_table([run.folder for run in runs])
    table["recipe"] = table["recipe"].replace(sweep.names)
    rules = rules_of(runs)
    store = ImageStore()
    sections = _sections(by_label, options, store)
    cells = [sweep.cell_of(run.folder) for run in runs]
    folders = [recipe_of(run.folder).name for run in runs]  # figures shorten these names
    figures = [*sweep.figures(), *_comparisons(runs, folders)]
    content = _shared(by_label) | {
        "title": f"Sweep {sweep.folder.name}",
        "cards": list(key_numbers(table, rules, baseline=sweep.baseline)),
        "summary": sweep.summary(),
        "incomplete": len(runs) < len(sweep.runs),
        "tables": sweep.tables(),
        "states": sweep.states({s.label: s.anchor for s in sections}),
        "rules": rules,
        "comparisons": figures,
        "cells": {
            cell: [s for s, own in zip(sections, cells, strict=True) if own == cell]
            for cell in dict.fromkeys(cells)
        },
    }
    return _rendered("sweep.html.j2", content, sections, figures, store)


def _shared(by_label: Mapping[str, RunFiles]) -> dict[str, Any]:
    """What both kinds of pages show."""
    environments = {label: run.environment for label, run in by_label.items()}
    return {
        "version": vireid.__version__,
        "options": list(option_tables(by_label)),
        "environments": list(environment_tables(environments)),
        "unrecorded": [label for label, found in environments.items() if not found],
    }


def _rendered(
    template: str,
    content: Mapping[str, Any],
    sections: Sequence[RunSection],
    figures: Sequence[PageFigure],
    store: ImageStore,
) -> Page:
    """The page, its images as large as its size allows."""
    drawn = [*figures, *(figure for section in sections for figure in section.figures)]
    room = LIMIT - TEXT - sum(len(figure.uri) for figure in drawn)
    images = store.encoded(max(room, 0))
    about = ""
    if images:
        about = f"{len(images)} images of the data set, at most {images.height} pixels high"
        about += ", smaller so that the page stays below 15 MB" if images.height < HEIGHT else ""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breakable": breakable, "strong": strong}
    text = environment.get_template(template).render(
        content,
        metrics=KEY_METRICS.values(),
        images=images,
        about_images=about,
        unreadable=images.unreadable,
    )
    return Page(text, about)


def breakable(text: str) -> Markup:
    """Escaped text whose long names may continue on the next line after a punctuation mark."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/,=+])(?=\w)", text))


def strong(text: str) -> Markup:
    """Escaped text; bold where Markdown has it bold. A deviation stays with its sign."""
    plain = text.removeprefix("**").removesuffix("**")
    bound = plain.replace("± ", "±\N{NO-BREAK SPACE}")
    return Markup("{}" if plain == text else "<strong>{}</strong>").format(bound)


def _label(folder: Path, recipes: Mapping[Path, str]) -> str:
    """``demo/seed0``: the recipe's name, and the folders below it."""
    recipe = recipe_of(folder)
    return "/".join([recipes[recipe], *folder.relative_to(recipe).parts])


def _comparisons(runs: Sequence[RunFiles], recipes: Sequence[str]) -> Iterator[PageFigure]:
    """CMC curves of the recipes, for every protocol that several have."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for run, recipe in zip(runs, recipes, strict=True):
        for protocol, entry in run.results["results.json"]["protocols"].items():
            found.setdefault(protocol, {}).setdefault(recipe, []).append(entry)
    for protocol, entries in found.items():
        if 1 < len(entries) <= MOST_CURVES:
            yield compared_cmc(protocol, entries)


def _sections(
    runs: Mapping[str, RunFiles], options: ListOptions, store: ImageStore
) -> list[RunSection]:
    sections = []
    for number, (label, run) in enumerate(runs.items(), 1):
        epochs, seconds = run.history[-1]["epoch"], sum(r.get("seconds", 0) for r in run.history)
        lists = lists_of(run, options, store)
        sections.append(
            RunSection(
                label=label,
                anchor=f"run-{number}",
                facts=f"{run.folder}: {epochs:.0f} epochs in {_duration(seconds)}",
                commands="\n".join(run.commands),
                results=[
                    *(results_table(name, found) for name, found in run.results.items()),
                    *threshold_tables(run, options.overrides),
                ],
                figures=figures_of(run, label, lists.features),
                lists=lists,
                options=yaml.safe_dump(dict(run.options), sort_keys=False, default_flow_style=None),
            )
        )
    return sections


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
