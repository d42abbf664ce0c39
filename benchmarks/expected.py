"""Trains what the key EXPECTED of config files describes, and compares the scores.

    python benchmarks/expected.py --list
    python benchmarks/expected.py --only demo --out runs/expected
    python benchmarks/expected.py --share 0.34 --seed 7 --out runs/expected \
        [--roadscene DIR] [--weights FILE]

The same command continues a check that was interrupted: finished runs in --out are kept. Entries
whose data or weights are not given are named and left out. The table is also written to
--out/expected.md. Exit code 1: a score is further from the printed one than its tolerance.

    python benchmarks/expected.py --print demo --cfg configs/demo.yaml --runs runs/demo

prints the entry of finished runs, with means, standard deviations and tolerances.

On the same kind of processor, equal seeds give equal scores. Between kinds of processors the scores
of one seed differ as those of two seeds do; therefore means over seeds are compared. The tolerance
of a mean over n seeds with standard deviation sd is t · sd · √(2/n), with t of the t distribution:
95 % of the means over n other seeds are within it. --seeds trains other seeds than the entry's.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shlex
import signal
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine, machine_facts
from yacs.config import CfgNode

from vireid.cli.arguments import LIST, add_options, at_least, parser, seed_number, tool
from vireid.cli.sources import finished_runs
from vireid.config.expected import (
    EXPECTED_KEY,
    RENDERED,
    ROADSCENE,
    WEIGHTS,
    ExpectedResult,
    ExpectedScore,
    read_expected,
)
from vireid.config.lists import is_path
from vireid.config.load import absolute_values, find_config, flatten, load_config, shipped_folder
from vireid.config.option import Effect
from vireid.config.schema import OPTIONS
from vireid.config.values import override_text
from vireid.errors import DataError, StoppedError, SweepError, UsageError, VireidError
from vireid.evaluation.results import read_results
from vireid.reports.run_files import RunFiles, read_run
from vireid.reports.seeds import mean_tolerance
from vireid.runs.options import read_config
from vireid.runs.run_scores import CONFIG, RESULTS
from vireid.sweeps.local import slots_for, train_here
from vireid.sweeps.planner import SweepRun, prepare_all, states_of, summary, train_command
from vireid.sweeps.progress import SweepProgress
from vireid.sweeps.spec import GridCell, read_sweep
from vireid.utils.commands import from_here, own_command
from vireid.utils.io import write_text
from vireid.utils.tables import markdown

TABLE = "expected.md"  # in --out
VERDICT, OK, OUTSIDE, UNFINISHED = "verdict", "ok", "NOT", "not finished"
NOTHING = "–"
METRICS = ("rank1", "mAP")  # of entries that --print writes
PINNED = {"PRECISION": "auto", "THREADS": 0}  # values that depend on the machine


class UnexpectedScoreError(VireidError):
    """Scores are further from the printed ones than their tolerances."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Check:
    """An entry, and how it is trained again.

    Args:
        base: the config file that all its runs are trained from.
        runs: one per seed.
    """

    result: ExpectedResult
    base: Path
    runs: tuple[SweepRun, ...]


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python benchmarks/expected.py --help``."""
    words = sys.argv[1:] if arguments is None else arguments
    args = _parse(words)
    if args.print:
        print(entry_text(args.print, args.cfg[0], args.cell, finished_runs(args.runs)))
        return
    results = find_results(args.cfg or [shipped_folder()], args.only)
    if args.list:
        print(listing(results))
        return
    chosen, skipped = choose(results, _given(args), share=args.share, seed=args.seed)
    checks = [plan(one, args) for one in chosen]
    states = states_of([run for check in checks for run in check.runs])
    print(describe_machine(machine_facts()))
    skipped = [f"skipped: {line}" for line in skipped]
    what = f"checks {', '.join(one.name for one in chosen)}: {summary(states)}"
    print("\n".join([what, *skipped]), flush=True)
    progress = SweepProgress(states)
    received = _train(checks, progress, args.jobs)
    table, outside = compare(checks, progress.finished)
    write_text(args.out / TABLE, "\n\n".join([table, *skipped]) + "\n")
    print(f"\n{table}\n\nin {args.out}: {TABLE}")
    _raise_problems(progress, received, outside, words)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = parser(__doc__, "python benchmarks/expected.py --share 0.34 --seed 7")
    about = "config and sweep files, or folders of them (those of the project)"
    line.add_argument("--cfg", **LIST, item=Path, metavar="FILE", help=about)
    about = "folder of the runs and of the table (runs/expected)"
    line.add_argument("--out", type=Path, default=Path("runs/expected"), metavar="DIR", help=about)
    line.add_argument("--list", action="store_true", help="print what can be checked, and its time")
    line.add_argument("--only", **LIST, metavar="NAME", help="check these entries")
    about = "check a random choice of at least this share of the entries, from 0 to 1 (1)"
    line.add_argument("--share", type=_share, default=1.0, metavar="SHARE", help=about)
    line.add_argument("--seed", type=seed_number, default=0, metavar="N", help="of the choice (0)")
    about = "train these seeds instead of the entries' own"
    line.add_argument("--seeds", **LIST, item=seed_number, metavar="N", help=about)
    about = "folder of the real visible-thermal images, in RegDB's layout"
    line.add_argument("--roadscene", type=Path, metavar="DIR", help=about)
    about = "file of pretrained weights"
    line.add_argument("--weights", type=Path, metavar="FILE", help=about)
    line.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="runs at once (1)")
    group = line.add_argument_group("to write an entry")
    about = "print an entry of this name for finished runs (--runs) of a file (--cfg)"
    group.add_argument("--print", metavar="NAME", help=about)
    group.add_argument("--runs", **LIST, item=Path, metavar="RUN_DIR", help="one per seed")
    group.add_argument("--cell", default="", metavar="LABEL", help="of a sweep file")
    add_options(line)
    args = line.parse(words)
    if args.print and (len(args.cfg) != 1 or not args.runs):
        line.error("--print takes one file (--cfg) and its finished runs (--runs)")
    if len(args.overrides) % 2:
        raise UsageError(f"overrides must be KEY VALUE pairs, {args.overrides[-1]!r} has no value")
    return args


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, got {text!r}")


def find_results(places: Sequence[Path], names: Sequence[str]) -> list[ExpectedResult]:
    """The entries in files, and in the YAML files below folders.

    Args:
        names: of those that are wanted; empty: all.
    Raises:
        UsageError: a file or an entry cannot be used, or a name is unknown or given twice.
    """
    found: dict[str, ExpectedResult] = {}
    for place in places:
        place = find_config(place)
        for file in sorted(place.rglob("*.yaml")) if place.is_dir() else [place]:
            for one in read_expected(file):
                if one.name in found:
                    other = found[one.name].file
                    raise UsageError(f"{file} and {other} both have {EXPECTED_KEY} {one.name}")
                found[one.name] = one
                _require_derived(one)
    for name in names:
        if name not in found:
            raise UsageError(f"--only {name}: unknown; there are {', '.join(found) or 'none'}")
    return [one for name, one in found.items() if not names or name in names]


def _require_derived(result: ExpectedResult) -> None:
    """A tolerance that has a standard deviation beside it follows from it."""
    count = len(result.seeds)
    for (protocol, metric), score in result.scores.items():
        if score.sd is None:
            continue
        if count < 2:
            raise UsageError(f"{result.file}: {result.name}: one seed has no sd: leave it out")
        derived = mean_tolerance(score.sd, count, count)
        if abs(score.tolerance - derived) > 0.02 + 0.01 * derived:
            raise UsageError(
                f"{result.file}: {EXPECTED_KEY} {result.name}: {protocol} {metric}: an sd of "
                f"{score.sd:g} over {count} seeds gives the tolerance {derived:.2f}, got "
                f"{score.tolerance:g}"
            )


def listing(results: Sequence[ExpectedResult]) -> str:
    """Markdown: what can be checked, what it needs, and how long it takes."""
    if not results:
        return f"no file has {EXPECTED_KEY}"
    rows = [
        {
            "name": one.name,
            "file": f"{_shown(one.file)} {one.cell}".strip(),
            "seeds": str(len(one.seeds)),
            "needs": ", ".join(one.needs),
            "core-minutes": f"{one.minutes:g}",
            "commit": one.commit,
            "options": " ".join(f"{key} {shlex.quote(v)}" for key, v in one.options.items()),
        }
        for one in results
    ]
    minutes = sum(one.minutes for one in results)
    return f"{markdown(rows)}\n\n{minutes:g} minutes on one core in all"


def _shown(file: Path) -> str:
    """A shipped file as people name it."""
    folder = shipped_folder()
    inside = file.absolute().is_relative_to(folder)
    return str(Path(folder.name) / file.absolute().relative_to(folder)) if inside else str(file)


def _given(args: argparse.Namespace) -> dict[str, Path | None]:
    """Where what entries need is; None: not given."""
    for name, path in (("--roadscene", args.roadscene), ("--weights", args.weights)):
        if path is not None and not path.exists():
            raise UsageError(f"{name} {path} does not exist")
    return {RENDERED: Path(), ROADSCENE: args.roadscene, WEIGHTS: args.weights}


def choose(
    results: Sequence[ExpectedResult],
    given: Mapping[str, Path | None],
    *,
    share: float,
    seed: int,
) -> tuple[list[ExpectedResult], list[str]]:
    """The entries to check, and a line for each that lacks what it needs.

    Args:
        share: of all entries that are checked at least, chosen at random; 1: all that can be.
        seed: of the choice.
    Raises:
        UsageError: none can be checked.
    """
    lacking = {
        one.name: [f"--{need}" for need in one.needs if given[need] is None] for one in results
    }
    skipped = [f"{name} needs {' and '.join(what)}" for name, what in lacking.items() if what]
    order = random.Random(seed).sample(list(results), len(results))
    able = [one for one in order if not lacking[one.name]][: math.ceil(share * len(results))]
    if not able:
        raise UsageError("nothing to check: " + ("; ".join(skipped) or f"no {EXPECTED_KEY}"))
    return [one for one in results if one in able], skipped


def plan(result: ExpectedResult, args: argparse.Namespace) -> Check:
    """The runs of an entry, one per seed.

    Raises:
        UsageError: an option cannot be used, or leaves to the machine how it computes.
    """
    base, options = _recipe(result.file, result.cell)
    options |= result.options
    # no VIREID_DATA: rendered sets have their own folders
    options["DATA.ROOT"] = str(args.roadscene) if ROADSCENE in result.needs else ""
    if WEIGHTS in result.needs:
        options["MODEL.PRETRAINED"] = str(args.weights)
    options |= zip(args.overrides[::2], args.overrides[1::2], strict=True)
    runs = []
    for seed in args.seeds or result.seeds:
        own = {"SEED": str(seed), "OUTPUT_DIR": str(args.out / result.name / f"seed{seed}")}
        words = tuple(word for pair in (options | own).items() for word in pair)
        cfg = read_config(base, words)
        _require_pinned(result, cfg)
        runs.append(SweepRun(GridCell(result.name, (), {}), seed, None, words, cfg))
    return Check(result, base, tuple(runs))


def _require_pinned(result: ExpectedResult, cfg: CfgNode) -> None:
    for key, value in PINNED.items():
        if flatten(cfg)[key] == value:
            raise UsageError(
                f"{result.file}: {EXPECTED_KEY} {result.name}: {key} {value} depends on the "
                "machine: name another value in OPTIONS"
            )


def _train(checks: Sequence[Check], progress: SweepProgress, jobs: int) -> int:
    """Trains what is not finished; returns the signal that ended it (0: none)."""
    finished = progress.finished
    commands = {
        run: train_command(check.base, run, progress.states[run])
        for check in checks
        for run in check.runs
        if run not in finished
    }
    prepare_all(list(commands))
    slots = slots_for(jobs, [], processors=os.cpu_count() or 1)
    return train_here(commands, slots, progress)


def _recipe(file: Path, cell: str) -> tuple[Path, dict[str, str]]:
    """The config file to train from, and what a cell of a sweep sets over it."""
    if not cell:
        return file, {}
    sweep = read_sweep(file)
    cells = {" | ".join(one.labels): one for one in sweep.cells}
    if cell not in cells:
        raise UsageError(f"{file}: there is no cell {cell!r}; there are {', '.join(cells)}")
    return sweep.base, {**sweep.fixed, **cells[cell].options}


def compare(checks: Sequence[Check], finished: Sequence[SweepRun]) -> tuple[str, list[str]]:
    """Markdown of printed and measured scores, and the names of scores that are outside."""
    rows = []
    for check in checks:
        done = [run.folder for run in check.runs if run in finished]
        for (protocol, metric), printed in check.result.scores.items():
            measured = [_score(folder, protocol, metric) for folder in done]
            rows.append(
                {
                    "name": check.result.name,
                    "seeds": ", ".join(str(run.seed) for run in check.runs),
                    "score": f"{protocol} {metric}",
                    **_verdict(printed, len(check.result.seeds), measured, len(check.runs)),
                }
            )
    outside = [f"{row['name']} {row['score']}" for row in rows if row[VERDICT] == OUTSIDE]
    return markdown(rows), outside


def _verdict(
    printed: ExpectedScore, before: int, measured: Sequence[float], now: int
) -> dict[str, str]:
    """The cells that compare a printed mean over ``before`` seeds with one over ``now`` seeds."""
    tolerance = printed.tolerance
    if printed.sd is not None and before != now:
        tolerance = mean_tolerance(printed.sd, before, now)
    mean = difference = NOTHING
    verdict = UNFINISHED
    if len(measured) == now:
        distance = round(statistics.fmean(measured) - printed.mean, 2)
        mean, difference = f"{statistics.fmean(measured):.2f}", f"{distance:+.2f}"
        verdict = OK if abs(distance) <= round(tolerance, 2) else OUTSIDE
    return {
        "printed": f"{printed.mean:.2f}",
        "measured": mean,
        "difference": difference,
        "tolerance": f"{tolerance:.2f}",
        VERDICT: verdict,
    }


def _score(run: Path, protocol: str, metric: str) -> float:
    """In per cent."""
    found = read_results(run / RESULTS)["protocols"]
    if protocol not in found or metric not in found[protocol]["mean"]:
        raise DataError(f"{run / RESULTS} has no {metric} of {protocol}, which is expected")
    return 100 * float(found[protocol]["mean"][metric])


def _raise_problems(
    progress: SweepProgress, received: int, outside: Sequence[str], words: Sequence[str]
) -> None:
    if received:
        done = f"{len(progress.finished)} of {len(progress.states)} runs are finished"
        command = from_here([*own_command(), *words])
        name = signal.Signals(received).name
        raise StoppedError(f"{name}: {done}; continue with\n  {command}", received)
    failures = [f"{one.run.name}: {one.failure}" for one in progress.outcomes if one.failure]
    if failures:
        raise SweepError("\n  ".join([f"{len(failures)} runs failed:", *failures]))
    if outside:
        raise UnexpectedScoreError(f"outside the tolerance: {', '.join(outside)}")


def entry_text(name: str, file: Path, cell: str, runs: Sequence[Path]) -> str:
    """The entry of finished runs of one recipe, as YAML.

    Args:
        file, cell: the config file, or a cell of a sweep file, that they were trained from.
    Raises:
        UsageError, DataError, CheckpointError: the runs differ in more than the seed, or cannot be
            read.
    """
    base, fixed = _recipe(find_config(file), cell)
    recipe = read_config(base, [word for pair in fixed.items() for word in pair])
    found = [(read_run(run), load_config(run / CONFIG, environment={})) for run in runs]
    found.sort(key=lambda one: one[1].SEED)
    cfg = found[0][1]
    commits = {str(run.environment.get("git.commit", "unknown"))[:7] for run, _ in found}
    seconds = sum(row.get("seconds", 0) for run, _ in found for row in run.history)
    entry = {
        "NAME": name,
        **({"CELL": cell} if cell else {}),
        "OPTIONS": _shared_options(found, recipe),
        "SEEDS": [cfg.SEED for _, cfg in found],
        "NEEDS": [RENDERED if cfg.DATA.SYNTHETIC.ENABLED else ROADSCENE]
        + [WEIGHTS] * is_path("MODEL.PRETRAINED", cfg.MODEL.PRETRAINED),
        "COMMIT": " ".join(sorted(commits)),
        "MINUTES": math.ceil(seconds / 60),
    }
    lines = [f"{key}: {override_text(value)}" for key, value in entry.items()]
    lines += ["SCORES:", *_score_lines([run for run, _ in found])]
    return "\n    ".join([f"{EXPECTED_KEY}:\n  - {lines[0]}", *lines[1:]])


def _shared_options(found: Sequence[tuple[RunFiles, CfgNode]], recipe: CfgNode) -> dict[str, Any]:
    """What all runs set over their recipe, but for what changes no result and what NEEDS says."""
    before = absolute_values(flatten(recipe))
    own = []
    for run, cfg in found:
        values = absolute_values(flatten(cfg)).items()
        own.append({k: v for k, v in values if OPTIONS[k].effect is not Effect.NOTHING})
        different = [key for key, value in own[-1].items() if value != own[0][key]]
        if others := [key for key in different if key != "SEED"]:
            other = found[0][0].folder
            raise UsageError(f"{run.folder} was trained with another {others[0]} than {other}")
    return {
        key: value
        for key, value in own[0].items()
        if (value != before[key] or key in PINNED)
        and key != "SEED"
        and not (key == "MODEL.PRETRAINED" and is_path(key, value))
    }


def _score_lines(runs: Sequence[RunFiles]) -> Iterator[str]:
    """The lines of the section SCORES: every protocol of the first run."""
    for protocol in runs[0].results[RESULTS]["protocols"]:
        yield f"  {protocol}:"
        for metric in METRICS:
            values = [_score(run.folder, protocol, metric) for run in runs]
            parts = [f"mean: {statistics.fmean(values):.2f}"]
            tolerance = math.nan  # of a single seed nothing says it
            if len(values) > 1:
                sd = statistics.stdev(values)
                tolerance = mean_tolerance(sd, len(values), len(values))
                parts.append(f"sd: {sd:.2f}")
            yield f"    {metric}: {{{', '.join([*parts, f'tolerance: {tolerance:.2f}'])}}}"


if __name__ == "__main__":
    raise SystemExit(main())
