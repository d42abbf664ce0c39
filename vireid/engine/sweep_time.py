"""How long the runs of a sweep take, from the epochs that they have behind them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from vireid.engine.sweep import Run, State


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
