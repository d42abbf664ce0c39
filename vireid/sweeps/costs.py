"""What the networks of a sweep cost, counted from their configurations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yacs.config import CfgNode

from vireid.config.load import flatten
from vireid.config.schema import options_of_cost
from vireid.cost.flops import COUNTER, count_macs, example_batch, unique_parameters
from vireid.errors import VireidError
from vireid.models.build import build_model
from vireid.models.inference_model import build_inference_model
from vireid.sweeps.planner import Run

NOTE = (
    "Parameters and MACs are of the deployed network, MACs of one image, with TEST.FLIP of its "
    f"mirror image as well ({COUNTER})."
)
CLASSES = 2  # what is deployed has no classifier: any number does


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a deployed network.

    Args:
        parameters: unique ones, of both streams.
        macs: multiply-accumulates of what makes one image's feature.
    """

    parameters: int
    macs: int


Costs = Mapping[str, Cost]  # by cell's name


def costs_of(runs: Sequence[Run]) -> dict[str, Cost]:
    """The cost of each cell's network; none of a cell whose network cannot be built.

    Networks that differ in nothing that is deployed are built once.
    """
    known: dict[str, Cost | None] = {}
    found: dict[str, Cost] = {}
    for run in {run.cell.name: run for run in runs}.values():
        shape = _shape(run.cfg)
        if shape not in known:
            known[shape] = deployed_cost(run.cfg)
        cost = known[shape]
        if cost:
            found[run.cell.name] = cost
    return found


def deployed_cost(cfg: CfgNode) -> Cost | None:
    """Builds the network from random weights and counts; None where it cannot be built."""
    try:
        model, _ = build_model(cfg, CLASSES, load_weights=False)
        network = build_inference_model(model, exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED)
        macs = count_macs(network, *example_batch(cfg.INPUT.SIZE)).total
    except (VireidError, RuntimeError):  # its runs have failed with the same message
        return None
    return Cost(unique_parameters(network), macs * (2 if cfg.TEST.FLIP else 1))


def vary(costs: Costs) -> bool:
    """Whether the cells differ in what they cost."""
    return len(set(costs.values())) > 1


def _shape(cfg: CfgNode) -> str:
    options = flatten(cfg)
    return repr([options[key] for key in options_of_cost()])
