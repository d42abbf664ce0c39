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

from vireid.cli.common import SHIPPED_HELP, device_override, parser, read_config, tool
from vireid.cli.sweep_progress import Progress, reason
from vireid.cli.sweep_results import write_results
from vireid.config.slurm import slurm_option
from vireid.config.sweep import Sweep, read_sweep
from vireid.engine.run import own_command
from vireid.engine.slurm_queue import QueueError
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
from vireid.engine.sweep_probe import probe_cells
from vireid.engine.sweep_slurm import FOLDER, jobs_in_queue, run_on_slurm, sbatch_options
from vireid.errors import CheckpointError, StoppedError, SweepError, UsageError

OVERRIDES_OF_ALL = "options of all runs, e.g. SOLVER.EPOCHS 60 OUTPUT_DIR runs/sweeps/short"


SBATCH = {
    "partition": ("NAME", "where the jobs go"),
    "time": ("TIME", "limit of one job, as sbatch takes it; a run that needs longer continues"),
    "gpus": ("N", "per job (1; with DEVICE cpu, 0)"),
    "cpus-per-task": ("N", "processors of a job"),
}


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
    slurm = _slurm_options(args, sweep)
    local = slurm is None
    places = slots_for(args.jobs, _gpus(runs), processors=os.cpu_count() or 1) if local else []
    progress = Progress(states, len(places))
    output = output_folder(sweep, overrides)
    print(f"{args.cfg}: {_size(sweep)} in {output}", flush=True)
    if args.measure:
        prepare_all(runs)
        progress.measured |= probe_cells(runs, progress.measured)
    if args.dry_run:
        print(progress.listing({} if local else _in_queue(runs)))
    print(progress.summary(), flush=True)
    if args.dry_run:
        return
    if slurm is None:
        outcomes = _train_here(sweep, states, places, progress, words)
    else:
        outcomes = _train_on_slurm(sweep, states, output / FOLDER, slurm, progress, words)
    if progress.finished:
        write_results(sweep, runs, progress.finished, output)
    failed = [outcome for outcome in outcomes if outcome.code]
    if failed:
        lines = [f"{o.run.name}: {reason(o)}{_remedy(o, states[o.run])}" for o in failed]
        count = f"{len(failed)} of {len(states)} runs failed, {len(progress.finished)} are finished"
        raise SweepError("\n  ".join([f"{count}; the same command tries them again:", *lines]))


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(__doc__, "python tools/sweep.py --cfg configs/sweeps/shared_depth.yaml --dry-run")
    line.add_argument(
        "--cfg", type=Path, required=True, metavar="FILE", help=f"sweep file; {SHIPPED_HELP}"
    )
    line.add_argument(
        "--dry-run", action="store_true", help="print the runs and the time they take, no more"
    )
    line.add_argument(
        "--measure",
        action="store_true",
        help="with --dry-run: train a few steps, here, of each cell of which no run says how long "
        "it takes",
    )
    line.add_argument(
        "--executor",
        choices=("local", "slurm"),
        default="local",
        help="where the runs are trained: by this machine, or as jobs of a Slurm cluster (local)",
    )
    line.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="runs at the same time (one per GPU; without a GPU, 1)",
    )
    _add_slurm_options(line)
    line.add_argument("--device", help="auto, cpu, cuda or cuda:N; short for DEVICE")
    line.add_argument("overrides", nargs="*", metavar="KEY VALUE", help=OVERRIDES_OF_ALL)
    args = line.parse_intermixed_args(words)
    if args.measure and not args.dry_run:
        line.error("--measure is of --dry-run")
    if args.executor == "slurm" and args.jobs:
        line.error("--jobs is of --executor local: Slurm decides how many jobs run")
    return args


def _add_slurm_options(line: argparse.ArgumentParser) -> None:
    group = line.add_argument_group("with --executor slurm", "these go before the file's SLURM")
    for name, (metavar, text) in SBATCH.items():
        group.add_argument(f"--{name}", metavar=metavar, help=text)
    group.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="any other option of sbatch by its long name, e.g. account=lab; may be repeated",
    )


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
            long, text = slurm_option(name, value if equals else True)
        except ValueError as error:
            raise UsageError(f"--sbatch {item}: {name} {error}") from None
        found[long] = text
    return found


def _in_queue(runs: Sequence[Run]) -> dict[Run, str]:
    """What Slurm says of the runs that have a job; nothing where there is no Slurm."""
    try:
        return {run: entry.state.lower() for run, entry in jobs_in_queue(runs).items()}
    except QueueError as error:
        print(f"without what is in the queue: {error}", file=sys.stderr)
        return {}


def _to_do(states: Mapping[Run, State]) -> list[Run]:
    """The runs that are not finished; their data are there."""
    todo = [run for run, state in states.items() if state is not State.FINISHED]
    prepare_all(todo)
    require_trials(todo)
    return todo


def _train_here(
    sweep: Sweep,
    states: Mapping[Run, State],
    places: Sequence[Mapping[str, str]],
    progress: Progress,
    words: Sequence[str],
) -> list[Outcome]:
    """The outcomes of the runs that were not finished."""
    jobs = [Job(run, train_command(sweep.base, run, states[run])) for run in _to_do(states)]
    with progress:
        outcomes, received = run_jobs(jobs, places, progress)
    if received:
        kept = "those that were at work have saved a checkpoint if they were past their start"
        raise _stopped(received, progress, len(states), f"{kept}; continue with", words)
    return outcomes


def _train_on_slurm(
    sweep: Sweep,
    states: Mapping[Run, State],
    folder: Path,
    options: Mapping[str, str],
    progress: Progress,
    words: Sequence[str],
) -> list[Outcome]:
    """The outcomes of the jobs of the runs that were not finished."""
    todo = _to_do(states)
    if not todo:
        return []
    jobs = [Job(run, train_command(sweep.base, run, State.NEW)) for run in todo]
    with progress:
        outcomes, left, received = run_on_slurm(
            jobs, folder, sbatch_options(options, todo), progress
        )
    if received:
        ends = f" (scancel {' '.join(left.values())} ends them)" if left else ""
        kept = f"{len(left)} jobs go on in the queue{ends}; wait for them with"
        raise _stopped(received, progress, len(states), kept, words)
    return outcomes


def _stopped(
    number: int, progress: Progress, total: int, what: str, words: Sequence[str]
) -> StoppedError:
    return StoppedError(
        f"{signal.Signals(number).name}: {len(progress.finished)} of {total} runs are finished, "
        f"{what}:\n  {shlex.join([*own_command(), *words])}",
        number,
    )


def _remedy(outcome: Outcome, state: State) -> str:
    """What to do about a run that the same command cannot mend."""
    if outcome.code == CheckpointError.exit_code and state is State.INTERRUPTED:
        return f"; to train it from its start, delete {outcome.run.folder}"
    return ""
