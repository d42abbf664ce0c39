"""What each exit of a trained network scores, costs and takes, alone and across exits.

    python benchmarks/exits.py --run runs/demo/seed0 [--protocol sysu_all_single] [KEY VALUE ...]

Prints two tables in Markdown: each exit's scores, parameters, MACs and time per image (batch 1,
float32, one after another within each round), and rank-1 of queries at one exit (rows) in a gallery
of another (columns). All exits are compared by their global features; the deepest one's full
embedding, where the network has parts, stands in a row of its own. "Of deep" is the median over
the rounds of the ratio to the deepest exit's time in the same round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn
from yacs.config import CfgNode

from vireid.cli.arguments import tool
from vireid.cli.sources import run_config
from vireid.config import apply_overrides
from vireid.cost.flops import COUNTER, count_macs, example_batch, unique_parameters
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.data.build import build_splits
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.results import summarise
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.features import features_of, mixed, records_of
from vireid.runs.rendered_data import prepare_data
from vireid.runs.score import check_answerable, chosen_protocols
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import FeatureSet, ImageRecord, Splits

WHOLE = "deep, global+parts"
Scores = Mapping[str, float]


def networks(model: nn.Module) -> dict[str, nn.Module]:
    """Every exit with its global feature, and the deepest with all that it has."""
    exits = {name: build_inference_model(model, exit_name=name) for name in model.shallow}
    exits["deep"] = build_inference_model(model, embedding="global")
    if model.parts is not None:
        exits[WHOLE] = build_inference_model(model)
    return {name: network.eval() for name, network in exits.items()}


def print_costs(model: nn.Module, size: list[int], scores: Mapping[str, Scores]) -> None:
    """One row per exit."""
    batch, exits = example_batch(size), networks(model.eval())
    calls = {name: partial(network, *batch) for name, network in exits.items()}
    times = measure_latency(calls, batch=1)
    statistics = latency_statistics(times)
    threads = torch.get_num_threads()
    print(f"\n{size[0]} × {size[1]}, {threads} thread(s); MACs: {COUNTER}\n")
    print("| exit | rank-1 | mAP | numbers | parameters | MACs (M) | ms, median | IQR | of deep |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, network in exits.items():
        macs = count_macs(network, *batch) / 1e6
        with torch.inference_mode():
            numbers = network(*batch).shape[1]
        mine, share = statistics.loc[name], (times[name] / times["deep"]).median()
        print(
            f"| {name} | {100 * scores[name]['rank1']:.2f} | {100 * scores[name]['mAP']:.2f} | "
            f"{numbers} | {unique_parameters(network):,} | {macs:.1f} | {mine.median_ms:.2f} | "
            f"{mine.iqr_ms:.2f} | {100 * share:.0f} % |"
        )


def features_by_exit(
    cfg: CfgNode, model: ReidModel, splits: Splits, records: Sequence[ImageRecord]
) -> dict[str, FeatureSet]:
    """Every exit's global features of the records, and all that the deepest one has."""
    extract = partial(
        features_of, model=model, splits=splits, records=records, device=torch.device("cpu")
    )
    global_only = apply_overrides(cfg, ["TEST.EMBED", "global"])
    features = {name: extract(global_only, exit_name=name) for name in (*model.shallow, "deep")}
    if model.parts is not None:
        features[WHOLE] = extract(cfg, exit_name="deep")
    return features


def print_crossings(names: Sequence[str], score: Callable[[str, str], Scores]) -> None:
    """One row per exit of the queries, one column per exit of the gallery."""
    print(f"\nrank-1, queries by row, gallery by column\n\n| | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for row in names:
        cells = " | ".join(f"{100 * score(row, column)['rank1']:.2f}" for column in names)
        print(f"| {row} | {cells} |")


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Reads a run, extracts every exit once, and prints."""
    args = _parse(arguments)
    words = ["TEST.PROTOCOLS", args.protocol] if args.protocol else []
    # Exits are chosen here, whatever the run scores itself.
    every = ["TEST.EXIT", "deep", "TEST.GALLERY_EXIT", "", "TEST.EMBED", "global+parts"]
    cfg = run_config(args.run, [*args.overrides, *words, *every])
    path, checkpoint = read_trained(cfg, args.run)
    model = trained_model(cfg, checkpoint, path).eval()
    prepare_data(cfg)
    splits, protocol = build_splits(cfg), chosen_protocols(cfg)[0]
    permutations = check_answerable([protocol], splits)
    features = features_by_exit(cfg, model, splits, records_of(protocol, splits))

    def score(queries: str, gallery: str) -> Scores:
        both = mixed(features[queries], features[gallery], protocol.query_modality)
        trials = evaluate(protocol, both, permutations=permutations, metric=cfg.TEST.METRIC)
        return summarise(protocol, trials, metric=cfg.TEST.METRIC)["mean"]

    print(f"{args.run}: {protocol.name}")
    print_costs(model, list(cfg.INPUT.SIZE), {name: score(name, name) for name in features})
    print_crossings([*model.shallow, "deep"], score)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--run", type=Path, required=True, metavar="DIR")
    line.add_argument("--protocol", help="default: the first of the run's")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return line.parse_intermixed_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
