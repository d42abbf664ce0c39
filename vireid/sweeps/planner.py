"""The runs of a sweep, and what their folders already hold."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product
from pathlib import Path

from yacs.config import CfgNode

from vireid.config.load import absolute_paths, load_config
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.engine.checkpoint import LAST
from vireid.errors import ConfigError, DataError, UsageError
from vireid.runs.rendered_data import prepare_data
from vireid.runs.resume import changed_options
from vireid.runs.run_dir import RUN_MARKS
from vireid.runs.run_scores import CONFIG, RESULTS
from vireid.sweeps.spec import SECTION_OF, GridCell, Sweep
from vireid.utils.paths import expand

Resolve = Callable[[Sequence[str]], CfgNode]  # KEY VALUE … → a checked configuration


@dataclass(frozen=True, slots=True, eq=False)
class SweepRun:
    """One training of a sweep.

    Args:
        trial: DATA.TRIAL; None where the sweep does not vary it.
        overrides: KEY VALUE … over the sweep's base configuration.
        cfg: what they resolve to.
    """

    cell: GridCell
    seed: int
    trial: int | None
    overrides: tuple[str, ...]
    cfg: CfgNode

    @property
    def folder(self) -> Path:
        return Path(self.cfg.OUTPUT_DIR)

    @property
    def name(self) -> str:
        """Its folder within the sweep's."""
        return str(_subfolder(self.cell, self.seed, self.trial))


class RunState(Enum):
    """What a run's folder holds."""

    FINISHED = "finished"
    INTERRUPTED = "to continue"  # from its checkpoint
    UNSAVED = "to start again"  # it ended before its first checkpoint
    NEW = "to run"


def plan_runs(
    sweep: Sweep, overrides: Sequence[str], resolve: Resolve, *, environment: Mapping[str, str]
) -> list[SweepRun]:
    """Every run: all cells of the first seed come first, so that comparisons are there early.

    Args:
        overrides: KEY VALUE … of the command line, for all runs; OUTPUT_DIR is the sweep's folder.
        environment: its ``VIREID_DATA`` goes before the file's DATA.ROOT.
    Raises:
        ConfigError: one message with the problems of all configurations.
    """
    if len(overrides) % 2:
        raise UsageError(f"overrides must be KEY VALUE pairs, {overrides[-1]!r} has no value")
    given = dict(zip(overrides[::2], overrides[1::2], strict=True))
    output = output_folder(sweep, overrides)
    fixed = dict(sweep.fixed)
    if environment.get("VIREID_DATA"):
        fixed.pop("DATA.ROOT", None)
    runs = []
    cells_with: dict[str, list[str]] = defaultdict(list)  # by problem
    planned = list(product(sweep.trials or (None,), sweep.seeds, sweep.cells))
    for trial, seed, cell in planned:
        own = {"SEED": str(seed)} | ({} if trial is None else {"DATA.TRIAL": str(trial)})
        own["OUTPUT_DIR"] = str(output / _subfolder(cell, seed, trial))
        options = fixed | dict(cell.options) | given | own
        words = tuple(word for pair in options.items() for word in pair)
        try:
            runs.append(SweepRun(cell, seed, trial, words, resolve(words)))
        except ConfigError as error:
            for problem in error.problems:
                cells_with[problem].append(cell.name)
    problems = list(_override_problems(sweep, given))
    problems += [_located(problem, cells, len(planned)) for problem, cells in cells_with.items()]
    if problems:
        raise ConfigError(f"the configurations of {sweep.path} have problems", problems)
    return runs


def output_folder(sweep: Sweep, overrides: Sequence[str]) -> Path:
    """Where the sweep's runs and tables go: the command line's OUTPUT_DIR, or the file's OUTPUT."""
    given = dict(zip(overrides[::2], overrides[1::2], strict=False))
    return expand(given.get("OUTPUT_DIR") or sweep.output)


def _override_problems(sweep: Sweep, given: Iterable[str]) -> Iterator[str]:
    for key in given:
        if key in sweep.cells[0].options:
            yield f"{key} on the command line: the sweep varies it"
        elif key == "SEED" or (key == "DATA.TRIAL" and sweep.trials):
            yield f"{key} on the command line: the sweep's {SECTION_OF[key]} list it"


def _located(problem: str, cells: Sequence[str], runs: int) -> str:
    """A problem, and the cells that have it unless all runs do."""
    if len(cells) == runs:
        return problem
    others = len(set(cells)) - 1
    return f"{problem} ({cells[0]}" + (f", and {others} more)" if others else ")")


def _subfolder(cell: GridCell, seed: int, trial: int | None) -> Path:
    return Path(cell.name) / (f"split{trial}" if trial is not None else "") / f"seed{seed}"


def saved_runs(sweep: Sweep, output: Path) -> dict[SweepRun, RunState]:
    """The sweep's runs, and what their folders below ``output`` hold.

    The folders count as they are: their options and data are not compared with the sweep's, so
    that neither its base configuration nor the data need to be there.
    """
    runs = {}
    for trial, seed, cell in product(sweep.trials or (None,), sweep.seeds, sweep.cells):
        folder = output / _subfolder(cell, seed, trial)
        run = SweepRun(cell, seed, trial, (), CfgNode({"OUTPUT_DIR": str(folder)}))
        runs[run] = _progress(folder)
    return runs


def train_command(
    base: Path, run: SweepRun, state: RunState, precision: Sequence[str] = ()
) -> list[str]:
    """What trains a run, or continues it.

    Args:
        precision: ``PRECISION``, VALUE in place of ``auto``.
    """
    flags = {RunState.INTERRUPTED: ["--resume"], RunState.UNSAVED: ["--overwrite"]}
    python = [sys.executable, "-m", "vireid", "train"]
    words = [*run.overrides, *(precision if run.cfg.PRECISION == "auto" else ())]
    return [*python, "--cfg", str(base), *words, *flags.get(state, [])]


def require_trials(runs: Sequence[SweepRun], *, may_lack_data: bool = False) -> None:
    """Checks that DATA.TRIAL makes a difference when the runs vary it.

    Args:
        may_lack_data: pass when the data cannot be read (yet).
    Raises:
        DataError: they cannot be read.
        UsageError: the data set has one split only.
    """
    if not runs or runs[0].trial is None:
        return
    try:
        splits = build_splits(runs[0].cfg)
    except DataError:
        if may_lack_data:
            return
        raise
    if splits.split_trial is None:
        name = runs[0].cfg.DATA.DATASET
        raise UsageError(f"TRIALS: {name} has one split only; list several SEEDS instead")


def prepare_all(runs: Sequence[SweepRun]) -> None:
    """Renders each synthetic set that is missing once, before any run needs it."""
    for cfg in {run.cfg.DATA.ROOT: run.cfg for run in runs}.values():
        prepare_data(cfg)


def states_of(runs: Sequence[SweepRun]) -> dict[SweepRun, RunState]:
    """What each run's folder holds.

    Raises:
        ConfigError: names every folder that holds something else, and in which options.
    """
    states, problems = {}, []
    fingerprints: dict[str, str] = {}
    for run in runs:
        try:
            states[run] = _state(run, fingerprints)
        except UsageError as error:
            problems.append(" ".join(str(error).split()))
    if problems:
        what = "folders of the sweep hold other runs (name another folder with OUTPUT_DIR)"
        raise ConfigError(what, problems)
    return states


def _state(run: SweepRun, fingerprints: dict[str, str]) -> RunState:
    folder = run.folder
    if not (folder / "config.yaml").is_file():
        held = [name for name in (*RUN_MARKS, "results.json") if (folder / name).exists()]
        if held:
            raise UsageError(f"{folder} holds {held[0]}, but no config.yaml to compare with")
        return RunState.NEW
    changed = changed_options(folder, run.cfg)
    if changed:
        raise UsageError(f"{folder} was trained with another {', '.join(changed)}")
    state = _progress(folder)
    if state is RunState.FINISHED:
        _require_same_data(run, fingerprints)
    return state


def _progress(folder: Path) -> RunState:
    """How far a run came, by the files in its folder."""
    if not (folder / CONFIG).is_file():
        return RunState.NEW
    if (folder / RESULTS).is_file():
        return RunState.FINISHED
    return RunState.INTERRUPTED if (folder / LAST).is_file() else RunState.UNSAVED


def _require_same_data(run: SweepRun, fingerprints: dict[str, str]) -> None:
    """Checks that a finished run read the same images when its DATA.ROOT was another folder.

    Args:
        fingerprints: of the data by data set and folder; filled here.
    """
    saved = load_config(run.folder / "config.yaml", environment={})
    before, root = (absolute_paths(one).DATA.ROOT for one in (saved, run.cfg))
    if before == root:
        return
    data = f"{run.cfg.DATA.DATASET} in {root}"
    try:
        if data not in fingerprints:
            fingerprints[data] = fingerprint(build_splits(run.cfg))
        saved = json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))
        same = saved["data"]["fingerprint"] == fingerprints[data]
    except (DataError, OSError, ValueError, KeyError, TypeError) as error:
        what = f"was trained on {before}, and {root} cannot be compared with it: {error}"
        raise UsageError(f"{run.folder} {what}") from error
    if not same:
        what = f"was trained on {before}, whose images {root} does not hold"
        raise UsageError(f"{run.folder} {what}")


def listing(states: Mapping[SweepRun, RunState], queued: Mapping[SweepRun, str]) -> str:
    """One line per run: the state of its job in Slurm's queue, or else what its folder holds."""
    return "\n".join(
        f"  {queued.get(run, state.value):<14} {run.name}" for run, state in states.items()
    )


def summary(states: Mapping[SweepRun, RunState]) -> str:
    """How many runs are in which state."""
    counts = Counter(states.values())
    if set(counts) == {RunState.FINISHED}:
        return "all runs are finished: nothing to train"
    return ", ".join(f"{counts[state]} {state.value}" for state in RunState if counts[state])
