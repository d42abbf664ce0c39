"""The scores that run folders hold: which folders are runs, and whose scores can be averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid.errors import DataError
from vireid.evaluation.reranking.methods import rule_of
from vireid.evaluation.results import COLUMNS, corruption_text
from vireid.utils.paths import is_hidden_below, is_model_folder

RESULTS, CONFIG = "results.json", "config.yaml"  # a finished run's folder has both
# Fields of a protocol's entry in results.json that must agree for scores to be averaged.
RULES = ("gallery_draw", "metric", "cmc_unit", "num_query", "num_gallery")


def find_runs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Runs in and below folders: those with results, and those below without results.

    A folder with results counts as it is. So does a folder that has no run below it: reading its
    results then fails with its name. A run that is named by several paths counts once. Hidden
    folders below are skipped.
    """
    finished: dict[Path, Path] = {}  # by their real paths
    unfinished: dict[Path, Path] = {}
    for folder in folders:
        configs = [] if (folder / RESULTS).is_file() else sorted(folder.rglob(CONFIG))
        below = [c.parent for c in configs if c.parent != folder and not is_hidden_below(c, folder)]
        runs = [run for run in below if not is_model_folder(run)]
        scored = [run for run in runs if (run / RESULTS).is_file()]
        for run in scored or [folder]:
            finished.setdefault(run.resolve(), run)
        for run in runs:
            if run not in scored:
                unfinished.setdefault(run.resolve(), run)
    return list(finished.values()), list(unfinished.values())


def recipe_names(folders: Iterable[Path]) -> dict[Path, str]:
    """The folders' own names; their paths where several share a name."""
    folders = list(folders)
    counts = Counter(folder.name for folder in folders)
    return {f: f.name if counts[f.name] == 1 else str(f) for f in folders}


def require_same_rules(protocol: str, entries: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Checks that runs were scored alike.

    Args:
        entries: run folders, and the protocol's entry in their results.
    Raises:
        DataError: names the rule that differs, its two values and their runs.
    """
    (first, expected), *others = entries
    for run, entry in others:
        for rule in (*RULES, "corruption"):  # of corrupted images only
            if entry.get(rule) != expected.get(rule):
                raise _unlike(
                    protocol, rule, (run, _shown(entry, rule)), (first, _shown(expected, rule))
                )
        reranked = rule_of(protocol, entry), rule_of(protocol, expected)
        if reranked[0] != reranked[1]:
            raise _unlike(protocol, "re-ranking", (run, reranked[0]), (first, reranked[1]))


def _unlike(protocol: str, rule: str, one: tuple[Path, str], other: tuple[Path, str]) -> DataError:
    return DataError(
        f"{protocol}: {rule} is {one[1]} in {one[0]}, but {other[1]} in {other[0]}: their scores "
        "cannot be compared"
    )


def _shown(entry: Mapping[str, Any], rule: str) -> str:
    """An entry's rule, for messages."""
    if rule == "corruption":
        return corruption_text(entry).removeprefix("; ") or "none"
    return f"{entry.get(rule)!s:.60}"


def mean_and_std(entries: Iterable[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and population standard deviation of a protocol's entries, in per cent, by metric."""
    entries = list(entries)
    values = {metric: [100 * entry["mean"][metric] for entry in entries] for metric in COLUMNS}
    mean = {metric: float(np.mean(of)) for metric, of in values.items()}
    return mean, {metric: float(np.std(of)) for metric, of in values.items()}
