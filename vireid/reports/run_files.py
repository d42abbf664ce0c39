"""What a run's folder tells, read strictly."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.config.load import flatten
from vireid.config.values import read_yaml
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.evaluation.results import COLUMNS, is_score, read_results
from vireid.runs.scores import CONFIG, RESULTS, RULES

IN_ENTRY = (*RULES, "reranked", "num_valid_query", "trials", "cmc")  # of results.json
ENVIRONMENT, METRICS = "environment.json", "metrics.csv"


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
    history: Sequence[Mapping[str, float]]
    results: Mapping[str, Mapping[str, Any]]
    commands: Sequence[str]


def read_run(folder: Path) -> RunFiles:
    """Reads a run's folder.

    Raises:
        CheckpointError: it is no run folder.
        DataError: results or metrics are missing or damaged.
        UsageError: config.yaml is damaged.
    """
    config = folder / CONFIG
    if not config.is_file():
        raise CheckpointError(f"{folder} is not a run folder: it has no {CONFIG}")
    files = [folder / RESULTS, *sorted(folder.glob("results_*.json"))]
    commands = folder / "command.txt"
    text = commands.read_text(encoding="utf-8", errors="replace") if commands.is_file() else ""
    return RunFiles(
        folder=folder,
        options=flatten(_not_empty(config)),
        environment=_read_environment(folder / ENVIRONMENT),
        history=read_metrics(folder / METRICS),
        results={path.name: _read_whole(path) for path in files},
        commands=text.splitlines(),
    )


def _read_whole(path: Path) -> dict[str, Any]:
    """Results with all that a page tells of them."""
    content = read_results(path)
    for name, entry in content["protocols"].items():
        lacking = [key for key in IN_ENTRY if key not in entry]
        lacking += [key for key in ("trials", "cmc") if not isinstance(entry.get(key), list)]
        if lacking or not entry["trials"] or not entry["cmc"]:
            what = f"lacks {lacking[0]}" if lacking else "has no trial or no curve"
            raise DataError(f"{path}: {name} {what}: score the run again with the evaluate tool")
        spread = entry.get("std") if len(entry["trials"]) > 1 else entry["mean"]
        told = isinstance(spread, dict) and all(is_score(spread.get(c)) for c in COLUMNS)
        if not told or not all(map(is_score, entry["cmc"])):
            what = "curve" if told else "std"
            raise DataError(f"{path}: the {what} of {name} holds something else than numbers")
    return content


def _not_empty(config: Path) -> dict[str, Any]:
    values = read_yaml(config)
    if not values:
        raise UsageError(f"config file {config} is empty: it is not the one that the run wrote")
    return values


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics.csv; empty cells are left out.

    Raises:
        DataError: it is missing, damaged, or has no finished epoch.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [{name: float(cell) for name, cell in row.items() if cell} for row in reader]
        if not rows or any("epoch" not in row for row in rows):
            raise ValueError("no finished epoch")
        if any(not math.isfinite(row["epoch"]) for row in rows):
            raise ValueError("an epoch without a number")
        return rows
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} holds no learning curves ({reason}): restore it from a copy, or let the run "
            "finish an epoch"
        ) from error


def _read_environment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"{type(content).__name__} instead of names and values")
        return flatten(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}): restore it from a copy, or delete it") from (
            error
        )
