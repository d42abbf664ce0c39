"""One number format for all runs of a sweep: scores of two formats do not compare."""

from __future__ import annotations

from collections.abc import Sequence

from vireid.config.load import load_config
from vireid.data.build import build_splits
from vireid.engine.measured_precision import training_precision
from vireid.engine.precision import resolve_device, use_threads
from vireid.sweeps.planner import SweepRun


def common_precision(
    runs: Sequence[SweepRun], *, elsewhere: bool = False, threads: int = 0
) -> tuple[list[str], list[str]]:
    """What ``PRECISION auto`` becomes in every run: ``KEY``, ``VALUE``, and lines about it.

    That of a run that has started already; else of the first run's model, measured here.

    Args:
        runs: all of the sweep.
        elsewhere: they train on processors of other machines, whose speed is unknown: float32.
        threads: of a run; 0: as many as this process has.
    """
    left = [run for run in runs if run.cfg.PRECISION == "auto"]
    for run in left:
        config = run.folder / "config.yaml"
        found = load_config(config, environment={}).PRECISION if config.is_file() else "auto"
        if found != "auto":
            return ["PRECISION", found], []
    if not left:
        return [], []
    if elsewhere:
        return ["PRECISION", "fp32"], ["PRECISION auto: fp32 for all runs"]
    cfg = left[0].cfg
    use_threads(cfg.THREADS or threads)
    return training_precision(cfg, build_splits(cfg), device=resolve_device(cfg.DEVICE))
