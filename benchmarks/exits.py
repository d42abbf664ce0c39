"""What each exit of a trained network scores, costs and takes, alone and across exits.

    python benchmarks/exits.py --run runs/demo/seed0 [--protocol sysu_all_single] [KEY VALUE ...]
    python benchmarks/exits.py --run runs/sweeps/demo_beta [--baseline CELL]

Of one run, it prints two tables in Markdown: each exit's scores, parameters, MACs and time per
image (batch 1, float32, one after another within each round), and rank-1 of queries at one exit
(rows) in a gallery of another (columns). All exits are compared by their global features; the
deepest one's full embedding, where the network has parts, has a row of its own. "Of deep" is the
median over the rounds of the ratio to the deepest exit's time in the same round.

Of several runs (``--run`` more than once, or a folder of runs), it prints each exit's scores in its
own gallery and in the deepest exit's gallery: the mean over the runs of each cell, which are the
folders in one folder, and the differences to a baseline's runs of the same split and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm
from yacs.config import CfgNode

from vireid.cli.arguments import tool
from vireid.cli.sources import finished_runs, run_config
from vireid.config import apply_overrides
from vireid.cost.flops import COUNTER, count_macs, example_batch, unique_parameters
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.data.build import build_splits
from vireid.errors import UsageError
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.results import summarise
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.features import features_of, mixed, records_of
from vireid.runs.rendered_data import prepare_data
from vireid.runs.run_scores import recipe_names
from vireid.runs.score import check_answerable, chosen_protocols
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import FeatureSet, ImageRecord, Splits
from vireid.sweeps.tables import (
    COMPARED,
    SCORE_COLUMNS,
    SweepTable,
    cell_means,
    paired_differences,
)

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


@dataclass(frozen=True, slots=True)
class TrainedExits:
    """A run's network, and the scores of queries of one exit in a gallery of another.

    Args:
        exits: names, the deepest last, without ``WHOLE``.
        score: exit of the queries, exit of the gallery → mean over the trials.
    """

    cfg: CfgNode
    model: ReidModel
    protocol: str
    exits: tuple[str, ...]
    score: Callable[[str, str], Scores]


def read_exits(run: Path, overrides: Sequence[str]) -> TrainedExits:
    """Extracts every exit of a run once."""
    # Exits are chosen here, whatever the run scores itself.
    every = ["TEST.EXIT", "deep", "TEST.GALLERY_EXIT", "", "TEST.EMBED", "global+parts"]
    cfg = run_config(run, [*overrides, *every])
    path, checkpoint = read_trained(cfg, run)
    model = trained_model(cfg, checkpoint, path).eval()
    prepare_data(cfg)
    splits, protocol = build_splits(cfg), chosen_protocols(cfg)[0]
    permutations = check_answerable([protocol], splits)
    features = features_by_exit(cfg, model, splits, records_of(protocol, splits))

    def score(queries: str, gallery: str) -> Scores:
        both = mixed(features[queries], features[gallery], protocol.query_modality)
        trials = evaluate(protocol, both, permutations=permutations, metric=cfg.TEST.METRIC)
        return summarise(protocol, trials, metric=cfg.TEST.METRIC)["mean"]

    return TrainedExits(cfg, model, protocol.name, (*model.shallow, "deep"), score)


def gallery_scores(run: TrainedExits, cell: str) -> list[dict[str, object]]:
    """A row per exit, gallery and metric, in the columns of ``SCORE_COLUMNS``."""
    pairs = {
        f"{name}, {gallery} gallery": (name, of)
        for name in run.exits[:-1]
        for gallery, of in (("own", name), ("deep", "deep"))
    }
    pairs |= {"deep": ("deep", "deep")} | ({WHOLE: (WHOLE, WHOLE)} if run.model.parts else {})
    return [
        {"cell": cell, "trial": run.cfg.DATA.TRIAL, "seed": run.cfg.SEED, "protocol": title,
         "metric": metric, "value": run.score(*pair)[metric]}
        for title, pair in pairs.items() for metric in COMPARED
    ]  # fmt: skip


def print_comparison(scores: pd.DataFrame, baseline: str) -> None:
    """Means over each cell's runs, and paired differences to the baseline's."""
    cells = scores["cell"].unique()
    labels = pd.DataFrame({"cell": cells}, index=pd.Index(cells, name="cell"))
    means, differences = cell_means(scores), paired_differences(scores, baseline)
    for metric in COMPARED:
        columns = tuple((title, metric) for title in scores["protocol"].unique())
        note = "\nPer cent: mean ± population standard deviation over the runs."
        print(SweepTable(note, labels, "runs", columns, means).as_markdown())
        if not differences.empty:
            note = (
                f"\nDifference to {baseline}, paired by seed and split, in points: mean ± sample "
            )
            note += "standard deviation (n − 1) over the pairs."
            others = labels.drop(index=baseline)
            table = SweepTable(note, others, "pairs", columns, differences, signed=True)
            print(table.as_markdown())


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Reads runs, extracts every exit once, and prints."""
    args = _parse(arguments)
    words = [*args.overrides, *(["TEST.PROTOCOLS", args.protocol] if args.protocol else [])]
    runs = finished_runs(args.run)
    if len(runs) == 1:
        run = read_exits(runs[0], words)
        scored = [*run.exits, *([WHOLE] if run.model.parts else [])]
        print(f"{runs[0]}: {run.protocol}")
        print_costs(
            run.model, list(run.cfg.INPUT.SIZE), {name: run.score(name, name) for name in scored}
        )
        print_crossings(run.exits, run.score)
        return
    cells = recipe_names(dict.fromkeys(run.parent for run in runs))
    names = list(cells.values())
    baseline = args.baseline or names[0]
    if baseline not in names:
        raise UsageError(f"--baseline {baseline}: the cells are {', '.join(names)}")
    rows: list[dict[str, object]] = []
    for path in tqdm(runs, desc="runs", disable=None, leave=False):
        rows += gallery_scores(read_exits(path, words), cells[path.parent])
    print_comparison(pd.DataFrame(rows, columns=SCORE_COLUMNS), baseline)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument(
        "--run", type=Path, required=True, action="append", metavar="DIR", help="several: repeat"
    )
    line.add_argument("--baseline", metavar="CELL", help="of several cells (default: the first)")
    line.add_argument("--protocol", help="default: the first of the run's")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return line.parse_intermixed_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
