"""Trains a grid of configurations with several seeds, and tells what each choice is worth."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vireid.analysis.sweep_plot import draw_sweep
from vireid.analysis.sweep_stats import read_scores, tidy_csv
from vireid.analysis.sweep_table import as_csv, as_latex, as_markdown, tables
from vireid.cli.common import device_override, parser, read_config, tool
from vireid.cli.sweep_progress import Progress, reason
from vireid.config.sweep import Sweep, read_sweep
from vireid.engine.run import own_command
from vireid.engine.sweep import (
    Run,
    State,
    output_folder,
    plan_runs,
    prepare_all,
    require_trials,
    states_of,
    visible_gpus,
)
from vireid.engine.sweep_local import Job, Outcome, run_jobs, slots_for, train_command
from vireid.errors import CheckpointError, StoppedError, SweepError
from vireid.evaluation.output import replace_file

FIGURE = "sweep.png"
OVERRIDES_OF_ALL = "options of all runs, e.g. SOLVER.EPOCHS 60 OUTPUT_DIR runs/sweeps/short"


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/sweep.py --help``."""
    words = sys.argv[1:] if arguments is None else arguments
    args = _parse(words)
    overrides = args.overrides + device_override(args.device)
    sweep = read_sweep(args.cfg)
    runs = plan_runs(
        sweep, overrides, lambda words: read_config(sweep.base, words), environment=os.environ
    )
    require_trials(runs, unread=True)  # rendered sets may not be there yet
    states = dict(zip(runs, states_of(runs), strict=True))
    places = slots_for(args.jobs, _gpus(runs), processors=os.cpu_count() or 1)
    progress = Progress(states, len(places))
    output = output_folder(sweep, overrides)
    print(f"{args.cfg}: {_size(sweep)} in {output}")
    if args.dry_run:
        print("\n".join(f"  {state.value:<14} {run.name}" for run, state in states.items()))
    print(progress.summary(), flush=True)
    if args.dry_run:
        return
    outcomes, received = _train(sweep, states, places, progress)
    if received:
        raise _stopped(received, progress, len(states), words)
    if progress.finished:
        _write_results(sweep, progress.finished, output)
    failed = [outcome for outcome in outcomes if outcome.code]
    if failed:
        lines = [f"{o.run.name}: {reason(o)}{_remedy(o, states[o.run])}" for o in failed]
        count = f"{len(failed)} of {len(states)} runs failed, {len(progress.finished)} are finished"
        raise SweepError("\n  ".join([f"{count}; the same command tries them again:", *lines]))


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(__doc__, "python tools/sweep.py --cfg configs/sweeps/shared_depth.yaml --dry-run")
    line.add_argument("--cfg", type=Path, required=True, metavar="FILE", help="sweep file")
    line.add_argument(
        "--dry-run", action="store_true", help="print the runs and the time they take, no more"
    )
    line.add_argument(
        "--executor", choices=("local",), default="local", help="where the runs are trained (local)"
    )
    line.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="runs at the same time (one per GPU; without a GPU, 1)",
    )
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_OF_ALL)
    return line.parse_intermixed_args(words)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def _gpus(runs: Sequence[Run]) -> list[str]:
    return visible_gpus() if any(run.cfg.DEVICE in ("auto", "cuda") for run in runs) else []


def _size(sweep: Sweep) -> str:
    factors = {"cells": sweep.cells, "seeds": sweep.seeds, "splits": sweep.trials}
    counts = {name: len(members) for name, members in factors.items() if members}
    product = " × ".join(f"{count} {name}" for name, count in counts.items())
    return f"{product} = {math.prod(counts.values())} runs"


def _train(
    sweep: Sweep,
    states: Mapping[Run, State],
    places: Sequence[Mapping[str, str]],
    progress: Progress,
) -> tuple[list[Outcome], int]:
    """The outcomes of the runs that were not finished, and the signal that came, if any."""
    todo = [run for run, state in states.items() if state is not State.FINISHED]
    prepare_all(todo)
    require_trials(todo)
    jobs = [Job(run, train_command(sweep.base, run, states[run])) for run in todo]
    with progress:
        return run_jobs(jobs, places, progress)


def _stopped(number: int, progress: Progress, total: int, words: Sequence[str]) -> StoppedError:
    return StoppedError(
        f"{signal.Signals(number).name}: {len(progress.finished)} of {total} runs are finished, "
        "those that were at work have saved a checkpoint if they were past their start; continue "
        f"with:\n  {shlex.join([*own_command(), *words])}",
        number,
    )


def _remedy(outcome: Outcome, state: State) -> str:
    """What to do about a run that the same command cannot mend."""
    if outcome.code == CheckpointError.exit_code and state is State.INTERRUPTED:
        return f"; to train it from its start, delete {outcome.run.folder}"
    return ""


def _write_results(sweep: Sweep, finished: Sequence[Run], output: Path) -> None:
    """Tables and picture into the sweep's folder; the tables are printed, too."""
    values = read_scores(finished)
    absolute, relative = tables(sweep, values)
    both = [table for table in (absolute, relative) if table.rows]
    texts = {
        "sweep.csv": tidy_csv(sweep, values),
        "table.md": "\n\n".join(map(as_markdown, both)) + "\n",
        "table.csv": as_csv(absolute),
        "differences.csv": as_csv(relative),
        "table.tex": "\n\n".join(map(as_latex, both)) + "\n",
    }
    for name, text in texts.items():
        replace_file(output / name, lambda file, text=text: file.write(text.encode()))
    print("\n" + texts["table.md"])
    drawn = draw_sweep(sweep, values, output / FIGURE)
    names = [*texts, FIGURE] if drawn else [*texts]
    print(f"in {output}: {', '.join(names)}")
    if not drawn:
        print(f"no {FIGURE}: the grid has {len(sweep.axes)} entries, and a picture shows two")
