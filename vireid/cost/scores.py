"""The scores of deployed models, from the results of their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.lists import options_of, options_of_cost
from vireid.config.load import flatten
from vireid.config.option import Effect
from vireid.cost.tables import MeasuredModel
from vireid.errors import DataError, UsageError
from vireid.evaluation.results import read_results
from vireid.runs.options import recipe_of
from vireid.runs.run_scores import RESULTS, mean_and_std, recipe_names, require_same_rules


def group_by_recipe(runs: Mapping[Path, CfgNode]) -> dict[str, dict[Path, CfgNode]]:
    """Runs and their configurations by recipe; :class:`UsageError` where one has several models."""
    folders: dict[Path, dict[Path, CfgNode]] = {}
    for run, cfg in runs.items():
        folders.setdefault(recipe_of(run.resolve()), {})[run] = cfg
    for members in folders.values():
        _require_one_model(members)
    names = recipe_names(folders)
    return {names[folder]: members for folder, members in folders.items()}


def _require_one_model(members: Mapping[Path, CfgNode]) -> None:
    (first, cfg), *others = members.items()
    expected, starts = flatten(cfg), options_of(Effect.START)
    for run, other in others:
        for key, value in flatten(other).items():
            decides = (key.startswith("MODEL.") and key not in starts) or key in options_of_cost()
            if decides and value != expected[key]:
                raise UsageError(
                    f"{run} and {first} are not seeds of one model: {key} is {value!r} and "
                    f"{expected[key]!r}; name one of them only, or move it to another folder"
                )


def model_scores(models: Sequence[MeasuredModel], protocol: str | None) -> list[dict[str, Any]]:
    """The scores of every model: ``protocol``, ``runs``, ``mean`` and ``std`` in per cent.

    Args:
        protocol: None: the first in the results of the first run.
    Raises:
        UsageError: the models are of several data sets.
        DataError: a run was not scored so, or not by the same rules as the others.
    """
    datasets = {deployed.cfg.DATA.DATASET: deployed.name for deployed in models}
    if len(datasets) > 1:
        shown = ", ".join(f"{dataset} ({name})" for dataset, name in datasets.items())
        raise UsageError(f"--scatter needs one data set, these are of several: {shown}")
    if protocol is None:
        protocol = next(iter(read_results(next(iter(models[0].runs)) / RESULTS)["protocols"]))
    found = []
    scored: list[tuple[Path, dict[str, Any]]] = []
    for deployed in models:
        entries = {
            run: _entry(run, data, deployed, protocol) for run, data in deployed.runs.items()
        }
        scored += entries.items()
        require_same_rules(protocol, scored)
        mean, std = mean_and_std(entries.values())
        found.append({"protocol": protocol, "runs": len(entries), "mean": mean, "std": std})
    return found


def _entry(run: Path, data: str, deployed: MeasuredModel, protocol: str) -> dict[str, Any]:
    """The scores of just these features of just these images."""
    wanted = {
        "dataset": deployed.cfg.DATA.DATASET,
        "data": data,
        "exit": deployed.exit_name,
        "embedding": deployed.embedding,
        "flip": deployed.cfg.TEST.FLIP,
        "input_size": list(deployed.cfg.INPUT.SIZE),
    }
    for results in map(read_results, [run / RESULTS, *sorted(run.glob("results_*.json"))]):
        same = all(results["source"].get(key, value) == value for key, value in wanted.items())
        if same and protocol in results["protocols"]:
            return results["protocols"][protocol]
    options = f"TEST.EXIT {deployed.exit_name} TEST.EMBED {deployed.embedding}"
    raise DataError(
        f"{run} has no scores by {protocol} of the exit {deployed.exit_name} "
        f"({deployed.features}): score them with the evaluate tool and "
        f"--protocols {protocol} {options}"
    )
