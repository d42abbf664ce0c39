"""The costs of a sweep's models, counted from their configurations alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from yacs.config import CfgNode

from vireid.config.lists import options_of_cost
from vireid.config.load import flatten
from vireid.cost.flops import COUNTER, count_macs, example_batch, unique_parameters
from vireid.errors import VireidError
from vireid.models.build import build_model
from vireid.models.inference_model import build_inference_model
from vireid.sweeps.planner import SweepRun

NOTE = (
    "Parameters and MACs are of the deployed network, MACs of one image, with TEST.FLIP of its "
    f"mirror image as well ({COUNTER})."
)
CLASSES = 2  # a deployed model has no classifier, so any number does


def cell_costs(runs: Sequence[SweepRun]) -> pd.DataFrame:
    """``parameters`` and ``macs`` by the cell's name; no row where its model cannot be built.

    Models that differ in nothing that is deployed are built once.
    """
    known: dict[str, tuple[int, int] | None] = {}
    costs = {}
    for run in {run.cell.name: run for run in runs}.values():
        options = flatten(run.cfg)
        deployed = repr([options[key] for key in options_of_cost()])
        if deployed not in known:
            known[deployed] = _deployed_cost(run.cfg)
        if known[deployed]:
            costs[run.cell.name] = known[deployed]
    columns = ["parameters", "macs"]  # Int64: it stays whole beside missing values
    return pd.DataFrame.from_dict(costs, orient="index", columns=columns).astype("Int64")


def _deployed_cost(cfg: CfgNode) -> tuple[int, int] | None:
    """Unique parameters of both streams, and multiply-accumulates of one image's features."""
    try:
        model, _ = build_model(cfg, CLASSES, load_weights=False)
        deployed = build_inference_model(model, exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED)
        macs = count_macs(deployed, *example_batch(cfg.INPUT.SIZE))
    except (VireidError, RuntimeError):  # its runs have failed with the same message
        return None
    return unique_parameters(deployed), macs * (2 if cfg.TEST.FLIP else 1)
