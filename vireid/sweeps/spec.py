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
from vireid.utils.paths import expand, path_problem

SECTIONS = ("BASE", "SET", "GRID", "SEEDS", "TRIALS", "BASELINE", "OUTPUT", "SLURM")
SECTION_OF = {"SEED": "SEEDS", "DATA.TRIAL": "TRIALS", "OUTPUT_DIR": "OUTPUT"}  # by option
LONGEST_NAME = 150  # bytes of a folder's name; file systems allow 255
MOST_CELLS = 10_000

# Options of sbatch that the executor sets itself, and why.
EXECUTOR_OPTIONS = {
    "array": "every run is a job of its own",
    "error": "it goes into the sweep's folder",
    "job-name": "a later call finds the job by it",
    "nodes": "a run is trained on one node",
    "ntasks": "a run is one task",
    "ntasks-per-node": "a run is one task",
    "no-requeue": "a job at its time limit goes back into the queue",
    "output": "it goes into the sweep's folder",
    "parsable": "submitit reads what sbatch prints",
    "signal": "it makes a run save before its time limit",
    "test-only": "--dry-run does that",
    "wait": "the tool waits",
    "wrap": "the job trains a run",
}


def sbatch_option(name: str, value: Any) -> tuple[str, str]:
    """One option of sbatch: its long name, and its value (empty when it takes none).

    Args:
        name: with or without leading dashes, words joined by dashes or underscores.
        value: text or number; true for an option without a value.
    Raises:
        ValueError: the problem, to be put after the option's name.
    """
    long = name.lstrip("-").replace("_", "-").lower()
    if not re.fullmatch(r"[a-z][a-z0-9-]+", long):
        raise ValueError("is no long option of sbatch, such as partition or cpus-per-task")
    if long in EXECUTOR_OPTIONS:
        raise ValueError(f"is set by the executor: {EXECUTOR_OPTIONS[long]}")
    if long == "time" and not isinstance(value, str):  # YAML reads 4:00:00 as a number
        raise ValueError(f"must be quoted text such as '4:00:00', got {value!r}")
    if value is True:
        return long, ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a text or a number, or true where it takes none, got {value!r}")
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError(f"must be one line, got {value!r}")
    return long, text


@dataclass(frozen=True, slots=True)
class GridAxis:
    """One entry of a grid: an option, or several that vary together.

    Args:
        keys: names of the options.
        labels: names of the steps, in tables and folders.
        values: per step, a value for every option, as on the command line.
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

    def settings(self, step: int) -> dict[str, str]:
        """Options and their values at one step."""
        return dict(zip(self.keys, self.values[step], strict=True))

    def folder_part(self, step: int) -> str:
        """What one step adds to the name of a cell's folder."""
        if self.named:
            return _folder_text(self.labels[step])
        return ",".join(f"{key}={_folder_text(v)}" for key, v in self.settings(step).items())


@dataclass(frozen=True, slots=True)
class GridCell:
    """One combination of a grid's values.

    Args:
        name: of the folder that holds its runs.
        labels: one per axis.
        options: what it sets, as on the command line.
    """

    name: str
    labels: tuple[str, ...]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The content of a sweep file.

    Args:
        fixed: options of all runs, as on the command line.
        trials: values of DATA.TRIAL; empty: the configuration's own.
        baseline: the cell that the others are compared with.
        slurm: long options of sbatch and their values; empty: it takes none.
    """

    path: Path
    base: Path
    fixed: Mapping[str, str]
    axes: tuple[GridAxis, ...]
    cells: tuple[GridCell, ...]
    seeds: tuple[int, ...]
    trials: tuple[int, ...]
    baseline: GridCell
    output: Path
    slurm: Mapping[str, str]

    def describe(self, cell: GridCell) -> str:
        """``MODEL.SHARED_DEPTH 3``, or its labels where the file gives them."""
        chosen = zip(self.axes, cell.labels, strict=True)
        return ", ".join(label if axis.named else f"{axis.title} {label}" for axis, label in chosen)


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep file; its configurations are checked when they are resolved.

    Args:
        path: of the file; see :func:`find_config`.
    Raises:
        UsageError: it cannot be read.
        ConfigError: one message with all its problems.
    """
    reader, path = _SectionReader(), find_config(path)
    values = read_yaml(path)
    reader.check_names(values)
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
    baseline = None
    if "BASELINE" in values and not reader.problems:  # its value may be one with a problem
        baseline = reader.baseline(values["BASELINE"], axes, cells)
    if reader.problems:
        raise ConfigError(f"sweep file {path} has problems", reader.problems)
    baseline = baseline or cells[0]
    return Sweep(path, base, fixed, axes, cells, seeds, trials, baseline, output, slurm)


class _SectionReader:
    """Reads the sections one by one and collects the problems of all."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._defaults = flatten(default_config())

    def check_names(self, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in SECTIONS:
                near = difflib.get_close_matches(name.upper(), SECTIONS, n=1, cutoff=0.0)[0]
                self.problems.append(
                    f"unknown section {name}; did you mean {near}? There are {', '.join(SECTIONS)}"
                )

    def base(self, path: Path, value: Any) -> Path:
        problem = path_problem(value) if isinstance(value, str) else "must name a config file"
        if problem:
            self.problems.append(f"BASE {problem}, got {value!r:.60}")
            return path
        given = expand(value)
        places = (path.parent / given, given, find_config(given))
        found = next((file for file in places if file.is_file()), None)
        if found is None:
            self.problems.append(f"BASE: there is neither {path.parent / given} nor {given}")
            return path
        tidy = Path(os.path.normpath(found))  # another file where ``..`` follows a linked folder
        return tidy if tidy.is_file() and tidy.samefile(found) else found

    def fixed(self, values: Any) -> dict[str, str]:
        if not isinstance(values, dict):
            self.problems.append(f"SET must hold KEY: VALUE pairs, got {values!r:.60}")
            return {}
        found: dict[str, str] = {}
        for key, value in leaves(values):
            if key in found:
                self.problems.append(f"SET: {key} is given twice")
            elif key in SECTION_OF and key != "DATA.TRIAL":
                self.problems.append(f"SET: {key} is set by {SECTION_OF[key]}")
            elif self._is_known(key, "SET"):
                found[key] = self._text(key, value, "SET")
        return found

    def axes(self, grid: Any, fixed: Mapping[str, str]) -> tuple[GridAxis, ...]:
        if not isinstance(grid, dict) or not grid:
            self.problems.append(
                "GRID is empty: name an option and its values, such as MODEL.SHARED_DEPTH: [0, 5]"
            )
            return ()
        found: list[GridAxis] = []
        seen = dict.fromkeys(fixed, "SET")
        for entry, values in grid.items():
            keys = _split_keys(entry)
            usable = [self._can_vary(key, seen) for key in keys]
            if all(usable):
                found += self._axis(keys, values)
        return tuple(found)

    def _can_vary(self, key: str, seen: dict[str, str]) -> bool:
        if key in SECTION_OF:
            self.problems.append(f"GRID: {key} is set by {SECTION_OF[key]}")
        elif key in seen:
            self.problems.append(f"GRID: {key} is given twice, the first time in {seen[key]}")
        elif self._is_known(key, "GRID"):
            seen[key] = "GRID"
            return True
        return False

    def _axis(self, keys: tuple[str, ...], values: Any) -> Iterator[GridAxis]:
        title = ", ".join(keys)
        if not isinstance(values, (list, dict)) or not values:
            self.problems.append(
                f"GRID: {title} needs a list of values, or labels with a value each, "
                f"got {values!r:.60}"
            )
            return
        rows = list(values.values() if isinstance(values, dict) else values)
        if len(keys) == 1:
            rows = [[row] for row in rows]
        for row in rows:
            if not isinstance(row, list) or len(row) != len(keys):
                self.problems.append(
                    f"GRID: {title} vary together: a list of {len(keys)} values is wanted, "
                    f"got {row!r:.60}"
                )
                return
        before = len(self.problems)
        texts = tuple(
            tuple(self._text(key, value, "GRID") for key, value in zip(keys, row, strict=True))
            for row in rows
        )
        if len(self.problems) == before:
            named = isinstance(values, dict)
            labels = tuple(values) if named else tuple(", ".join(row) for row in texts)
            yield GridAxis(keys, labels, texts, named)

    def cells(self, axes: Sequence[GridAxis]) -> tuple[GridCell, ...]:
        """All combinations; the last axis changes fastest."""
        count = math.prod(len(axis.labels) for axis in axes)
        if count > MOST_CELLS:
            self.problems.append(f"GRID has {count:,} combinations, {MOST_CELLS:,} are allowed")
            return ()
        cells = []
        for steps in product(*(range(len(axis.labels)) for axis in axes)):
            chosen = list(zip(axes, steps, strict=True))
            name = ",".join(axis.folder_part(step) for axis, step in chosen)
            labels = tuple(axis.labels[step] for axis, step in chosen)
            options = {key: v for axis, step in chosen for key, v in axis.settings(step).items()}
            cells.append(GridCell(name, labels, options))
        if axes:
            self.problems += [f"GRID: {problem}" for problem in _name_problems(cells)]
        return tuple(cells)

    def _is_known(self, key: str, section: str) -> bool:
        if key not in self._defaults:
            self.problems.append(f"{section}: {unknown_key(key)}")
        return key in self._defaults

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
        if problem:
            self.problems.append(f"OUTPUT {problem}, got {value!r:.60}")
            return Path()
        return expand(value)

    def slurm(self, values: Any) -> dict[str, str]:
        if not isinstance(values, dict):
            self.problems.append(f"SLURM must hold options of sbatch, got {values!r:.60}")
            return {}
        found = []
        for name, value in values.items():
            try:
                found.append(sbatch_option(name, value))
            except ValueError as error:
                self.problems.append(f"SLURM: {name} {error}")
        return dict(found)

    def baseline(
        self, given: Any, axes: Sequence[GridAxis], cells: Sequence[GridCell]
    ) -> GridCell | None:
        """The cell that ``given`` names; None when there is a problem."""
        if not isinstance(given, dict):
            given = {axes[0].title: given}
        values = {", ".join(_split_keys(entry)): value for entry, value in given.items()}
        titles = [axis.title for axis in axes]
        if sorted(values) != sorted(titles):
            self.problems.append(f"BASELINE must name a value of {' and of '.join(titles)}")
            return None
        labels = tuple(self._label(axis, values[axis.title]) for axis in axes)
        return next((cell for cell in cells if cell.labels == labels), None)

    def _label(self, axis: GridAxis, value: Any) -> str | None:
        """The label of the step that ``value`` names, by its label or by its values."""
        if value in axis.labels:
            return value
        given = value if len(axis.keys) > 1 else [value]
        for label, texts in zip(axis.labels, axis.values, strict=True):
            if isinstance(given, list) and self._are_same(axis.keys, given, texts):
                return label
        choices = " | ".join(axis.labels)
        self.problems.append(
            f"BASELINE: {axis.title} {value!r} is unknown; choose one of {choices}"
        )
        return None

    def _are_same(self, keys: Sequence[str], given: Sequence[Any], texts: Sequence[str]) -> bool:
        try:
            pairs = zip(keys, given, strict=True)
            return [override_text(coerce(v, self._defaults[k])) for k, v in pairs] == list(texts)
        except ValueError:  # other types, or another number of values
            return False


def _name_problems(cells: Sequence[GridCell]) -> Iterator[str]:
    """One line per cell whose folder another cell has, or whose label makes no folder's name."""
    seen: dict[str, str] = {}
    for cell in cells:
        label, name = " | ".join(cell.labels), cell.name.casefold()  # some disks ignore case
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


def _folder_text(text: str) -> str:
    """``text`` as part of a folder's name: ``+ SDM`` → ``+_SDM``, ``[96, 48]`` → ``96,48``."""
    text = re.sub(r"[\[\]{}'\"]", "", text).replace(", ", ",")
    return re.sub(r"[^\w.+=,-]+", "_", text).strip("._")


def _split_keys(entry: str) -> tuple[str, ...]:
    """``A, B`` → ``("A", "B")``."""
    return tuple(key.strip() for key in entry.split(","))
