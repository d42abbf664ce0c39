"""The files of a run's folder, checked while they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.config.load import flatten
from vireid.config.values import read_yaml
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.evaluation.results import COLUMNS, is_score, read_results, require_curve
from vireid.figures.curves import History
from vireid.runs.logs import read_metrics
from vireid.runs.run_scores import CONFIG, RESULTS, RULES

IN_ENTRY = (*RULES, "reranked", "num_valid_query", "trials")  # of results.json


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A finished run.

    Args:
        options: of config.yaml, by dotted name.
        environment: of environment.json, by dotted name; empty where there is none.
        history: rows of metrics.csv; empty cells are left out.
        results: contents of results.json and of the files beside it, by name.
        commands: lines of command.txt.
    """

    folder: Path
    options: Mapping[str, Any]
    environment: Mapping[str, Any]
    history: History
    results: Mapping[str, Mapping[str, Any]]
    commands: Sequence[str]


def read_run(folder: Path) -> RunFiles:
    """Reads a run's folder.

    Raises:
        CheckpointError: it is no run folder.
        DataError: results or metrics are missing or damaged.
        UsageError: config.yaml is damaged.
    """
    config, commands = folder / CONFIG, folder / "command.txt"
    if not config.is_file():
        raise CheckpointError(f"{folder} is not a run folder: it has no {CONFIG}")
    options = read_yaml(config)
    if not options:
        raise UsageError(f"config file {config} is empty: it is not the one that the run wrote")
    text = commands.read_text(encoding="utf-8", errors="replace") if commands.is_file() else ""
    files = [folder / RESULTS, *sorted(folder.glob("results_*.json"))]
    return RunFiles(
        folder=folder,
        options=flatten(options),
        environment=_read_environment(folder / "environment.json"),
        history=read_metrics(folder),
        results={path.name: _read_checked(path) for path in files},
        commands=text.splitlines(),
    )


def _read_checked(path: Path) -> dict[str, Any]:
    """Results whose entries have everything that the page shows."""
    content = read_results(path)
    for name, entry in content["protocols"].items():
        lacking = [key for key in IN_ENTRY if key not in entry]
        if lacking or not isinstance(entry["trials"], list) or not entry["trials"]:
            what = f"lacks {lacking[0]}" if lacking else "has no trial"
            raise DataError(f"{path}: {name} {what}: score the run again with the evaluate tool")
        std = entry.get("std") if len(entry["trials"]) > 1 else entry["mean"]
        if not isinstance(std, dict) or not all(is_score(std.get(c)) for c in COLUMNS):
            raise DataError(f"{path}: the std of {name} holds something else than numbers")
        require_curve(path, name, entry)
    return content


def _read_environment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"{type(content).__name__} instead of names and values")
        return flatten(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged ({error}): restore it from a copy, or delete it"
        ) from error
