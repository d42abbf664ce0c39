"""Sweep files: a base configuration, the options that vary over it, and the seeds.

.. code-block:: yaml

    BASE: ../sysu.yaml              # relative to this file, or to the working directory
    SET: {SOLVER.EPOCHS: 60}        # for all runs
    GRID:                           # every combination of the entries is one cell
      MODEL.SHARED_DEPTH: [0, 3, 5]
      LOSS.TRIPLET.WEIGHT, LOSS.WEIGHTED_TRIPLET.WEIGHT: # vary together
        hardest: [1, 0]             # a label and its values; a list of values has no labels
        weighted: [0, 1]
    SEEDS: [0, 1, 2]
    TRIALS: [1, 2]                  # DATA.TRIAL, for data sets with several train/test splits
    BASELINE: {MODEL.SHARED_DEPTH: 3}   # differences are taken to it; the first cell by default
    OUTPUT: runs/sweeps/depth       # default runs/sweeps/<name of this file>
    SLURM: {partition: gpu, time: "4:00:00"}    # options of sbatch, with --executor slurm
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from vireid.config.load import find_config, flatten, leaves, unknown_key
from vireid.config.schema import default_config
from vireid.config.values import coerce, override_text, read_yaml
from vireid.errors import ConfigError
from vireid.utils.paths import path_problem

# What the executor decides: one task per job, its own output files, how a job is recognised.
SLURM_OWNED = {
    "array": "every run is a job of its own",
    "error": "it goes into the sweep's folder",
    "job-name": "by it a job is found again",
    "nodes": "a run is trained on one node",
    "ntasks": "a run is one task",
    "ntasks-per-node": "a run is one task",
    "no-requeue": "a job at its time limit goes back into the queue",
    "output": "it goes into the sweep's folder",
    "parsable": "the executor reads what sbatch prints",
    "signal": "by it a run is told to save before its time limit",
    "test-only": "--dry-run is for that",
    "wait": "the tool waits",
    "wrap": "the job trains a run",
}
GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres", "tres-per-task")


def slurm_option(name: str, value: Any) -> tuple[str, str]:
    """One option as sbatch takes it; an empty text for one that stands without a value.

    Args:
        name: with or without dashes before it, and with dashes or underscores within.
        value: text or number; true for an option without a value.
    Raises:
        ValueError: says what is wrong, to follow the option's name.
    """
    long = name.lstrip("-").replace("_", "-").lower()
    if not re.fullmatch(r"[a-z][a-z0-9-]+", long):
        raise ValueError("is no long option of sbatch, such as partition or cpus-per-task")
    if long in SLURM_OWNED:
        raise ValueError(f"is set by the executor: {SLURM_OWNED[long]}")
    if long == "time" and not isinstance(value, str):  # 4:00:00 is a number to YAML
        raise ValueError(f"must be quoted text such as '4:00:00', got {value!r}")
    if value is True:
        return long, ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a text or a number, or true where it takes none, got {value!r}")
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError(f"must be one line, got {value!r}")
    return long, text


LONGEST_NAME = 150  # bytes of a folder's name; file systems take 255


@dataclass(frozen=True, slots=True)
class Axis:
    """One entry of a grid: options that vary together.

    Args:
        keys: names of the options.
        labels: what the values are called.
        values: per label, a value for every option, as on the command line.
        named: the file gives the labels; otherwise they are the values.
    """

    keys: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    named: bool

    @property
    def title(self) -> str:
        """The options' names, as the grid has them."""
        return ", ".join(self.keys)

    def settings(self, position: int) -> dict[str, str]:
        """Options and their values at one position."""
        return dict(zip(self.keys, self.values[position], strict=True))

    def folder_part(self, position: int) -> str:
        """What one position adds to the name of a cell's folder."""
        if self.named:
            return _plain(self.labels[position])
        return ",".join(f"{key}={_plain(text)}" for key, text in self.settings(position).items())


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a grid's values.

    Args:
        name: of the folder that holds its runs.
        labels: one per axis.
        options: what it sets, as on the command line.
    """

    name: str
    labels: tuple[str, ...]
    options: Mapping[str, str]


def cells_of(axes: Sequence[Axis]) -> tuple[Cell, ...]:
    """All combinations; the last axis changes fastest."""
    return tuple(
        Cell(
            name=",".join(axis.folder_part(at) for axis, at in chosen),
            labels=tuple(axis.labels[at] for axis, at in chosen),
            options={key: text for axis, at in chosen for key, text in axis.settings(at).items()},
        )
        for chosen in (
            list(zip(axes, positions, strict=True))
            for positions in product(*(range(len(axis.labels)) for axis in axes))
        )
    )


def name_problems(cells: Sequence[Cell]) -> Iterator[str]:
    """One line per cell whose folder would be another's, or is no name for one."""
    seen: dict[str, str] = {}
    for cell in cells:
        label, name = " | ".join(cell.labels), cell.name.casefold()  # not every disk knows case
        if name in seen and seen[name] == label:
            yield f"{label} is there twice"
        elif name in seen:
            yield f"{label} and {seen[name]} would share the folder {cell.name}: change a label"
        elif not label.isprintable():
            yield f"the label {label!r} has characters that no table can print: choose another"
        elif not name or re.fullmatch(r"(seed|split)\d+", name):
            yield f"the label {label!r} makes no folder's name: choose another"
        elif len(name.encode()) > LONGEST_NAME:
            yield f"{label} is too long for a folder's name: give it a label"
        seen.setdefault(name, label)


def _plain(text: str) -> str:
    """``text`` as part of a folder's name: ``+ SDM`` → ``+_SDM``, ``[96, 48]`` → ``96,48``."""
    text = re.sub(r"[\[\]{}'\"]", "", text).replace(", ", ",")
    return re.sub(r"[^\w.+=,-]+", "_", text).strip("._")


SECTIONS = ("BASE", "SET", "GRID", "SEEDS", "TRIALS", "BASELINE", "OUTPUT", "SLURM")
MOST_CELLS = 10_000
OWNED = {"SEED": "SEEDS", "DATA.TRIAL": "TRIALS", "OUTPUT_DIR": "OUTPUT"}  # option → its section


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep file asks for.

    Args:
        fixed: options of all runs, as on the command line.
        trials: values of DATA.TRIAL; empty: the configuration's own.
        baseline: the cell that the others are compared with.
        slurm: long options of sbatch and their values; empty: it takes none.
    """

    path: Path
    base: Path
    fixed: Mapping[str, str]
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    trials: tuple[int, ...]
    baseline: Cell
    output: Path
    slurm: Mapping[str, str]

    def describe(self, cell: Cell) -> str:
        """``MODEL.SHARED_DEPTH 3``, or its labels where the file gives them."""
        chosen = zip(self.axes, cell.labels, strict=True)
        return ", ".join(label if axis.named else f"{axis.title} {label}" for axis, label in chosen)


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep file; whether its configurations can be used shows when they are resolved.

    Args:
        path: of the file; see :func:`find_config`.
    Raises:
        UsageError: it cannot be read.
        ConfigError: one message with all its problems.
    """
    reader, path = _Reader(), find_config(path)
    values = read_yaml(path)
    reader.sections(values)
    base = reader.base(path, values.get("BASE"))
    fixed = reader.fixed(values.get("SET", {}))
    axes = reader.axes(values.get("GRID", {}), fixed)
    seeds = reader.numbers("SEEDS", values.get("SEEDS", [0]))
    trials = reader.numbers("TRIALS", values["TRIALS"]) if "TRIALS" in values else ()
    output = reader.output(values.get("OUTPUT", f"runs/sweeps/{path.stem}"))
    slurm = reader.slurm(values.get("SLURM", {}))
    if trials and "DATA.TRIAL" in fixed:
        reader.problems.append("SET: DATA.TRIAL is what TRIALS lists: keep one of them")
    cells = reader.cells(axes)
    if axes:
        reader.problems += [f"GRID: {problem}" for problem in name_problems(cells)]
    if "BASELINE" in values and not reader.problems:  # else its value may be one that fell out
        baseline = reader.baseline(values["BASELINE"], axes, cells)
    if reader.problems:
        raise ConfigError(f"sweep file {path} has problems", reader.problems)
    if "BASELINE" not in values:
        baseline = cells[0]
    return Sweep(path, base, fixed, axes, cells, seeds, trials, baseline, output, slurm)


class _Reader:
    """Reads the sections one by one and keeps the problems of all."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._defaults = flatten(default_config())

    def sections(self, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in SECTIONS:
                near = difflib.get_close_matches(name.upper(), SECTIONS, n=1, cutoff=0.0)[0]
                self.problems.append(
                    f"unknown section {name}; did you mean {near}? There are {', '.join(SECTIONS)}"
                )

    def base(self, path: Path, value: Any) -> Path:
        if not isinstance(value, str):
            self.problems.append(f"BASE must name a config file, got {value!r:.60}")
            return path
        if problem := path_problem(value):
            self.problems.append(f"BASE {problem}, got {value!r:.60}")
            return path
        given = Path(value).expanduser()
        places = (path.parent / given, given, find_config(given))
        found = [file for file in places if file.is_file()]
        if not found:
            self.problems.append(f"BASE: there is neither {path.parent / given} nor {given}")
            return path
        tidy = Path(os.path.normpath(found[0]))  # which a linked folder can lead elsewhere
        return tidy if tidy.is_file() and tidy.samefile(found[0]) else found[0]

    def fixed(self, values: Any) -> dict[str, str]:
        if not isinstance(values, dict):
            self.problems.append(f"SET must hold KEY: VALUE pairs, got {values!r:.60}")
            return {}
        found: dict[str, str] = {}
        for key, value in leaves(values):
            if key in found:
                self.problems.append(f"SET: {key} is given twice")
            elif key in OWNED and key != "DATA.TRIAL":
                self.problems.append(f"SET: {key} is set by {OWNED[key]}")
            elif self._known(key, "SET"):
                found[key] = self._text(key, value, "SET")
        return found

    def axes(self, grid: Any, fixed: Mapping[str, str]) -> tuple[Axis, ...]:
        if not isinstance(grid, dict) or not grid:
            self.problems.append(
                "GRID is empty: name an option and its values, such as MODEL.SHARED_DEPTH: [0, 5]"
            )
            return ()
        found: list[Axis] = []
        seen = dict.fromkeys(fixed, "SET")
        for entry, values in grid.items():
            keys = tuple(key.strip() for key in entry.split(","))
            usable = [self._sweepable(key, seen) for key in keys]
            if all(usable):
                found += self._axis(keys, values)
        return tuple(found)

    def cells(self, axes: Sequence[Axis]) -> tuple[Cell, ...]:
        """All combinations, unless they are so many that nobody can mean them."""
        count = math.prod(len(axis.labels) for axis in axes)
        if count <= MOST_CELLS:
            return cells_of(axes)
        self.problems.append(f"GRID has {count:,} combinations, {MOST_CELLS:,} are allowed")
        return ()

    def _sweepable(self, key: str, seen: dict[str, str]) -> bool:
        if key in OWNED:
            self.problems.append(f"GRID: {key} is set by {OWNED[key]}")
        elif key in seen:
            self.problems.append(f"GRID: {key} is given twice, the first time in {seen[key]}")
        elif self._known(key, "GRID"):
            seen[key] = "GRID"
            return True
        return False

    def _axis(self, keys: tuple[str, ...], values: Any) -> Iterator[Axis]:
        title = ", ".join(keys)
        if not isinstance(values, (list, dict)) or not values:
            self.problems.append(
                f"GRID: {title} needs a list of values, or labels with a value each, "
                f"got {values!r:.60}"
            )
            return
        rows = list(values.values() if isinstance(values, dict) else values)
        if len(keys) > 1:
            for row in rows:
                if not isinstance(row, list) or len(row) != len(keys):
                    self.problems.append(
                        f"GRID: {title} vary together: a list of {len(keys)} values is wanted, "
                        f"got {row!r:.60}"
                    )
                    return
        else:
            rows = [[row] for row in rows]
        before = len(self.problems)
        texts = tuple(
            tuple(self._text(key, value, "GRID") for key, value in zip(keys, row, strict=True))
            for row in rows
        )
        if len(self.problems) > before:
            return
        named = isinstance(values, dict)
        labels = tuple(values) if named else tuple(", ".join(row) for row in texts)
        yield Axis(keys, labels, texts, named)

    def _known(self, key: str, section: str) -> bool:
        if key in self._defaults:
            return True
        self.problems.append(f"{section}: {unknown_key(key)}")
        return False

    def _text(self, key: str, value: Any, section: str) -> str:
        try:
            return override_text(coerce(value, self._defaults[key]))
        except ValueError as error:
            self.problems.append(f"{section}: {key} {error}, got {value!r:.200}")
            return ""

    def numbers(self, section: str, values: Any) -> tuple[int, ...]:
        """Whole numbers, each once."""
        whole = isinstance(values, list) and all(type(value) is int for value in values)
        if not whole or not values or len(set(values)) != len(values):
            self.problems.append(
                f"{section} must list whole numbers such as [1, 2, 3], each once, "
                f"got {values!r:.200}"
            )
            return ()
        return tuple(values)

    def output(self, value: Any) -> Path:
        problem = "must be a folder's name"
        if isinstance(value, str) and value:
            problem = path_problem(value)
        if not problem:
            return Path(value).expanduser()
        self.problems.append(f"OUTPUT {problem}, got {value!r:.60}")
        return Path()

    def slurm(self, values: Any) -> dict[str, str]:
        """Options of sbatch, by their long names."""
        if not isinstance(values, dict):
            self.problems.append(f"SLURM must hold options of sbatch, got {values!r:.60}")
            return {}
        found = {}
        for name, value in values.items():
            try:
                long, text = slurm_option(name, value)
            except ValueError as error:
                self.problems.append(f"SLURM: {name} {error}")
                continue
            found[long] = text
        return found

    def baseline(self, given: Any, axes: Sequence[Axis], cells: Sequence[Cell]) -> Cell:
        """The cell that ``given`` names; the first when that is a problem."""
        if not isinstance(given, dict):
            given = {axes[0].title: given}
        values = {_title(key): value for key, value in given.items()}
        titles = [axis.title for axis in axes]
        if sorted(values) != sorted(titles):
            self.problems.append(f"BASELINE must name a value of {' and of '.join(titles)}")
            return cells[0]
        labels = tuple(self._label(axis, values[axis.title]) for axis in axes)
        return next((cell for cell in cells if cell.labels == labels), cells[0])

    def _label(self, axis: Axis, value: Any) -> str | None:
        if value in axis.labels:
            return value
        given = value if len(axis.keys) > 1 else [value]
        for label, texts in zip(axis.labels, axis.values, strict=True):
            if isinstance(given, list) and self._same(axis.keys, given, texts):
                return label
        choices = " | ".join(axis.labels)
        self.problems.append(
            f"BASELINE: {axis.title} {value!r} is unknown; choose one of {choices}"
        )
        return None

    def _same(self, keys: Sequence[str], given: Sequence[Any], texts: Sequence[str]) -> bool:
        if len(given) != len(keys):
            return False
        try:
            coerced = [coerce(v, self._defaults[key]) for key, v in zip(keys, given, strict=True)]
        except ValueError:
            return False
        return [override_text(value) for value in coerced] == list(texts)


def _title(entry: str) -> str:
    """``A,B`` → ``A, B``."""
    return ", ".join(key.strip() for key in entry.split(","))
