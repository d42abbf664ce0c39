"""What networks score beside what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from vireid.analysis.cost import Cost, Subject
from vireid.analysis.table import RULES, recipe_names
from vireid.config.load import flatten, to_dict
from vireid.engine.options import recipe_of
from vireid.errors import DataError, UsageError
from vireid.evaluation.report import COLUMNS, read_results

OF_NETWORK = ("INPUT.SIZE", "TEST.EXIT", "TEST.GALLERY_EXIT", "TEST.EMBED", "TEST.FLIP")
FREE = "MODEL.PRETRAINED"  # changes weights, not what they cost


@dataclass(frozen=True, slots=True)
class Recipe:
    """Runs of one network: other seeds, other splits.

    Args:
        runs: folder → its configuration.
    """

    name: str
    runs: Mapping[Path, CfgNode]


@dataclass(frozen=True, slots=True)
class Point:
    """A network's cost and its scores.

    Args:
        mean, std: of COLUMNS, in per cent, over ``runs`` runs; the population's deviation.
    """

    cost: Cost
    mean: Mapping[str, float]
    std: Mapping[str, float]
    runs: int


def group(runs: Mapping[Path, CfgNode]) -> list[Recipe]:
    """Runs by recipe, as the table tool groups them.

    Raises:
        UsageError: runs of a recipe are of different networks.
    """
    folders: dict[Path, dict[Path, CfgNode]] = {}
    for run, cfg in runs.items():
        folders.setdefault(recipe_of(run.resolve()), {})[run] = cfg
    for members in folders.values():
        _require_alike(members)
    names = recipe_names(folders)
    return [Recipe(names[folder], members) for folder, members in folders.items()]


def _require_alike(members: Mapping[Path, CfgNode]) -> None:
    (first, cfg), *others = members.items()
    expected = flatten(to_dict(cfg))
    for run, other in others:
        for key, value in flatten(to_dict(other)).items():
            decides = key in OF_NETWORK or (key.startswith("MODEL.") and key != FREE)
            if decides and value != expected[key]:
                raise UsageError(
                    f"{run} and {first} are no seeds of one network: {key} is {value!r} and "
                    f"{expected[key]!r}; name one of them only, or move it to another folder"
                )


def points(
    costs: Sequence[Cost], members: Sequence[Mapping[Path, str]], dataset: str, protocol: str
) -> list[Point]:
    """One point per network.

    Args:
        members: for each network, its runs and the fingerprints of their data.
        dataset: as DATA.DATASET names it.
    Raises:
        DataError: a run was not scored so, or not by the same rules as the others.
    """
    found, known = [], None
    for cost, runs in zip(costs, members, strict=True):
        entries = {run: _entry(run, cost.subject, dataset, data, protocol)
                   for run, data in runs.items()}  # fmt: skip
        for run, entry in entries.items():
            rules = {rule: entry[rule] for rule in RULES if rule in entry}
            first, expected = known = known or (run, rules)
            if rules != expected:
                rule = next(name for name in RULES if rules.get(name) != expected.get(name))
                raise DataError(
                    f"{protocol}: {rule} is {rules.get(rule)} in {run}, but {expected.get(rule)} "
                    f"in {first}: their scores cannot be compared"
                )
        values = {c: [100 * entry["mean"][c] for entry in entries.values()] for c in COLUMNS}
        mean = {column: float(np.mean(of)) for column, of in values.items()}
        std = {column: float(np.std(of)) for column, of in values.items()}
        found.append(Point(cost, mean, std, len(entries)))
    return found


def _entry(run: Path, subject: Subject, dataset: str, data: str, protocol: str) -> dict[str, Any]:
    """The scores of just these features of just these images."""
    wanted = {
        "dataset": dataset,
        "data": data,
        "exit": subject.exit_name,
        "embedding": subject.embedding,
        "flip": subject.flip,
        "input_size": list(subject.size),
    }
    files = [run / "results.json", *sorted(run.glob("results_*.json"))]
    for results in map(read_results, files):
        same = all(results["source"].get(key, value) == value for key, value in wanted.items())
        if same and protocol in results["protocols"]:
            return results["protocols"][protocol]
    options = f"TEST.EXIT {subject.exit_name} TEST.EMBED {subject.embedding}"
    raise DataError(
        f"{run} has no scores by {protocol} of the exit {subject.exit_name} ({subject.features}): "
        f"score them with the evaluate tool and --protocols {protocol} {options}"
    )


def scored_protocols(run: Path) -> list[str]:
    """Names of the protocols in a run's results.json, in its order.

    Raises:
        DataError: it is missing or damaged.
    """
    return list(read_results(run / "results.json")["protocols"])
