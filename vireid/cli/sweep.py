"""Trains a grid of configurations with several seeds, and tells what each choice is worth."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from vireid.cli.arguments import SHIPPED_HELP, device_override, parser, tool
from vireid.errors import CheckpointError, StoppedError, SweepError, UsageError
from vireid.runs.options import read_config
from vireid.runs.run_dir import own_command
from vireid.sweeps.costs import costs_of
from vireid.sweeps.estimates import expected_seconds, probe_cells, whole_seconds, work_left
from vireid.sweeps.local import OUTPUT, Job, Outcome, run_jobs, slots_for, train_command
from vireid.sweeps.planner import (
    Run,
    State,
    output_folder,
    plan_runs,
    prepare_all,
    require_trials,
    states_of,
    visible_gpus,
)
from vireid.sweeps.plots import draw_sweep
from vireid.sweeps.slurm import FOLDER, jobs_in_queue, run_on_slurm, sbatch_options
from vireid.sweeps.slurm_queue import QueueError
from vireid.sweeps.spec import Sweep, read_sweep, slurm_option
from vireid.sweeps.statistics import read_scores, tidy_csv
from vireid.sweeps.tables import as_csv, as_latex, as_markdown, tables
from vireid.utils.io import replace_file

USUAL = ("None", "Priority", "Resources", "BeginTime")  # why a job waits that will not for ever


class Progress:
    """A line per event, and a bar over the runs where there is a terminal.

    Args:
        states: what every run's folder holds.
        places: runs that are trained at the same time; 0: nobody knows yet.
    """

    def __init__(self, states: Mapping[Run, State], places: int) -> None:
        self._states, self._places = states, places
        self._left = {run: work_left(run, state) for run, state in states.items()}
        self._finished = [run for run, state in states.items() if state is State.FINISHED]
        begun = [run for run, left in self._left.items() if left < 1]
        self.measured = whole_seconds(begun)  # seconds of whole runs
        self._walls: dict[Run, float] = {}  # seconds of those trained here from start to end
        self._working: list[Run] = []
        self._begun: set[Run] = set()  # here, once or again
        self._reasons: set[str] = set()
        self._failed = 0
        self._bar: tqdm | None = None

    def __enter__(self) -> Progress:
        total, done = len(self._states), len(self._finished)
        self._bar = tqdm(total=total, initial=done, desc="runs", unit="run", disable=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def finished(self) -> list[Run]:
        """Those that have results, in the order of the sweep."""
        return [run for run in self._states if run in self._finished]

    def summary(self) -> str:
        """How many runs are in which state, and the time that is left."""
        counts = Counter(self._states.values())
        if set(counts) == {State.FINISHED}:
            return "all runs are finished: nothing to train"
        parts = [f"{counts[state]} {state.value}" for state in State if counts[state]]
        return f"{', '.join(parts)}; {self._time_left()}"

    def listing(self, in_queue: Mapping[Run, str]) -> str:
        """One line per run: what its folder holds, and the time that it will take.

        Args:
            in_queue: what Slurm says of runs that have a job.
        """
        expected = expected_seconds([*self._states], self.measured)
        width = max(len(run.name) for run in self._states)
        lines = []
        for run, state in self._states.items():
            line = f"  {in_queue.get(run, state.value):<14} {run.name:<{width}}"
            if expected and state is not State.FINISHED:
                line += f"  about {duration(self._left[run] * expected[run])}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    def started(self, run: Run) -> None:
        self._working.append(run)
        before = self._states[run] is State.INTERRUPTED or run in self._begun
        how = "continues" if before else "starts"
        self._begun.add(run)
        self._say(f"{run.name} {how}")

    def ended(self, outcome: Outcome) -> None:
        run, took = outcome.run, duration(outcome.seconds)
        if run in self._working:
            self._working.remove(run)
        if outcome.stopped:
            self._say(f"{run.name} stopped after {took}")
            return
        self._left[run] = 0.0
        if outcome.code:
            self._failed += 1
            self._say(f"{run.name} failed after {took}: {reason(outcome)}")
        else:
            self._finished.append(run)
            if self._states[run] is not State.INTERRUPTED and not outcome.partial:
                self._walls[run] = outcome.seconds
            else:
                self.measured |= whole_seconds([run])
            self._say(f"{run.name} finished in {took}; {self._counts()}; {self._time_left()}")
        if self._bar is not None:
            self._bar.update()

    def found(self, job_ids: Mapping[Run, str], *, submitted: bool) -> None:
        what = "submitted" if submitted else "in the queue since an earlier call"
        for run, job_id in job_ids.items():
            self._say(f"{run.name} {what}: job {job_id}")

    def queued(self, running: Sequence[Run], reasons: Mapping[str, int]) -> None:
        """What the queue looks like: some run, others wait for a reason."""
        self._places = len(running)
        self._working = list(running)
        waiting = [f"{n} wait ({reason})" for reason, n in reasons.items()]
        for reason in set(reasons) - self._reasons - {*USUAL}:
            self._reasons.add(reason)
            self._say(f"{reasons[reason]} jobs wait, says Slurm: {reason}")
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join([f"{len(running)} at work", *waiting]))

    def warned(self, line: str) -> None:
        self._say(line)

    def _counts(self) -> str:
        parts = [f"{len(self._finished)} of {len(self._states)} finished"]
        parts += [f"{self._failed} failed"] if self._failed else []
        parts += [f"{len(self._working)} at work"] if self._working else []
        return ", ".join(parts)

    def _time_left(self) -> str:
        for run in self._working:  # what they have behind them by now
            self._left[run] = work_left(run, State.INTERRUPTED)
        if not any(self._left.values()) and not self._working:
            return "time left: none"
        lately = {
            run.cell.name for run in self._walls
        }  # those say more: of now, and with the scoring
        before = {run: took for run, took in self.measured.items() if run.cell.name not in lately}
        expected = expected_seconds([*self._states], before | self._walls)
        if not expected:
            return "time left: unknown until a run is finished"
        seconds = sum(share * expected[run] for run, share in self._left.items())
        if not self._places and seconds:
            return f"about {duration(seconds)} of training left, if one run follows another"
        return f"time left: about {duration(seconds / max(1, self._places))}"

    def _say(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """``3 h 05 min``, ``4 min 10 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def reason(outcome: Outcome) -> str:
    """Why a run failed, and where all that it printed is."""
    code, ending = outcome.code, outcome.ending
    if not ending:
        ending = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
    return f"{ending}, {outcome.message} (see {outcome.run.folder / OUTPUT})"


FIGURE = "sweep.png"


def write_results(sweep: Sweep, runs: Sequence[Run], finished: Sequence[Run], output: Path) -> None:
    """Tables and picture into the sweep's folder; the tables are printed, too.

    Args:
        runs: all of them, which tell what the networks cost.
        finished: those that have results.
    """
    values, costs = read_scores(finished), costs_of(runs)
    absolute, relative = tables(sweep, values, costs)
    both = [table for table in (absolute, relative) if table.rows]
    texts = {
        "sweep.csv": tidy_csv(sweep, values, costs),
        "table.md": "\n\n".join(map(as_markdown, both)) + "\n",
        "table.csv": as_csv(absolute),
        "differences.csv": as_csv(relative),
        "table.tex": "\n\n".join(map(as_latex, both)) + "\n",
    }
    for name, text in texts.items():
        replace_file(output / name, lambda file, text=text: file.write(text.encode()))
    print("\n" + texts["table.md"])
    drawn = draw_sweep(sweep, values, output / FIGURE, costs)
    names = [*texts, FIGURE] if drawn else [*texts]
    print(f"in {output}: {', '.join(names)}")
    if not drawn:
        print(f"no {FIGURE}: the grid has {len(sweep.axes)} entries, and a picture shows two")


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
