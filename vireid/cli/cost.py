"""Prints the cost of models: parameters, MACs, feature size and time per image."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from yacs.config import CfgNode

from vireid.cli.arguments import LIST, SHIPPED_HELP, add_options, at_least, parser, tool
from vireid.cli.sources import finished_runs, run_config
from vireid.cost.flops import COUNTER, unique_parameters
from vireid.cost.plots import COST_AXES, draw_bars, draw_scatter
from vireid.cost.scores import group_by_recipe, model_scores
from vireid.cost.tables import (
    MeasuredModel,
    as_json,
    count_costs,
    counts_table,
    time_models,
    times_table,
)
from vireid.deploy.backends import RUNTIMES, require_packages
from vireid.deploy.model_files import OneStream, write_onnx
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import UsageError
from vireid.figures.style import require_figure
from vireid.models.build import build_model
from vireid.models.inference_model import TestTimeFlip, build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import gallery_exit
from vireid.runs.options import read_config
from vireid.runs.rendered_data import expected_identities
from vireid.runs.trained_run import read_trained, trained_model
from vireid.utils.io import require_target, say, write_text

BACKENDS = ("torch", *RUNTIMES)


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/cost.py --help``."""
    args = _parse(sys.argv[1:] if arguments is None else arguments)
    models = list(_of_runs(args) if args.run else _of_configs(args))
    device = _shared_device(models)
    if device.type != "cpu" and args.backends != ["torch"]:
        raise UsageError(f"{args.backends[-1]} runs on the processor here: add --device cpu")
    for deployed in models:
        deployed.model.to(device).eval()
    costs = count_costs(models, device)
    # missing scores fail before the timing
    scores = model_scores(models, args.protocol) if args.scatter else []
    say(f"MACs: convolutions and matrix products, by {COUNTER}\n\n{counts_table(costs)}")
    if costs["training_parameters"].isna().any():
        say("parameters in training depend on how many identities train: --identities N")
    times = _time(args, models, device) if args.rounds else None
    if times is not None:
        say(f"\n{_conditions(args, device)}\n\n{times_table(costs, times)}")
    if args.json:
        _write_json(args, as_json(costs, times, scores), device)
    if args.scatter:
        draw_scatter(costs, scores, args.scatter, over=args.over, times=times)
        say(f"\nwrote {args.scatter}")
    if args.bars and times is not None:
        draw_bars(costs, times, args.bars)
        say(f"\nwrote {args.bars}")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(
        __doc__,
        "python tools/cost.py --cfg configs/sysu.yaml configs/baselines/agw.yaml\n"
        "         python tools/cost.py --run runs/sysu/seed* --exits all --scatter cost.pdf",
    )
    source = line.add_mutually_exclusive_group(required=True)
    about = f"config files, with random weights; {SHIPPED_HELP}"
    source.add_argument("--cfg", item=Path, metavar="FILE", help=about, **LIST)
    about = "run folders, or folders that contain them; seeds of one recipe count as one model"
    source.add_argument("--run", item=Path, metavar="DIR", help=about, **LIST)
    about = "exits to measure: deep, shallow1, …, or all (default: TEST.EXIT)"
    line.add_argument("--exits", metavar="NAME", help=about, **LIST)
    line.add_argument(
        "--backbones", metavar="NAME", help="with --cfg: one row for each backbone", **LIST
    )
    _add_measures(line)
    group = line.add_argument_group("with --run")
    about = "draw scores over cost: .png, .jpg, .pdf or .svg"
    group.add_argument("--scatter", type=Path, metavar="FILE", help=about)
    group.add_argument(
        "--over", choices=tuple(COST_AXES), default="macs", help="cost in the figure (macs)"
    )
    group.add_argument("--protocol", help="protocol of the scores (the first one of the first run)")
    add_options(line)
    args = line.parse(words)
    _check(args)
    return args


def _add_measures(line: argparse.ArgumentParser) -> None:
    about = "training identities, for the number of parameters in training"
    line.add_argument("--identities", type=at_least(1), metavar="N", help=about)
    batch = LIST | {"item": at_least(1), "default": [1, 32]}
    line.add_argument("--batch", metavar="N", help="batch sizes to time (1 32)", **batch)
    about = f"any of {', '.join(BACKENDS)} (torch); the others need the extra 'export'"
    backends = LIST | {"item": _backend, "default": ["torch"]}
    line.add_argument("--backends", metavar="NAME", help=about, **backends)
    line.add_argument(
        "--rounds", type=at_least(0), default=100, help="timed rounds (100); 0: no timing"
    )
    line.add_argument(
        "--warmup", type=at_least(0), default=20, help="warm-up rounds before them (20)"
    )
    line.add_argument(
        "--bars", type=Path, metavar="FILE", help="draw the times: .png, .jpg, .pdf or .svg"
    )
    line.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all numbers to this file"
    )


def _backend(name: str) -> str:
    if name not in BACKENDS:
        message = f"{name!r} is unknown; choose one of {', '.join(BACKENDS)}"
        raise argparse.ArgumentTypeError(message)
    return name


def _check(args: argparse.Namespace) -> None:
    """What argparse does not see, before anything is loaded."""
    if args.run and (args.backbones or args.identities):
        raise UsageError("--backbones and --identities go with --cfg: a run has its own")
    if args.scatter and not args.run:
        raise UsageError("--scatter needs scores: give runs with --run instead of --cfg")
    for figure in filter(None, (args.scatter, args.bars)):
        require_figure(figure)
    if not args.rounds and (args.bars or (args.scatter and args.over == "latency")):
        name = "--bars" if args.bars else "--over latency"
        raise UsageError(f"{name} needs --rounds of at least 1")
    if args.json and args.json.suffix != ".json":
        raise UsageError(f"--json {args.json}: name a .json file")
    if args.json:
        require_target(args.json)
    if args.backends != ["torch"]:
        require_packages("onnx", "onnxscript", *(b for b in args.backends if b in RUNTIMES))


def _of_configs(args: argparse.Namespace) -> Iterator[MeasuredModel]:
    """Models with random weights: every configuration, with every backbone, at every exit."""
    for path, backbone in product(args.cfg, args.backbones or [""]):
        words = ["MODEL.BACKBONE", backbone] if backbone else []
        cfg = read_config(path, [*args.overrides, *words])
        identities = args.identities or expected_identities(cfg)
        model, _ = build_model(cfg, identities or 1, load_weights=False)
        parameters = unique_parameters(model) if identities else None
        names = [path.stem] if len(args.cfg) > 1 or not backbone else []
        name = ", ".join(names + ([backbone] if backbone else []))
        yield from _at_exits(name, cfg, model, args.exits, parameters, {})


def _of_runs(args: argparse.Namespace) -> Iterator[MeasuredModel]:
    """Trained models; of the runs of one recipe the first one's."""
    configs = {run: run_config(run, args.overrides) for run in finished_runs(args.run)}
    for name, runs in group_by_recipe(configs).items():
        first, cfg = next(iter(runs.items()))
        path, checkpoint = read_trained(cfg, first)
        model = trained_model(cfg, checkpoint, path)
        data = {first: checkpoint["data"]}
        if args.scatter:  # checkpoints say which data the scores of a run are of
            data |= {r: read_trained(c, r)[1]["data"] for r, c in runs.items() if r != first}
        yield from _at_exits(name, cfg, model, args.exits, unique_parameters(model), data)


def _at_exits(
    name: str,
    cfg: CfgNode,
    model: ReidModel,
    exits: Sequence[str],
    parameters: int | None,
    runs: Mapping[Path, str],
) -> Iterator[MeasuredModel]:
    """A model as it is deployed at each exit; ``parameters`` are those in training."""
    for exit_name, embedding in dict.fromkeys(_features_of(cfg, model, exits)):
        deployed: nn.Module = build_inference_model(model, exit_name=exit_name, embedding=embedding)
        deployed = TestTimeFlip(deployed) if cfg.TEST.FLIP else deployed
        yield MeasuredModel(name, exit_name, embedding, deployed, parameters, cfg, runs)


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


def _shared_device(models: Sequence[MeasuredModel]) -> torch.device:
    """One device and one number of threads for all models: they are timed together."""
    for key in ("THREADS", "DEVICE"):
        values = {str(deployed.cfg[key]): deployed.name for deployed in models}
        if len(values) > 1:
            shown = ", ".join(f"{value} ({name})" for value, name in values.items())
            raise UsageError(f"{key} differs: {shown}; set one for all, e.g. {key} {min(values)}")
    use_threads(models[0].cfg.THREADS)
    return resolve_device(models[0].cfg.DEVICE)


def _time(
    args: argparse.Namespace, models: Sequence[MeasuredModel], device: torch.device
) -> pd.DataFrame:
    """Times of all models in all backends, one batch after another."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{position}.onnx" for position in range(len(models))]
        if args.backends != ["torch"]:
            for deployed, path in zip(models, files, strict=True):
                write_onnx(_one_stream(deployed), path, size=deployed.cfg.INPUT.SIZE)
        threads = torch.get_num_threads()
        exported = {
            name: [RUNTIMES[name](path, threads) for path in files if name != "torch"]
            for name in args.backends
        }
        options = {"rounds": args.rounds, "warmup": args.warmup, "device": device}
        batches = dict.fromkeys(args.batch)
        times = [time_models(models, exported, batch=batch, **options) for batch in batches]
    return pd.concat(times, ignore_index=True)


def _one_stream(deployed: MeasuredModel) -> nn.Module:
    """What is exported: the stream of visible images, with the test-time flip."""
    flip = isinstance(deployed.model, TestTimeFlip)
    model: Any = deployed.model.network if flip else deployed.model
    stream = OneStream(model, infrared=False)
    return TestTimeFlip(stream) if flip else stream


def _conditions(args: argparse.Namespace, device: torch.device) -> str:
    threads = torch.get_num_threads()
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return (
        f"{place}, {threads} CPU thread{'s' if threads > 1 else ''}, float32; median and "
        f"interquartile range of {args.rounds} rounds after {args.warmup} of warm-up, in which all "
        "take turns; ratio: to the first row, median over the rounds; decoding and copying of "
        "images are left out"
    )


def _write_json(args: argparse.Namespace, rows: Sequence[object], device: torch.device) -> None:
    content = {
        "format": 1,
        "macs_counter": COUNTER,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "rounds": args.rounds,
        "warmup": args.warmup,
        "torch": torch.__version__,
        "networks": rows,
    }
    write_text(args.json, json.dumps(content, indent=1) + "\n")
    say(f"\nwrote {args.json}")
