"""The networks whose cost is asked for, from configurations or from trained runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from yacs.config import CfgNode

from vireid.analysis.complexity import unique_parameters
from vireid.analysis.cost import Subject
from vireid.analysis.cost_scores import group
from vireid.cli.common import read_config
from vireid.cli.sources import finished_runs, run_config
from vireid.data.build import expected_identities
from vireid.engine.features import gallery_exit
from vireid.engine.score import read_trained, trained_model
from vireid.models.build import build_model
from vireid.models.reid_model import ReidModel
from vireid.models.retrieval import Mirrored, retrieval_model


@dataclass(frozen=True, slots=True)
class Measured:
    """One network, and where it comes from.

    Args:
        cfg: its configuration; that of the first run where there are several.
        runs: run folders, with the fingerprints of their data.
    """

    subject: Subject
    cfg: CfgNode
    runs: Mapping[Path, str]


def of_configs(args: argparse.Namespace) -> list[Measured]:
    """Networks with random weights: every configuration, with every backbone, at every exit.

    Raises:
        UsageError: an option is wrong, or a network has no such exit.
    """
    found = []
    for path in dict.fromkeys(map(Path, args.cfg)):
        for backbone in dict.fromkeys(args.backbones) or [""]:
            words = ["MODEL.BACKBONE", backbone] if backbone else []
            cfg = read_config(path, [*args.overrides, *words])
            identities = args.identities or expected_identities(cfg)
            model, _ = build_model(cfg, identities or 1, load_weights=False)
            trained = unique_parameters(model) if identities else None
            name = ", ".join([path.stem] * (len(args.cfg) > 1 or not backbone) + [backbone])
            subjects = _subjects(name.removesuffix(", "), cfg, model, args.exits, trained)
            found += [Measured(subject, cfg, {}) for subject in subjects]
    return found


def of_runs(args: argparse.Namespace) -> list[Measured]:
    """Trained networks; of the runs of one recipe the first one's.

    Raises:
        CheckpointError: no run folder, or its checkpoint is missing, damaged or of another network.
        UsageError: an option is wrong, a network has no such exit, or a recipe has several.
    """
    folders = finished_runs([Path(word) for word in args.run])
    found = []
    for recipe in group({run: run_config(run, args.overrides) for run in folders}):
        run, cfg = next(iter(recipe.runs.items()))
        path, checkpoint = read_trained(cfg, run)
        model = trained_model(cfg, checkpoint, path)
        data = {run: checkpoint["data"]}
        if args.scatter:  # the other runs' checkpoints tell which data their own scores are of
            data |= {r: read_trained(c, r)[1]["data"] for r, c in recipe.runs.items() if r != run}
        trained = unique_parameters(model)
        subjects = _subjects(recipe.name, cfg, model, args.exits, trained)
        found += [Measured(subject, cfg, data) for subject in subjects]
    return found


def _subjects(
    name: str, cfg: CfgNode, model: ReidModel, exits: Sequence[str], trained: int | None
) -> Iterator[Subject]:
    size = tuple(cfg.INPUT.SIZE)
    for exit_name, embedding in dict.fromkeys(_features(cfg, model, exits)):
        network: nn.Module = retrieval_model(model, exit_name=exit_name, embedding=embedding)
        network = Mirrored(network) if cfg.TEST.FLIP else network
        yield Subject(name, exit_name, embedding, cfg.TEST.FLIP, network, size, trained)


def _features(cfg: CfgNode, model: ReidModel, exits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Exits and their embeddings; at the deepest, ``all`` has its global feature alone as well."""
    names = list(exits) or [cfg.TEST.EXIT, gallery_exit(cfg)]
    whole = cfg.TEST.EMBED if model.parts is not None else "global"
    for name in names:
        if name == "all":
            yield from ((student, "global") for student in model.shallow)
            yield from (("deep", "global"), ("deep", whole))
        else:
            yield name, whole if name == "deep" else "global"
