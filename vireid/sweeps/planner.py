"""The runs of a sweep: which there are, and what their folders already hold."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from yacs.config import CfgNode

from vireid.config.load import load_config
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.engine.checkpoint import LAST
from vireid.errors import ConfigError, DataError, UsageError
from vireid.runs.rendered_data import prepare_data
from vireid.runs.resume import changed_options
from vireid.runs.run_dir import RUN_MARKS
from vireid.sweeps.spec import OWNED, Cell, Sweep

Resolve = Callable[[Sequence[str]], CfgNode]  # KEY VALUE … → a checked configuration


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One training of a sweep.

    Args:
        trial: DATA.TRIAL; None where the sweep does not vary it.
        overrides: KEY VALUE … over the sweep's base configuration.
        cfg: what they resolve to.
    """

    cell: Cell
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
        return str(_folder(self.cell, self.seed, self.trial))


class State(Enum):
    """What a run's folder holds."""

    FINISHED = "finished"
    INTERRUPTED = "to continue"  # from its checkpoint
    UNSAVED = "to start again"  # ended before its first checkpoint
    NEW = "to run"


def plan_runs(
    sweep: Sweep, overrides: Sequence[str], resolve: Resolve, *, environment: Mapping[str, str]
) -> list[Run]:
    """Every run, the first seed's cells first, so that comparisons are there early.

    Args:
        overrides: KEY VALUE … of the command line, for all runs; OUTPUT_DIR is the sweep's folder.
        environment: where ``VIREID_DATA`` is looked up, which goes before the file's DATA.ROOT.
    Raises:
        ConfigError: one message with the problems of all configurations.
    """
    if len(overrides) % 2:
        raise UsageError(f"overrides must be KEY VALUE pairs, {overrides[-1]!r} has no partner")
    given = dict(zip(overrides[::2], overrides[1::2], strict=True))
    problems = list(_override_problems(sweep, given))
    output = output_folder(sweep, overrides)
    given.pop("OUTPUT_DIR", None)
    fixed = dict(sweep.fixed)
    if environment.get("VIREID_DATA"):
        fixed.pop("DATA.ROOT", None)
    common = _words(fixed)
    runs, found = [], defaultdict(list)
    for trial in sweep.trials or (None,):
        for seed in sweep.seeds:
            for cell in sweep.cells:
                own = {"SEED": str(seed)} | ({} if trial is None else {"DATA.TRIAL": str(trial)})
                own["OUTPUT_DIR"] = str(output / _folder(cell, seed, trial))
                words = (*common, *_words(cell.options), *_words(given), *_words(own))
                try:
                    runs.append(Run(cell, seed, trial, words, resolve(words)))
                except ConfigError as error:
                    for problem in error.problems:
                        found[problem].append(cell.name)
    total = len(sweep.cells) * len(sweep.seeds) * max(1, len(sweep.trials))
    problems += [_where(problem, cells, total) for problem, cells in found.items()]
    if problems:
        raise ConfigError(f"the configurations of {sweep.path} have problems", problems)
    return runs


def output_folder(sweep: Sweep, overrides: Sequence[str]) -> Path:
    """Where the sweep's runs and tables go: the command line's OUTPUT_DIR, or the file's OUTPUT."""
    given = dict(zip(overrides[::2], overrides[1::2], strict=False))
    return Path(given.get("OUTPUT_DIR") or sweep.output).expanduser()


def _override_problems(sweep: Sweep, given: Iterable[str]) -> Iterator[str]:
    swept = {key for axis in sweep.axes for key in axis.keys}
    for key in given:
        if key in swept:
            yield f"{key} on the command line: the sweep varies it"
        elif key == "SEED" or (key == "DATA.TRIAL" and sweep.trials):
            yield f"{key} on the command line: the sweep's {OWNED[key]} list it"


def _where(problem: str, cells: Sequence[str], total: int) -> str:
    if len(cells) == total:
        return problem
    others = len(set(cells)) - 1
    return f"{problem} ({cells[0]}" + (f", and {others} more)" if others else ")")


def _folder(cell: Cell, seed: int, trial: int | None) -> Path:
    return Path(cell.name) / (f"split{trial}" if trial is not None else "") / f"seed{seed}"


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def require_trials(runs: Sequence[Run], *, unread: bool = False) -> None:
    """Whether DATA.TRIAL makes a difference, when the runs vary it.

    Args:
        unread: let data pass that cannot be read (yet).
    Raises:
        DataError: they cannot be read.
        UsageError: the data set has one split only.
    """
    if not runs or runs[0].trial is None:
        return
    try:
        splits = build_splits(runs[0].cfg)
    except DataError:
        if unread:
            return
        raise
    if splits.split_trial is None:
        name = runs[0].cfg.DATA.DATASET
        raise UsageError(f"TRIALS: {name} has one split only; list several SEEDS instead")


def prepare_all(runs: Sequence[Run]) -> None:
    """Renders the synthetic sets that are missing, once and before any run needs them."""
    for cfg in {run.cfg.DATA.ROOT: run.cfg for run in runs}.values():
        prepare_data(cfg)


def states_of(runs: Sequence[Run]) -> list[State]:
    """What each run's folder holds.

    Raises:
        ConfigError: names every folder that holds something else, and in which options.
    """
    states, problems = [], []
    digests: dict[tuple[str, ...], str] = {}
    for run in runs:
        try:
            states.append(_state(run))
            if states[-1] is State.FINISHED:
                _require_same_data(run, digests)
        except UsageError as error:
            problems.append(" ".join(str(error).split()))
    if problems:
        what = "folders of the sweep hold other runs (name another folder with OUTPUT_DIR)"
        raise ConfigError(what, problems)
    return states


def _state(run: Run) -> State:
    folder = run.folder
    if not (folder / "config.yaml").is_file():
        held = [name for name in (*RUN_MARKS, "results.json") if (folder / name).exists()]
        if held:
            raise UsageError(f"{folder} holds {held[0]}, but no config.yaml that tells of what")
        return State.NEW
    changed = changed_options(folder, run.cfg)
    if changed:
        raise UsageError(f"{folder} was trained with another {', '.join(changed)}")
    if (folder / "results.json").is_file():
        return State.FINISHED
    return State.INTERRUPTED if (folder / LAST).is_file() else State.UNSAVED


def _require_same_data(run: Run, digests: dict[tuple[str, ...], str]) -> None:
    """A finished run that read another folder must have found the same images there.

    Args:
        digests: fingerprints by data set and folder, filled here.
    """
    folder, data = run.folder, run.cfg.DATA
    before = load_config(folder / "config.yaml", environment={}).DATA.ROOT
    if before == data.ROOT:
        return
    key = (data.DATASET, data.ROOT)
    try:
        if key not in digests:
            digests[key] = fingerprint(build_splits(run.cfg))
        saved = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        same = saved["data"]["fingerprint"] == digests[key]
    except (DataError, OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} was trained on {before}, and {data.ROOT} cannot be compared with it: {error}"
        ) from error
    if not same:
        raise UsageError(
            f"{folder} was trained on {before}, whose images {data.ROOT} does not hold"
        )


def visible_gpus() -> list[str]:
    """Names by which CUDA_VISIBLE_DEVICES can single out each of the GPUs at hand."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [listed[i] if i < len(listed) and listed[i] else str(i) for i in range(count)]
