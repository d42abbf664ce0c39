"""Prints what networks cost: parameters, multiply-accumulates, embedding size, time per image."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from vireid.cli.arguments import SHIPPED_HELP, add_options, device_override, is_key, parser, tool
from vireid.cli.sources import finished_runs, run_config
from vireid.cost.flops import COUNTER, unique_parameters
from vireid.cost.plots import AXES, Point, draw_bars, draw_scatter, group, points, scored_protocols
from vireid.cost.tables import (
    Cost,
    Runtimes,
    Subject,
    as_json,
    count,
    counts_table,
    time_all,
    times_table,
    torch_call,
)
from vireid.deploy.backends import RUNTIMES, require_packages
from vireid.deploy.onnx_export import OneStream, write_onnx
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
from vireid.utils.io import replace_file, require_target


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
    for exit_name, embedding in dict.fromkeys(_features_of(cfg, model, exits)):
        network: nn.Module = build_inference_model(model, exit_name=exit_name, embedding=embedding)
        network = TestTimeFlip(network) if cfg.TEST.FLIP else network
        yield Subject(name, exit_name, embedding, cfg.TEST.FLIP, network, size, trained)


def _features_of(cfg: CfgNode, model: ReidModel, exits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Exits and their embeddings; at the deepest, ``all`` has its global feature alone as well."""
    names = list(exits) or [cfg.TEST.EXIT, gallery_exit(cfg)]
    whole = cfg.TEST.EMBED if model.parts is not None else "global"
    for name in names:
        if name == "all":
            yield from ((student, "global") for student in model.shallow)
            yield from (("deep", "global"), ("deep", whole))
        else:
            yield name, whole if name == "deep" else "global"


BACKENDS = ("torch", *RUNTIMES)
LISTS = ("cfg", "run", "exits", "backbones", "batch", "backends")  # arguments of several words
TOLERANCE = 1e-3  # of an exported network's features, over the largest of torch's


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/cost.py --help``."""
    args = _parse(sys.argv[1:] if arguments is None else arguments)
    found = of_runs(args) if args.run else of_configs(args)
    device = _shared_settings(found)
    if device.type != "cpu" and args.backends != ["torch"]:
        raise UsageError(f"{args.backends[-1]} runs on the processor here: add --device cpu")
    for one in found:
        one.subject.network.to(device).eval()
    protocol = _protocol(args, found)
    costs = [count(one.subject, device) for one in found]
    scores = _scores(args, found, costs, protocol)  # what is missing is missed before the timing
    print(f"MACs: convolutions and matrix products, by {COUNTER}\n\n{counts_table(costs)}")
    if any(cost.subject.trained is None for cost in costs):
        print("parameters in training depend on how many identities train: --identities N")
    if args.rounds:
        _time(args, costs, device)
        print(f"\n{_conditions(args, device)}\n\n{times_table(costs)}")
    if args.json:
        _write_json(args, costs, scores, protocol, device)
    if args.scatter:
        draw_scatter(scores, args.scatter, protocol=protocol, over=args.over)
        print(f"\nwrote {args.scatter}")
    if args.bars:
        draw_bars(costs, args.bars)
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
        nargs="+",
        metavar="FILE",
        help=f"config files, random weights; {SHIPPED_HELP}",
    )
    source.add_argument(
        "--run",
        nargs="+",
        metavar="DIR",
        help="run folders, or folders that hold some; seeds of one recipe are one network",
    )
    line.add_argument(
        "--exits",
        nargs="+",
        default=[],
        metavar="NAME",
        help="deep, shallow1, …, or all (default: TEST.EXIT)",
    )
    line.add_argument(
        "--backbones", nargs="+", default=[], metavar="NAME", help="with --cfg: one row for each"
    )
    _add_measures(line)
    _add_scatter(line)
    add_options(line)
    return _sorted_out(line.parse_intermixed_args(words))


def _sorted_out(args: argparse.Namespace) -> argparse.Namespace:
    """Options in ``overrides``, wherever they stood; what is wrong is refused."""
    for name in LISTS:  # takes every word that follows, so options after it end up in it
        given = getattr(args, name) or []
        values = list(takewhile(lambda word: not is_key(word), given))
        args.overrides += given[len(values) :]
        setattr(args, name, values)
    args.overrides += device_override(args.device)
    _check(args)
    return args


def _add_measures(line: argparse.ArgumentParser) -> None:
    line.add_argument("--identities", type=int, metavar="N", help="of the training network")
    line.add_argument("--batch", nargs="+", default=["1", "32"], metavar="N", help="(1 32)")
    line.add_argument(
        "--backends",
        nargs="+",
        default=["torch"],
        metavar="NAME",
        help=f"of {', '.join(BACKENDS)} (torch); the others need the extra 'deploy'",
    )
    line.add_argument("--rounds", type=int, default=100, help="timed (100); 0: no timing")
    line.add_argument("--warmup", type=int, default=20, help="rounds before those (20)")
    line.add_argument("--bars", type=Path, metavar="FILE", help="draw the times: PNG, PDF or SVG")
    line.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")


def _add_scatter(line: argparse.ArgumentParser) -> None:
    group = line.add_argument_group("with --run")
    group.add_argument(
        "--scatter", type=Path, metavar="FILE", help="draw scores over cost: PNG, PDF or SVG"
    )
    group.add_argument("--over", choices=tuple(AXES), default="macs", help="cost drawn (macs)")
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


def _shared_settings(found: Sequence[Measured]) -> torch.device:
    """One device and one number of threads for all: they are timed together."""
    for key in ("THREADS", "DEVICE"):
        values = {str(one.cfg[key]): one.subject.name for one in found}
        if len(values) > 1:
            shown = ", ".join(f"{value} ({name})" for value, name in values.items())
            raise UsageError(f"{key} differs: {shown}; set one for all, e.g. {key} {min(values)}")
    use_threads(found[0].cfg.THREADS)
    return resolve_device(found[0].cfg.DEVICE)


def _protocol(args: argparse.Namespace, found: Sequence[Measured]) -> str:
    """What the scatter shows; nothing without one."""
    if not args.scatter:
        return ""
    return args.protocol or scored_protocols(next(iter(found[0].runs)))[0]


def _scores(
    args: argparse.Namespace, found: Sequence[Measured], costs: Sequence[Cost], protocol: str
) -> list[Point]:
    if not args.scatter:
        return []
    datasets = {one.cfg.DATA.DATASET: one.subject.name for one in found}
    if len(datasets) > 1:
        shown = ", ".join(f"{dataset} ({name})" for dataset, name in datasets.items())
        raise UsageError(f"--scatter needs one data set, these are of several: {shown}")
    return points(costs, [one.runs for one in found], next(iter(datasets)), protocol)


def _time(args: argparse.Namespace, costs: Sequence[Cost], device: torch.device) -> None:
    networks = [cost.subject.network for cost in costs]
    with ExitStack() as stack:
        runtimes: dict[str, Callable[..., Callable[[], object]]] = {}
        if args.backends != ["torch"]:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            files = [folder / f"{k}.onnx" for k in range(len(costs))]
            for cost, path in zip(costs, files, strict=True):
                write_onnx(_one_stream(cost.subject.network), path, size=cost.subject.size)
        for name in args.backends:
            if name == "torch":
                runtimes[name] = partial(torch_call, networks)
            else:
                loaded = [RUNTIMES[name](path, torch.get_num_threads()) for path in files]
                runtimes[name] = partial(_other_call, name, networks, loaded)
        _run_all(args, costs, runtimes, device)


def _one_stream(network: nn.Module) -> nn.Module:
    if isinstance(network, TestTimeFlip):
        return TestTimeFlip(OneStream(network.network, infrared=False))
    return OneStream(network, infrared=False)


def _other_call(
    name: str,
    networks: Sequence[nn.Module],
    loaded: Sequence[Callable],
    position: int,
    batch: tuple[Tensor, Tensor],
) -> Callable[[], object]:
    """One network in another runtime, once it has computed what torch does.

    Raises:
        CheckpointError: it does not.
    """
    images = batch[0].numpy()
    with torch.inference_mode():
        expected = networks[position](*batch)
    error = (torch.from_numpy(loaded[position](images).copy()) - expected).abs().max()
    if not error <= TOLERANCE * expected.abs().max():
        raise CheckpointError(f"{name} computes other features than torch: off by {error:.2g}")
    return partial(loaded[position], images)


def _run_all(
    args: argparse.Namespace, costs: Sequence[Cost], runtimes: Runtimes, device: torch.device
) -> None:
    for batch in args.batch:
        time_all(costs, runtimes, batch=batch, runs=args.rounds, warmup=args.warmup, device=device)


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
    costs: Sequence[Cost],
    scores: Sequence[Point],
    protocol: str,
    device: torch.device,
) -> None:
    rows = as_json(costs)
    for row, point in zip(rows, scores, strict=False):
        row["scores"] = {"protocol": protocol, "runs": point.runs,
                         "mean": point.mean, "std": point.std}  # fmt: skip
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
    text = json.dumps(content, indent=1) + "\n"
    replace_file(args.json, lambda file: file.write(text.encode()))
    print(f"\nwrote {args.json}")
