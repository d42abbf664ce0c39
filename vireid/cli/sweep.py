"""Trains a grid of configurations with several seeds, and writes tables and a figure."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vireid.cli.arguments import SHIPPED_HELP, add_options, at_least, parser, tool
from vireid.errors import CheckpointError, StoppedError, SweepError, UsageError
from vireid.figures.style import require_figure
from vireid.runs.options import read_config
from vireid.sweeps.costs import cell_costs
from vireid.sweeps.local import slots_for, train_here, visible_gpus
from vireid.sweeps.planner import (
    RunState,
    SweepRun,
    listing,
    output_folder,
    plan_runs,
    prepare_all,
    require_trials,
    states_of,
    summary,
    train_command,
)
from vireid.sweeps.plots import draw_sweep
from vireid.sweeps.precision import common_precision
from vireid.sweeps.progress import SweepProgress
from vireid.sweeps.slurm import FOLDER, GPU_OPTIONS, jobs_in_queue, train_on_slurm, with_gpu
from vireid.sweeps.spec import SWEEP_FILE, Sweep, read_sweep, sbatch_option
from vireid.sweeps.tables import read_scores, sweep_tables, tidy_csv
from vireid.utils.commands import from_here, own_command
from vireid.utils.io import write_text

FIGURE = "sweep.png"
SBATCH = {
    "partition": ("NAME", "partition of the jobs"),
    "time": ("TIME", "time limit of a job, as in sbatch; a longer run continues in a new job"),
    "gpus": ("N", "GPUs per job (1; with DEVICE cpu, 0)"),
    "cpus-per-task": ("N", "CPU cores per job"),
}


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python tools/sweep.py --help``."""
    words = sys.argv[1:] if arguments is None else arguments
    args = _parse(words)
    sweep = read_sweep(args.cfg)
    if args.figure:
        require_figure(args.figure)
    runs = plan_runs(
        sweep, args.overrides, lambda words: read_config(sweep.base, words), environment=os.environ
    )
    require_trials(runs, may_lack_data=True)  # rendered sets may not be there yet
    slurm = _slurm_options(args, sweep)
    states, output = states_of(runs), output_folder(sweep, args.overrides)
    print(f"{args.cfg}: {_size(sweep)} in {output}", flush=True)
    if args.dry_run:
        print(listing(states, {} if slurm is None else _queue_states(runs)))
    print(summary(states), flush=True)
    if args.dry_run:
        return
    todo = [run for run, state in states.items() if state is not RunState.FINISHED]
    prepare_all(todo)
    require_trials(todo)
    _keep_file(sweep, output)
    progress = SweepProgress(states)
    received, what = 0, ""
    if todo and slurm is None:
        received, what = _train_here(sweep, runs, todo, progress, args.jobs)
    elif todo and slurm is not None:
        received, what = _train_on_slurm(sweep, runs, todo, progress, output / FOLDER, slurm)
    if received:
        done = f"{len(progress.finished)} of {len(states)} runs are finished"
        command = from_here([*own_command(), *words])
        stopped = f"{signal.Signals(received).name}: {done}, {what}:\n  {command}"
        raise StoppedError(stopped, received)
    if progress.finished:
        write_results(sweep, runs, progress.finished, output, figure=args.figure)
    _raise_failures(progress)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(__doc__, "python tools/sweep.py --cfg configs/sweeps/shared_depth.yaml --dry-run")
    about = f"sweep file; {SHIPPED_HELP}"
    line.add_argument("--cfg", type=Path, required=True, metavar="FILE", help=about)
    about = "only print the runs and their state"
    line.add_argument("--dry-run", action="store_true", help=about)
    about = "train on this machine, or as jobs of a Slurm cluster (local)"
    line.add_argument("--executor", choices=("local", "slurm"), default="local", help=about)
    about = "runs at the same time (one per GPU; 1 without a GPU)"
    line.add_argument("--jobs", type=at_least(1), metavar="N", help=about)
    about = "also draw the figure to this file: .png, .pdf or .svg"
    line.add_argument("--figure", type=Path, metavar="FILE", help=about)
    about = "these override the SLURM section of the sweep file"
    group = line.add_argument_group("with --executor slurm", about)
    for name, (metavar, about) in SBATCH.items():
        group.add_argument(f"--{name}", metavar=metavar, help=about)
    about = "any other option of sbatch by its long name, e.g. account=lab; can be repeated"
    item: Mapping[str, Any] = {"action": "append", "default": [], "metavar": "NAME[=VALUE]"}
    group.add_argument("--sbatch", help=about, **item)
    add_options(line)
    args = line.parse(words)
    if args.executor == "slurm" and args.jobs:
        line.error("--jobs belongs to --executor local: Slurm decides how many jobs run")
    return args


def _size(sweep: Sweep) -> str:
    factors = {"cells": sweep.cells, "seeds": sweep.seeds, "splits": sweep.trials}
    counts = {name: len(members) for name, members in factors.items() if members}
    product = " × ".join(f"{count} {name}" for name, count in counts.items())
    return f"{product} = {math.prod(counts.values())} runs"


def _slurm_options(args: argparse.Namespace, sweep: Sweep) -> dict[str, str] | None:
    """Options of sbatch, the command line's before the file's; None: the runs are trained here."""
    named = {name: getattr(args, name.replace("-", "_")) for name in SBATCH}
    given = [f"{name}={value}" for name, value in named.items() if value is not None] + args.sbatch
    if args.executor != "slurm":
        if given:
            raise UsageError(f"{given[0]} is an option of sbatch: add --executor slurm")
        return None
    found = dict(sweep.slurm)
    for item in given:
        name, equals, value = item.partition("=")
        try:
            long, text = sbatch_option(name, value if equals else True)
        except ValueError as error:
            raise UsageError(f"--sbatch {item}: {name} {error}") from None
        found[long] = text
    return found


def _queue_states(runs: Sequence[SweepRun]) -> dict[SweepRun, str]:
    """Slurm's state of the runs that have a job; nothing where there is no Slurm."""
    try:
        return {run: job.state.lower() for run, job in jobs_in_queue(runs).items()}
    except UsageError as error:
        print(f"without what is in the queue: {error}", file=sys.stderr)
        return {}


def _train_here(
    sweep: Sweep,
    runs: Sequence[SweepRun],
    todo: Sequence[SweepRun],
    progress: SweepProgress,
    jobs: int | None,
) -> tuple[int, str]:
    """The signal that ended the training (0: none), and what to say about it."""
    uses_gpus = any(run.cfg.DEVICE in ("auto", "cuda") for run in todo)
    slots = slots_for(jobs, visible_gpus() if uses_gpus else [], processors=os.cpu_count() or 1)
    threads = int(slots[0].get("OMP_NUM_THREADS", 0))
    precision, lines = common_precision(runs, threads=threads)
    for line in lines:
        progress.say(f"{line}, for all runs")
    states = progress.states
    commands = {run: train_command(sweep.base, run, states[run], precision) for run in todo}
    kept = "those at work have saved a checkpoint if they were past their start; continue with"
    return train_here(commands, slots, progress), kept


def _train_on_slurm(
    sweep: Sweep,
    runs: Sequence[SweepRun],
    todo: Sequence[SweepRun],
    progress: SweepProgress,
    folder: Path,
    options: Mapping[str, str],
) -> tuple[int, str]:
    """The signal that ended the waiting (0: none), and what to say about it."""
    wanted = with_gpu(options, todo)
    on_gpus = any(name in wanted for name in GPU_OPTIONS)
    precision = [] if on_gpus else common_precision(runs, elsewhere=True)[0]
    # The job itself finds out whether it starts or continues.
    commands = {run: train_command(sweep.base, run, RunState.NEW, precision) for run in todo}
    left, received = train_on_slurm(commands, folder, wanted, progress)
    ends = f" (scancel {' '.join(left)} ends them)" if left else ""
    return received, f"{len(left)} jobs go on in the queue{ends}; wait for them with"


def write_results(
    sweep: Sweep,
    runs: Sequence[SweepRun],
    finished: Sequence[SweepRun],
    output: Path,
    *,
    figure: Path | None = None,
) -> None:
    """Writes tables and picture into the sweep's folder, and prints the tables.

    Args:
        runs: all of them; their configurations say what the models cost.
        finished: those with results.
        figure: a further file for the picture.
    """
    scores, costs = read_scores(finished), cell_costs(runs)
    absolute, relative = sweep_tables(sweep, scores, costs)
    both = [table for table in (absolute, relative) if len(table.labels)]
    texts = {
        "sweep.csv": tidy_csv(sweep, scores, costs),
        "table.md": "\n\n".join(table.as_markdown() for table in both) + "\n",
        "table.csv": absolute.as_csv(),
        "differences.csv": relative.as_csv(),
        "table.tex": "\n\n".join(table.as_latex() for table in both) + "\n",
    }
    for name, text in texts.items():
        write_text(output / name, text)
    print("\n" + texts["table.md"])
    drawn = draw_sweep(sweep, scores, costs, output / FIGURE)
    if drawn and figure:
        draw_sweep(sweep, scores, costs, figure)
        print(f"wrote {figure}")
    print(f"in {output}: {', '.join([*texts, *([FIGURE] if drawn else [])])}")
    if not drawn:
        print(f"no {FIGURE}: the grid has {len(sweep.axes)} entries, and a picture shows two")


def _keep_file(sweep: Sweep, output: Path) -> None:
    """Copies the sweep file into the sweep's folder: reports need the names of its cells."""
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / SWEEP_FILE, sweep.path.read_text(encoding="utf-8"))


def _raise_failures(progress: SweepProgress) -> None:
    """Raises :class:`SweepError` with a line for each run that failed."""
    lines = []
    for outcome in progress.outcomes:
        if outcome.failure:
            lines.append(f"{outcome.run.name}: {outcome.failure}")
            interrupted = progress.states[outcome.run] is RunState.INTERRUPTED
            if outcome.code == CheckpointError.exit_code and interrupted:
                # the same command would meet the same checkpoint
                lines[-1] += f"; to train it from its start, delete {outcome.run.folder}"
    if lines:
        done = f"{len(progress.finished)} are finished"
        what = f"{len(lines)} of {len(progress.states)} runs failed, {done}"
        raise SweepError("\n  ".join([f"{what}; the same command tries them again:", *lines]))
