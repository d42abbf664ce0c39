"""The runs that are scored: what each was trained on, and which rows of the table they share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from vireid.errors import UsageError
from vireid.evaluation.reranking.methods import METHODS
from vireid.runs.options import recipe_of, run_config
from vireid.runs.run_scores import recipe_names
from vireid.runs.trained_run import read_trained

# Options that --sets, --protocols and the table itself decide
DECIDED = {
    "DATA.DATASET": "--sets NAME=ROOT",
    "DATA.ROOT": "--sets NAME=ROOT",
    "TEST.PROTOCOLS": "--protocols",
}

RERANKINGS = tuple(f"TEST.{name.upper()}" for name in METHODS)


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A trained run.

    Args:
        path: its folder; a model folder is one, too.
        recipe: the folder that runs of other seeds and splits share.
        name: short, for messages and files.
        own: its configuration as it was trained.
        cfg: the same with what the user changed.
        digest: SHA-256 of its checkpoint.
        dataset, data, split_trial, pids: what trained it: reader, fingerprint, split (RegDB) and
            identities.
        epoch: finished epochs.
    """

    path: Path
    recipe: Path
    name: str
    own: CfgNode
    cfg: CfgNode
    digest: str
    dataset: str
    data: str
    split_trial: int | None
    pids: tuple[int, ...]
    epoch: int


def open_runs(folders: Sequence[Path], overrides: Sequence[str] = ()) -> list[EvaluatedRun]:
    """Reads configurations and checkpoints of runs; the weights are not kept in memory.

    Args:
        overrides: ``KEY VALUE`` words that apply to all of them.
    Raises:
        CheckpointError: a run or its checkpoint is missing or damaged.
        UsageError: an option that cannot be changed here.
    """
    for key in overrides[::2]:
        if key in DECIDED:
            raise UsageError(f"{key} differs from set to set: use {DECIDED[key]}")
        if key in RERANKINGS:
            raise UsageError(f"{key}: this table holds plain scores; evaluate re-ranks")
    names = run_names(folders)
    return [_open(folder, names[folder], overrides) for folder in folders]


def run_names(folders: Sequence[Path]) -> dict[Path, str]:
    """``runs/demo/seed0`` → ``demo/seed0``; with the whole path where several share a name."""
    recipes = {folder: recipe_of(folder.resolve()) for folder in folders}
    names = recipe_names(dict.fromkeys(recipes.values()))
    return {
        folder: str(Path(names[recipe]) / folder.resolve().relative_to(recipe))
        for folder, recipe in recipes.items()
    }


def _open(folder: Path, name: str, overrides: Sequence[str]) -> EvaluatedRun:
    cfg = run_config(folder, overrides)
    path, checkpoint = read_trained(cfg, folder)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return EvaluatedRun(
        path=folder,
        recipe=recipe_of(folder.resolve()),
        name=name,
        own=run_config(folder),
        cfg=cfg,
        digest=digest,
        dataset=checkpoint["dataset"],
        data=checkpoint["data"],
        split_trial=checkpoint["split_trial"],
        pids=tuple(checkpoint["pids"]),
        epoch=checkpoint["progress"]["epoch"],
    )


def by_recipe(runs: Sequence[EvaluatedRun]) -> Mapping[str, list[EvaluatedRun]]:
    """Runs of one recipe, which are averaged, by its name."""
    names = recipe_names(dict.fromkeys(run.recipe for run in runs))
    found: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        found.setdefault(names[run.recipe], []).append(run)
    return found
