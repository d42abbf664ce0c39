"""How fast a configuration trains here, and how long its whole schedule would take.

    python benchmarks/training.py --cfg configs/sysu.yaml --steps 40 [KEY VALUE ...]

Runs optimiser steps of the first epoch exactly as a training would, but saves nothing, and prints
images per second, the share of time that was spent waiting for data, peak memory, and the projected
hours of all epochs. The first steps, in which kernels are chosen, are left out; so are validations.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from vireid.cli.common import read_config, tool
from vireid.data.build import build_splits, prepare_data
from vireid.data.dataset import batches, end_processes
from vireid.data.layout import fingerprint
from vireid.engine.build import build_trainer
from vireid.engine.device import resolve_device, use_threads
from vireid.engine.distributed import World
from vireid.engine.run import seed_everything
from vireid.engine.teacher import load_teacher
from vireid.engine.train import Trainer, peak_mib
from vireid.errors import UsageError
from vireid.models.build import build_model


def timed_steps(trainer: Trainer, warmup: int, steps: int) -> tuple[float, float, int]:
    """Seconds of the steps after the warm-up, seconds waited for data in them, their images."""
    trainer.network.train()
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


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line per figure."""
    args = _parse(arguments)
    cfg = read_config(args.cfg, args.overrides)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    prepare_data(cfg)
    splits = build_splits(cfg)
    teacher = load_teacher(cfg, splits, fingerprint(splits))
    seed_everything(cfg.SEED)
    model, origin = build_model(cfg, len(splits.train_pids))
    world = World()
    trainer = build_trainer(cfg, model, splits, device=device, world=world, teacher=teacher)
    steps = _measured_steps(args, len(trainer.sampler))
    print(
        f"{args.cfg}: {len(splits.train)} images of {len(splits.train_pids)} identities; {origin}"
    )
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
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return line.parse_intermixed_args(arguments)


def _measured_steps(args: argparse.Namespace, epoch: int) -> int:
    """As many steps as were asked for, or as the first epoch has after the warm-up."""
    if args.steps < 1 or args.warmup < 0:
        raise UsageError(
            f"--steps must be at least 1 and --warmup at least 0, got {args.steps} and "
            f"{args.warmup}"
        )
    if args.warmup >= epoch:
        raise UsageError(
            f"--warmup {args.warmup} leaves nothing of an epoch's {epoch} steps: choose fewer"
        )
    return min(args.steps, epoch - args.warmup)


if __name__ == "__main__":
    raise SystemExit(main())
