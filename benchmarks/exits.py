"""What each exit of a trained network scores, costs and takes, alone and across exits.

    python benchmarks/exits.py --run runs/demo/seed0 [--protocol sysu_all_single] [KEY VALUE ...]

Prints two tables in Markdown: each exit's scores, parameters, MACs and time per image (batch 1,
float32, one after another within each round), and rank-1 of queries at one exit (rows) in a gallery
of another (columns). All exits are compared by their global features; the deepest one's full
embedding, where the network has parts, stands in a row of its own.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vireid.analysis.complexity import COUNTER, count_macs, example_batch, unique_parameters
from vireid.analysis.latency import measure_latency
from vireid.cli.common import read_config
from vireid.config import apply_overrides
from vireid.data.build import build_splits, prepare_data
from vireid.engine.features import features_of, mixed
from vireid.engine.score import (
    check_answerable,
    chosen_protocols,
    read_trained,
    records_of,
    trained_model,
)
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.report import summarise
from vireid.models.retrieval import retrieval_model


def networks(model: nn.Module) -> dict[str, nn.Module]:
    """Every exit with its global feature, and the deepest with all that it has."""
    exits = {name: retrieval_model(model, exit_name=name) for name in model.shallow}
    exits["deep"] = retrieval_model(model, embedding="global")
    if model.parts is not None:
        exits["deep, global+parts"] = retrieval_model(model)
    return {name: network.eval() for name, network in exits.items()}


def print_costs(model: nn.Module, size: list[int], scores: dict[str, dict[str, float]]) -> None:
    """One row per exit."""
    batch, exits = example_batch(size), networks(model.eval())
    calls = {name: partial(network, *batch) for name, network in exits.items()}
    times = measure_latency(calls, batch=1)
    threads = torch.get_num_threads()
    print(f"\n{size[0]} × {size[1]}, {threads} thread(s); MACs: {COUNTER}\n")
    print("| exit | rank-1 | mAP | numbers | parameters | MACs (M) | ms, median | IQR | of deep |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, network in exits.items():
        macs = count_macs(network, *batch).total / 1e6
        with torch.inference_mode():
            numbers = network(*batch).shape[1]
        mine, deep = times[name], times["deep"]
        print(
            f"| {name} | {100 * scores[name]['rank1']:.2f} | {100 * scores[name]['mAP']:.2f} | "
            f"{numbers} | {unique_parameters(network):,} | {macs:.1f} | {mine.median_ms:.2f} | "
            f"{mine.iqr_ms:.2f} | {100 * mine.median_ms / deep.median_ms:.0f} % |"
        )


def main() -> None:
    """Reads a run, extracts every exit once, and prints."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--run", type=Path, required=True, metavar="DIR")
    line.add_argument("--protocol", help="default: the first of the run's")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = line.parse_intermixed_args()
    cfg = read_config(args.run / "config.yaml", args.overrides)
    if args.protocol:
        cfg = apply_overrides(cfg, ["TEST.PROTOCOLS", args.protocol])
    path, checkpoint = read_trained(cfg, args.run)
    model = trained_model(cfg, checkpoint, path).eval()
    prepare_data(cfg)
    splits, protocol = build_splits(cfg), chosen_protocols(cfg)[0]
    permutations = check_answerable([protocol], splits)
    extract = partial(
        features_of,
        model=model,
        splits=splits,
        records=records_of(protocol, splits),
        device=torch.device("cpu"),
    )
    global_only = apply_overrides(cfg, ["TEST.EMBED", "global"])
    names = [*model.shallow, "deep"]
    features = {name: extract(global_only, exit_name=name) for name in names}
    if model.parts is not None:
        features["deep, global+parts"] = extract(
            apply_overrides(cfg, ["TEST.EMBED", "global+parts"]), exit_name="deep"
        )

    def score(queries: str, gallery: str) -> dict[str, float]:
        both = mixed(features[queries], features[gallery], protocol.query_modality)
        trials = evaluate(protocol, both, permutations=permutations, metric=cfg.TEST.METRIC)
        return summarise(protocol, trials, metric=cfg.TEST.METRIC)["mean"]

    print(f"{args.run}: {protocol.name}")
    print_costs(model, list(cfg.INPUT.SIZE), {name: score(name, name) for name in features})
    print(f"\nrank-1, queries by row, gallery by column\n\n| | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for row in names:
        cells = " | ".join(f"{100 * score(row, column)['rank1']:.2f}" for column in names)
        print(f"| {row} | {cells} |")


if __name__ == "__main__":
    main()
