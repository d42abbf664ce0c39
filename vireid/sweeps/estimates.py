"""How long runs would take that nobody has trained yet: a few steps of each, and no more."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean, median

from yacs.config import CfgNode

from vireid.data.build import build_splits
from vireid.data.dataset import batches, end_processes
from vireid.data.datasets.files import fingerprint
from vireid.engine.build import build_trainer
from vireid.engine.distributed import World
from vireid.engine.precision import resolve_device, use_threads
from vireid.models.build import build_model
from vireid.runs.run_dir import seed_everything
from vireid.runs.teacher import load_teacher
from vireid.sweeps.planner import Run, State


def work_left(run: Run, state: State) -> float:
    """Share of a run's epochs that is still to be trained."""
    if state is State.FINISHED:
        return 0.0
    done = len(_epoch_seconds(run.folder)) if state is State.INTERRUPTED else 0
    return max(0.0, 1 - done / run.cfg.SOLVER.EPOCHS)


def whole_seconds(runs: Iterable[Run]) -> dict[Run, float]:
    """Training time of a whole run, by those that have epochs in metrics.csv."""
    columns = {run: _epoch_seconds(run.folder) for run in runs}
    return {run: fmean(c) * run.cfg.SOLVER.EPOCHS for run, c in columns.items() if c}


def expected_seconds(runs: Sequence[Run], measured: Mapping[Run, float]) -> dict[Run, float]:
    """What each run takes from its start: as others of its cell did, else as all did on average.

    Args:
        measured: seconds of runs; empty makes the result empty.
    """
    if not measured:
        return {}
    of_cell = defaultdict(list)
    for run, seconds in measured.items():
        of_cell[run.cell.name].append(seconds)
    anywhere = fmean(fmean(members) for members in of_cell.values())
    return {
        run: fmean(of_cell[run.cell.name]) if run.cell.name in of_cell else anywhere for run in runs
    }


def _epoch_seconds(folder: Path) -> list[float]:
    """One number per whole epoch; none when there is no readable metrics.csv."""
    try:
        with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


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
    device = resolve_device(cfg.DEVICE)
    teacher = load_teacher(cfg, splits, fingerprint(splits), device=device)
    seed_everything(cfg.SEED)
    model, _ = build_model(cfg, len(splits.train_pids), load_weights=False)
    trainer = build_trainer(cfg, model, splits, device=device, world=World(), teacher=teacher)
    trainer.wrapped.train()
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
