"""Prints what networks cost: parameters, multiply-accumulates, embedding size, time per image."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from yacs.config import CfgNode

from vireid.cli.arguments import LIST, SHIPPED_HELP, add_options, parser, tool
from vireid.cli.sources import finished_runs, run_config
from vireid.cost.flops import COUNTER, unique_parameters
from vireid.cost.plots import COST_AXES, draw_bars, draw_scatter
from vireid.cost.scores import group_by_recipe, model_scores, scored_protocols
from vireid.cost.tables import (
    Backends,
    ExampleBatch,
    MeasuredModel,
    as_json,
    count_costs,
    counts_table,
    time_models,
    times_table,
    torch_call,
)
from vireid.deploy.backends import RUNTIMES, require_packages
from vireid.deploy.model_files import OneStream, write_onnx
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import CheckpointError, UsageError
from vireid.figures.style import require_figure
from vireid.models.build import build_model
from vireid.models.inference_model import TestTimeFlip, build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import gallery_exit
from vireid.runs.options import read_config
from vireid.runs.rendered_data import expected_identities
from vireid.runs.trained_run import read_trained, trained_model
from vireid.utils.io import require_target, write_text

BACKENDS = ("torch", *RUNTIMES)
TOLERANCE = 1e-3  # of an exported model's features, over the largest of torch's


@dataclass(frozen=True, slots=True)
class CostSource:
    """Where a deployed model comes from.

    Args:
        cfg: its configuration; that of the first run where there are several.
        runs: run folders, with the fingerprints of their data; none of a configuration.
    """

    cfg: CfgNode
    runs: Mapping[Path, str]


Measured = list[tuple[MeasuredModel, CostSource]]


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/cost.py --help``."""
    args = _parse(sys.argv[1:] if arguments is None else arguments)
    measured = _of_runs(args) if args.run else _of_configs(args)
    models = [deployed for deployed, _ in measured]
    device = _shared_device(measured)
    if device.type != "cpu" and args.backends != ["torch"]:
        raise UsageError(f"{args.backends[-1]} runs on the processor here: add --device cpu")
    for deployed in models:
        deployed.model.to(device).eval()
    costs = count_costs(models, device)
    scores = _scores(args, measured) if args.scatter else []  # missing ones fail before the timing
    print(f"MACs: convolutions and matrix products, by {COUNTER}\n\n{counts_table(costs)}")
    if costs["training_parameters"].isna().any():
        print("parameters in training depend on how many identities train: --identities N")
    times = _time(args, models, device) if args.rounds else None
    if times is not None:
        print(f"\n{_conditions(args, device)}\n\n{times_table(costs, times)}")
    if args.json:
        _write_json(args, as_json(costs, times), scores, device)
    if args.scatter:
        draw_scatter(costs, scores, args.scatter, over=args.over, times=times)
        print(f"\nwrote {args.scatter}")
    if args.bars and times is not None:
        draw_bars(costs, times, args.bars)
        print(f"\nwrote {args.bars}")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(
        __doc__,
        "python tools/cost.py --cfg configs/sysu.yaml configs/baselines/agw.yaml\n"
        "         python tools/cost.py --run runs/sysu/seed* --exits all --scatter cost.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--cfg",
        **LIST,
        metavar="FILE",
        help=f"config files, random weights; {SHIPPED_HELP}",
    )
    source.add_argument(
        "--run",
        **LIST,
        metavar="DIR",
        help="run folders, or folders that hold some; seeds of one recipe are one network",
    )
    about = "deep, shallow1, …, or all (default: TEST.EXIT)"
    line.add_argument("--exits", metavar="NAME", help=about, **LIST)
    line.add_argument("--backbones", metavar="NAME", help="with --cfg: one row for each", **LIST)
    _add_measures(line)
    _add_scatter(line)
    add_options(line)
    args = line.parse(words)
    _check(args)
    return args


def _add_measures(line: argparse.ArgumentParser) -> None:
    line.add_argument("--identities", type=int, metavar="N", help="of the training network")
    line.add_argument("--batch", metavar="N", help="(1 32)", **LIST | {"default": ["1", "32"]})
    about = f"of {', '.join(BACKENDS)} (torch); the others need the extra 'deploy'"
    line.add_argument("--backends", metavar="NAME", help=about, **LIST | {"default": ["torch"]})
    line.add_argument("--rounds", type=int, default=100, help="timed (100); 0: no timing")
    line.add_argument("--warmup", type=int, default=20, help="rounds before those (20)")
    line.add_argument("--bars", type=Path, metavar="FILE", help="draw the times: PNG, PDF or SVG")
    line.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")


def _add_scatter(line: argparse.ArgumentParser) -> None:
    group = line.add_argument_group("with --run")
    group.add_argument(
        "--scatter", type=Path, metavar="FILE", help="draw scores over cost: PNG, PDF or SVG"
    )
    group.add_argument("--over", choices=tuple(COST_AXES), default="macs", help="cost drawn (macs)")
    group.add_argument("--protocol", help="scores drawn (the first of the first run)")


def _check(args: argparse.Namespace) -> None:
    """Whatever can be wrong with the words alone, before anything is loaded."""
    if not args.cfg and not args.run:
        raise UsageError("--cfg and --run need files or folders behind them")
    args.backends = list(dict.fromkeys(args.backends)) or ["torch"]
    for name in args.backends:
        if name not in BACKENDS:
            raise UsageError(f"--backends {name!r} is unknown; choose of {', '.join(BACKENDS)}")
    wrong = [n for n in args.batch if not (n.isascii() and n.isdigit() and int(n))]
    if wrong or not args.batch:
        raise UsageError(f"--batch takes numbers of images of at least 1, got {wrong or 'none'}")
    args.batch = list(dict.fromkeys(map(int, args.batch)))
    if args.rounds < 0 or args.warmup < 0:
        raise UsageError(f"--rounds {args.rounds} --warmup {args.warmup}: neither is below 0")
    if args.identities is not None and args.identities < 1:
        raise UsageError(f"--identities must be at least 1, got {args.identities}")
    if args.run and (args.backbones or args.identities):
        raise UsageError("--backbones and --identities go with --cfg: a run has its own")
    if args.scatter and not args.run:
        raise UsageError("--scatter needs scores: give runs with --run instead of --cfg")
    for figure in filter(None, (args.scatter, args.bars)):
        require_figure(figure)
    if args.bars and args.bars == args.scatter:
        raise UsageError(f"--bars and --scatter both name {args.bars}: give each its own file")
    if not args.rounds and (args.bars or (args.scatter and args.over == "latency")):
        name = "--bars" if args.bars else "--over latency"
        raise UsageError(f"{name} needs --rounds of at least 1")
    if args.json and args.json.suffix != ".json":
        raise UsageError(f"--json {args.json}: name a .json file")
    if args.json:
        require_target(args.json)
    if args.backends != ["torch"]:
        require_packages("onnx", "onnxscript", *(b for b in args.backends if b in RUNTIMES))


def _of_configs(args: argparse.Namespace) -> Measured:
    """Models with random weights: every configuration, with every backbone, at every exit."""
    measured: Measured = []
    for path in dict.fromkeys(map(Path, args.cfg)):
        for backbone in dict.fromkeys(args.backbones) or [""]:
            words = ["MODEL.BACKBONE", backbone] if backbone else []
            cfg = read_config(path, [*args.overrides, *words])
            identities = args.identities or expected_identities(cfg)
            model, _ = build_model(cfg, identities or 1, load_weights=False)
            parameters = unique_parameters(model) if identities else None
            names = [path.stem] * (len(args.cfg) > 1 or not backbone) + [backbone] * bool(backbone)
            for deployed in _at_exits(", ".join(names), cfg, model, args.exits, parameters):
                measured.append((deployed, CostSource(cfg, {})))
    return measured


def _of_runs(args: argparse.Namespace) -> Measured:
    """Trained models; of the runs of one recipe the first one's."""
    folders = finished_runs([Path(word) for word in args.run])
    recipes = group_by_recipe({run: run_config(run, args.overrides) for run in folders})
    measured: Measured = []
    for name, runs in recipes.items():
        first, cfg = next(iter(runs.items()))
        path, checkpoint = read_trained(cfg, first)
        model = trained_model(cfg, checkpoint, path)
        data = {first: checkpoint["data"]}
        if args.scatter:  # checkpoints say which data the scores of a run are of
            data |= {r: read_trained(c, r)[1]["data"] for r, c in runs.items() if r != first}
        for deployed in _at_exits(name, cfg, model, args.exits, unique_parameters(model)):
            measured.append((deployed, CostSource(cfg, data)))
    return measured


def _at_exits(
    name: str, cfg: CfgNode, model: ReidModel, exits: Sequence[str], parameters: int | None
) -> Iterator[MeasuredModel]:
    """A model as it is deployed at each exit; ``parameters`` are those in training."""
    size, flip = tuple(cfg.INPUT.SIZE), cfg.TEST.FLIP
    for exit_name, embedding in dict.fromkeys(_features_of(cfg, model, exits)):
        deployed: nn.Module = build_inference_model(model, exit_name=exit_name, embedding=embedding)
        deployed = TestTimeFlip(deployed) if flip else deployed
        yield MeasuredModel(name, exit_name, embedding, flip, deployed, size, parameters)


def _features_of(cfg: CfgNode, model: ReidModel, exits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Exits and their embeddings; with ``all`` the deepest exit has its global feature, too."""
    names = list(exits) or [cfg.TEST.EXIT, gallery_exit(cfg)]
    whole = cfg.TEST.EMBED if model.parts is not None else "global"
    for name in names:
        if name == "all":
            yield from ((student, "global") for student in model.shallow)
            yield from (("deep", "global"), ("deep", whole))
        else:
            yield name, whole if name == "deep" else "global"


def _shared_device(measured: Measured) -> torch.device:
    """One device and one number of threads for all models: they are timed together."""
    for key in ("THREADS", "DEVICE"):
        values = {str(source.cfg[key]): deployed.name for deployed, source in measured}
        if len(values) > 1:
            shown = ", ".join(f"{value} ({name})" for value, name in values.items())
            raise UsageError(f"{key} differs: {shown}; set one for all, e.g. {key} {min(values)}")
    cfg = measured[0][1].cfg
    use_threads(cfg.THREADS)
    return resolve_device(cfg.DEVICE)


def _scores(args: argparse.Namespace, measured: Measured) -> list[dict[str, Any]]:
    """What the scatter shows of each model."""
    datasets = {source.cfg.DATA.DATASET: deployed.name for deployed, source in measured}
    if len(datasets) > 1:
        shown = ", ".join(f"{dataset} ({name})" for dataset, name in datasets.items())
        raise UsageError(f"--scatter needs one data set, these are of several: {shown}")
    runs = [source.runs for _, source in measured]
    protocol = args.protocol or scored_protocols(next(iter(runs[0])))[0]
    models = [deployed for deployed, _ in measured]
    return model_scores(models, runs, dataset=next(iter(datasets)), protocol=protocol)


def _time(
    args: argparse.Namespace, models: Sequence[MeasuredModel], device: torch.device
) -> pd.DataFrame:
    """Times of all models in all backends, one batch after another."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{position}.onnx" for position in range(len(models))]
        if args.backends != ["torch"]:
            for deployed, path in zip(models, files, strict=True):
                write_onnx(_one_stream(deployed), path, size=deployed.size)
        backends: Backends = {}
        for name in args.backends:
            if name == "torch":
                backends[name] = partial(torch_call, models)
            else:
                loaded = [RUNTIMES[name](path, torch.get_num_threads()) for path in files]
                backends[name] = partial(_backend_call, name, models, loaded)
        options = {"rounds": args.rounds, "warmup": args.warmup, "device": device}
        times = [time_models(models, backends, batch=batch, **options) for batch in args.batch]
    return pd.concat(times, ignore_index=True)


def _one_stream(deployed: MeasuredModel) -> nn.Module:
    """What is exported: the stream of visible images, with the test-time flip."""
    flip = isinstance(deployed.model, TestTimeFlip)
    model: Any = deployed.model.network if flip else deployed.model
    stream = OneStream(model, infrared=False)
    return TestTimeFlip(stream) if flip else stream


def _backend_call(
    name: str,
    models: Sequence[MeasuredModel],
    loaded: Sequence[Callable],
    position: int,
    batch: ExampleBatch,
) -> Callable[[], object]:
    """A forward pass of one model in another backend, after its features were compared.

    Raises:
        CheckpointError: they are not torch's.
    """
    images = batch[0].numpy()
    with torch.inference_mode():
        expected = models[position].model(*batch)
    error = (torch.from_numpy(loaded[position](images).copy()) - expected).abs().max()
    if not error <= TOLERANCE * expected.abs().max():
        raise CheckpointError(f"{name} computes other features than torch: off by {error:.2g}")
    return partial(loaded[position], images)


def _conditions(args: argparse.Namespace, device: torch.device) -> str:
    threads = torch.get_num_threads()
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return (
        f"{place}, {threads} CPU thread{'s' if threads > 1 else ''}, float32; median and "
        f"interquartile range of {args.rounds} rounds after {args.warmup} of warm-up, in which all "
        "take turns; ratio: to the first row, median over the rounds; decoding and copying of "
        "images are left out"
    )


def _write_json(
    args: argparse.Namespace,
    networks: list[dict[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    device: torch.device,
) -> None:
    for row, score in zip(networks, scores, strict=False):  # no scores without --scatter
        row["scores"] = score
    content = {
        "format": 1,
        "macs_counter": COUNTER,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "rounds": args.rounds,
        "warmup": args.warmup,
        "torch": torch.__version__,
        "networks": networks,
    }
    write_text(args.json, json.dumps(content, indent=1) + "\n")
    print(f"\nwrote {args.json}")
