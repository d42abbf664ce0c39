"""How fast a configuration trains here, and how long its whole schedule would take.

    python benchmarks/training.py --cfg configs/sysu.yaml --steps 40 [KEY VALUE ...]

Runs optimiser steps of the first epoch exactly as a training would, but saves nothing, and prints
images per second, the share of time that was spent waiting for data, peak memory, and the projected
hours of all epochs. The first steps, in which kernels are chosen, are left out; so are validations.

    python benchmarks/training.py --cfg configs/sysu.yaml --compare --steps 20 [KEY VALUE ...]

compares ways to compute one step instead: the configuration in float32, eager and in torch's
memory layout (the baseline), in bf16 or its own PRECISION, both also with CHANNELS_LAST, compiled
(not with --eager), and a plain loop around torchreid's whole OSNet with cross-entropy alone. All
take turns in every round on one batch of the configuration's sampler; loading is left out.
"Faster" is the median over the rounds of the baseline's time over the row's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine, machine_facts
from torch import nn
from torch.nn import functional as F
from torch.optim import Adam
from torch.profiler import ProfilerActivity, profile
from yacs.config import CfgNode

from vireid.cli.arguments import tool
from vireid.config import apply_overrides
from vireid.cost.latency import latency_statistics, measure_latency
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.data.loading import batches, end_processes
from vireid.data.transforms import normalize
from vireid.engine.build import build_trainer
from vireid.engine.distributed import World
from vireid.engine.precision import (
    cpu_has_bf16,
    peak_mib,
    resolve_device,
    resolve_precision,
    use_threads,
)
from vireid.engine.trainer import Trainer
from vireid.errors import UsageError
from vireid.models.backbones.osnet import VARIANTS, torchreid_osnet
from vireid.models.build import build_model
from vireid.runs.options import read_config
from vireid.runs.rendered_data import prepare_data
from vireid.runs.run_dir import seed_everything
from vireid.runs.teacher import load_teacher
from vireid.runs.weights import weights_file
from vireid.structures import Batch, Splits

REFERENCE, PLAIN = "fp32, eager", "plain loop, torchreid OSNet, fp32"


def timed_steps(trainer: Trainer, warmup: int, steps: int) -> tuple[float, float, int]:
    """Seconds of the steps after the warm-up, seconds waited for data in them, their images."""
    trainer.wrapped.train()
    source = batches(trainer.loader)
    started = waited = 0.0
    images = 0
    for step in range(warmup + steps):
        if step == warmup:
            started, waited, images = time.perf_counter(), 0.0, 0
        asked = time.perf_counter()
        batch = next(source)
        waited += time.perf_counter() - asked
        trainer.advance(batch)
        images += len(batch.labels)
    return time.perf_counter() - started, waited, images


def step_ways(
    cfg: CfgNode, splits: Splits, device: torch.device, *, compiled: bool
) -> dict[str, Callable[[], object]]:
    """Ways to take one optimiser step on the same batch, the baseline first."""
    own = resolve_precision(cfg.PRECISION, device).name
    if cfg.PRECISION == "auto" and device.type == "cpu" and cpu_has_bf16():
        own = "bf16"
    options = {}
    for form in dict.fromkeys(("fp32", own)):
        plain = ["PRECISION", form, "COMPILE", "false", "CHANNELS_LAST"]
        options |= {f"{form}, eager": [*plain, "false"], f"{form}, channels last": [*plain, "true"]}
    if compiled:
        options[f"{own}, compiled"] = ["PRECISION", own, "COMPILE", "true"]
    trainers = {
        name: step_trainer(cfg, changes, splits, device) for name, changes in options.items()
    }
    batch = next(batches(trainers[REFERENCE].loader))
    ways = {name: partial(trainer.step, batch) for name, trainer in trainers.items()}
    return {**ways, PLAIN: partial(plain_step, *plain_osnet(cfg, splits, device), batch, cfg)}


def step_trainer(
    cfg: CfgNode, changes: Sequence[str], splits: Splits, device: torch.device
) -> Trainer:
    """A trainer in training mode that loads its batches itself."""
    changed = apply_overrides(cfg, [*changes, "DATA.WORKERS", "0", "DATA.CACHE", ""])
    teacher = load_teacher(changed, splits, fingerprint(splits), device=device)
    seed_everything(cfg.SEED)
    model, _ = build_model(changed, len(splits.train_pids))
    trainer = build_trainer(changed, model, splits, device=device, world=World(), teacher=teacher)
    trainer.wrapped.train()
    return trainer


def plain_osnet(cfg: CfgNode, splits: Splits, device: torch.device) -> tuple[nn.Module, Adam]:
    """torchreid's whole network with a classifier, and the optimiser that its examples name."""
    torch.manual_seed(cfg.SEED)
    variant = cfg.MODEL.BACKBONE if cfg.MODEL.BACKBONE in VARIANTS else VARIANTS[0]
    network = torchreid_osnet(variant, len(splits.train_pids)).to(device).train()
    return network, Adam(network.parameters(), lr=cfg.SOLVER.BASE_LR, weight_decay=5e-4)


def plain_step(network: nn.Module, optimizer: Adam, batch: Batch, cfg: CfgNode) -> float:
    """As anyone would write it: float32, cross-entropy, the loss read at every step."""
    there = batch.to(next(network.parameters()).device)
    images = normalize(there.images, cfg.INPUT.MEAN, cfg.INPUT.STD)
    optimizer.zero_grad()
    loss = F.cross_entropy(network(images), there.labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def compare(ways: Mapping[str, Callable[[], object]], *, batch: int, **options: Any) -> str:
    """Markdown.

    Args:
        options: of ``measure_latency``.
    """
    calls = {name: partial(with_gradients, way) for name, way in ways.items()}
    times = measure_latency(calls, batch=batch, **options)
    lines = ["| step | images/s | ms per step | IQR | faster |", "|---|---|---|---|---|"]
    for name, found in latency_statistics(times).iterrows():
        ratio = (times[REFERENCE] / times[name]).median()
        lines.append(
            f"| {name} | {1000 / found.median_ms:.1f} | {batch * found.median_ms:.1f} | "
            f"{batch * found.iqr_ms:.1f} | {ratio:.2f} × |"
        )
    return "\n".join(lines)


def _look_at_one_step(
    args: argparse.Namespace,
    ways: Mapping[str, Callable[[], object]],
    cfg: CfgNode,
    device: torch.device,
) -> None:
    print(describe_machine(machine_facts(device)))
    print(f"{args.cfg}: {' × '.join(map(str, cfg.INPUT.SIZE))}")
    if args.profile:
        print(profile_table(ways[REFERENCE], device))
    else:
        size = 2 * cfg.SAMPLER.IDENTITIES * cfg.SAMPLER.IMAGES
        print(compare(ways, batch=size, runs=args.steps, warmup=args.warmup, device=device))


def profile_table(step: Callable[[], object], device: torch.device) -> str:
    """The operations that take most of one step, after another one."""
    step()
    watched = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=watched) as found:
        step()
    return str(found.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=15))


def with_gradients(step: Callable[[], object]) -> None:
    """A step inside of ``measure_latency``, which turns gradients off."""
    with torch.inference_mode(False), torch.enable_grad():
        step()


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line per figure."""
    args = _parse(arguments)
    cfg = read_config(args.cfg, args.overrides)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    prepare_data(cfg)
    splits = build_splits(cfg)
    if args.compare or args.profile:
        compiled = not (args.eager or args.profile)
        _look_at_one_step(args, step_ways(cfg, splits, device, compiled=compiled), cfg, device)
        return
    teacher = load_teacher(cfg, splits, fingerprint(splits), device=device)
    seed_everything(cfg.SEED)
    weights = weights_file(cfg.MODEL.PRETRAINED)
    model, start = build_model(cfg, len(splits.train_pids), weights=weights)
    world = World()
    trainer = build_trainer(cfg, model, splits, device=device, world=world, teacher=teacher)
    steps = _measured_steps(args, len(trainer.sampler))
    trained = f"{len(splits.train)} images of {len(splits.train_pids)} identities"
    print(f"{args.cfg}: {trained}; {start.origin}")
    try:
        seconds, waited, images = timed_steps(trainer, args.warmup, steps)
    finally:
        end_processes(trainer.loader._iterator)
    whole = len(trainer.sampler) * cfg.SOLVER.EPOCHS * seconds / steps / 3600
    print(
        f"{device}, {trainer.precision.name}, {torch.get_num_threads()} thread(s), "
        f"compiled: {cfg.COMPILE}; {steps} steps of {images // steps} images"
    )
    print(f"images per second     {images / seconds:.1f}")
    print(f"seconds per step      {seconds / steps:.2f}")
    print(f"waiting for data      {100 * waited / seconds:.1f} %")
    print(f"peak memory           {peak_mib(device):.0f} MiB")
    print(
        f"whole schedule        {whole:.1f} hours "
        f"({cfg.SOLVER.EPOCHS} epochs of {len(trainer.sampler)} steps)"
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--cfg", type=Path, required=True, metavar="FILE")
    line.add_argument("--steps", type=int, default=40)
    line.add_argument("--warmup", type=int, default=5, help="steps before the clock starts")
    line.add_argument(
        "--compare", action="store_true", help="ways to compute a step; --steps are rounds"
    )
    line.add_argument(
        "--profile", action="store_true", help="what takes the time of a step in float32, eager"
    )
    line.add_argument(
        "--eager", action="store_true", help="compare without compiling, which takes minutes"
    )
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    args = line.parse_intermixed_args(arguments)
    if args.steps < 1 or args.warmup < 0:
        raise UsageError(
            f"--steps must be at least 1 and --warmup at least 0, got {args.steps} and "
            f"{args.warmup}"
        )
    return args


def _measured_steps(args: argparse.Namespace, epoch: int) -> int:
    """As many steps as were asked for, or as the first epoch has after the warm-up."""
    if args.warmup >= epoch:
        raise UsageError(
            f"--warmup {args.warmup} leaves nothing of an epoch's {epoch} steps: choose fewer"
        )
    return min(args.steps, epoch - args.warmup)


if __name__ == "__main__":
    raise SystemExit(main())
