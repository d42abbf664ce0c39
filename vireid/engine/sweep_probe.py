"""How long runs would take that nobody has trained yet: a few steps of each, and no more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from statistics import median

from yacs.config import CfgNode

from vireid.data.build import build_splits
from vireid.data.dataset import batches, end_processes
from vireid.data.layout import fingerprint
from vireid.engine.build import build_trainer
from vireid.engine.device import resolve_device, use_threads
from vireid.engine.distributed import World
from vireid.engine.run import seed_everything
from vireid.engine.sweep import Run
from vireid.engine.teacher import load_teacher
from vireid.models.build import build_model

WARM_UP, STEPS = 2, 5  # the first steps fill caches and choose kernels


def probe_cells(runs: Sequence[Run], measured: Mapping[Run, float]) -> dict[Run, float]:
    """Seconds of one run of each cell that has no measured one.

    Raises:
        VireidError: its data, or what else a run of it would miss.
    """
    known = {run.cell.name for run in measured}
    first = {run.cell.name: run for run in reversed(runs)}
    return {run: training_seconds(run.cfg) for name, run in first.items() if name not in known}


def training_seconds(cfg: CfgNode) -> float:
    """Median time of a step, waiting for its images included, times the steps of a whole run.

    Scoring and the start are not in it. Nothing is written, and ``MODEL.PRETRAINED`` is not read.
    """
    use_threads(cfg.THREADS)
    splits = build_splits(cfg)
    teacher = load_teacher(cfg, splits, fingerprint(splits))
    seed_everything(cfg.SEED)
    model, _ = build_model(cfg, len(splits.train_pids), load_weights=False)
    device = resolve_device(cfg.DEVICE)
    trainer = build_trainer(cfg, model, splits, device=device, world=World(), teacher=teacher)
    trainer.network.train()
    times, asked = [], time.perf_counter()
    source = batches(trainer.loader)
    try:
        for batch in islice(source, WARM_UP + STEPS):
            trainer.step(batch)  # its numbers are read, so that a GPU is waited for
            times.append(time.perf_counter() - asked)
            asked = time.perf_counter()
    finally:
        source.close()
        end_processes(trainer.loader._iterator)
    step = median(times[WARM_UP:] or times)
    return step * len(trainer.sampler) * cfg.SOLVER.EPOCHS
