"""Sweep files: a base configuration, the options that vary over it, and the seeds.

docs/sweeps.md describes the sections; ``configs/sweeps/`` holds examples.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from vireid.config.expected import take_expected
from vireid.config.load import find_config, leaves
from vireid.config.names import option_text
from vireid.config.values import coerce, read_yaml
from vireid.errors import ConfigError
from vireid.evaluation.protocols import PROTOCOLS
from vireid.utils.paths import expand, path_problem

SECTIONS = ("BASE", "SET", "GRID", "SEEDS", "TRIALS", "BASELINE", "LABELS", "OUTPUT", "SLURM")
SECTION_OF = {"SEED": "SEEDS", "DATA.TRIAL": "TRIALS", "OUTPUT_DIR": "OUTPUT"}  # by option
SWEEP_FILE = "sweep.yaml"  # in the sweep's folder: a copy of its file
LONGEST_NAME = 150  # bytes of a folder's name; file systems allow 255
MOST_CELLS = 10_000
EXECUTOR_OPTIONS = frozenset(  # long options of sbatch that the executor sets itself
    "array error job-name nodes ntasks ntasks-per-node no-requeue output parsable signal "
    "test-only wait wrap".split()
)


@dataclass(frozen=True, slots=True)
class GridCell:
    """Values of some options: one step of an axis, or one combination of steps of all axes.

    Args:
        name: of the folder that holds its runs.
        labels: one per axis, for tables.
        options: what it sets, as on the command line.
    """

    name: str
    labels: tuple[str, ...]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GridAxis:
    """One entry of a grid: an option, or several that vary together.

    Args:
        keys: names of the options.
        steps: their values, one after another.
        named: the file gives the labels; otherwise they are the values.
    """

    keys: tuple[str, ...]
    steps: tuple[GridCell, ...]
    named: bool

    @property
    def title(self) -> str:
        """The options' names, as the grid has them."""
        return ", ".join(self.keys)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the steps, for tables and folders."""
        return tuple(step.labels[0] for step in self.steps)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The content of a sweep file.

    Args:
        fixed: options of all runs, as on the command line.
        trials: values of DATA.TRIAL; empty: the configuration's own.
        baseline: the cell that the others are compared with.
        slurm: long options of sbatch and their values; empty: it takes none.
        texts: what the picture shows instead of an option, a label, a value or a protocol.
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
    texts: Mapping[str, str]

    def describe(self, cell: GridCell) -> str:
        """``MODEL.SHARED_DEPTH 3``, or its labels where the file gives them."""
        chosen = zip(self.axes, cell.labels, strict=True)
        return ", ".join(label if axis.named else f"{axis.title} {label}" for axis, label in chosen)


def read_sweep(path: Path, *, need_base: bool = True) -> Sweep:
    """Reads a sweep file; its configurations are checked when they are resolved.

    Args:
        path: of the file; see :func:`find_config`.
        need_base: BASE must exist; without it the file describes finished runs, but trains none.
    Raises:
        UsageError: it cannot be read.
        ConfigError: one message with all its problems.
    """
    path = find_config(path)
    values, problems = read_yaml(path), _Problems()
    take_expected(values, path)  # checked, and of no run
    for name in values:
        problems.catch("", _require_section, name)
    base_file = _base_file if need_base else _named_base
    base = problems.catch("BASE", base_file, path, values.get("BASE"))
    fixed = _fixed_options(values, problems)
    axes = _grid_axes(values.get("GRID"), fixed, problems)
    seeds = problems.catch("SEEDS", _whole_numbers, values.get("SEEDS", [0]))
    trials = (
        problems.catch("TRIALS", _whole_numbers, values["TRIALS"]) if "TRIALS" in values else ()
    )
    output = values.get("OUTPUT", f"runs/sweeps/{path.stem}")
    output = problems.catch("OUTPUT", _path, output, "must be a folder's name")
    slurm = _sbatch_options(values.get("SLURM", {}), problems)
    texts = _picture_texts(values.get("LABELS", {}), axes, problems)
    cells = problems.catch("GRID", _combinations, axes) or ()
    problems += [f"GRID: {problem}" for problem in _name_problems(cells)]
    baseline = cells[0] if cells else None
    if "BASELINE" in values and not problems:  # its value may be one with a problem
        baseline = problems.catch("BASELINE", _baseline, values["BASELINE"], axes, cells)
    if problems:
        raise ConfigError(f"sweep file {path} has problems", problems)
    assert baseline is not None
    return Sweep(path, base, fixed, axes, cells, seeds, trials, baseline, output, slurm, texts)


class _Problems(list[str]):
    """The problems of a file, a line each."""

    def catch(self, section: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """What ``read`` returns; None where its ValueError became a problem."""
        try:
            return read(*arguments)
        except ValueError as error:
            self.append(f"{section} {error}".strip())
            return None


def _require_section(name: str) -> None:
    if name not in SECTIONS:
        near = difflib.get_close_matches(name.upper(), SECTIONS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown section {name}; did you mean {near}? There are {', '.join(SECTIONS)}"
        )


def _path(value: Any, wanted: str) -> Path:
    problem = path_problem(value) if value and isinstance(value, str) else wanted
    if problem:
        raise ValueError(f"{problem}, got {value!r:.60}")
    return expand(value)


def _named_base(path: Path, value: Any) -> Path:
    return _path(value, "must name a config file")


def _base_file(path: Path, value: Any) -> Path:
    given = _named_base(path, value)
    beside = path.parent / given
    for file in (beside, given, find_config(given)):
        if file.is_file():
            return file
    raise ValueError(f"is missing: there is neither {beside} nor {given}")


def _whole_numbers(values: Any) -> tuple[int, ...]:
    found = []
    if isinstance(values, list) and all(type(value) in (int, str) for value in values):
        with suppress(ValueError):
            found = coerce(values, [0])
    if not found or len(set(found)) != len(found):
        raise ValueError(
            f"must list whole numbers such as [1, 2, 3], each once, got {values!r:.200}"
        )
    return tuple(found)


def _fixed_options(values: Mapping[str, Any], problems: _Problems) -> dict[str, str]:
    options = values.get("SET", {})
    if not isinstance(options, dict):
        problems.append(f"SET must hold KEY: VALUE pairs, got {options!r:.60}")
        return {}
    found: dict[str, str] = {}
    for key, value in leaves(options):
        if key in SECTION_OF and (key != "DATA.TRIAL" or "TRIALS" in values):
            problems.append(f"SET: {key} is set by {SECTION_OF[key]}")
        elif key in found:
            problems.append(f"SET: {key} is given twice")
        else:
            found[key] = problems.catch("SET:", option_text, key, value)
    return found


def _grid_axes(grid: Any, fixed: Iterable[str], problems: _Problems) -> tuple[GridAxis, ...]:
    if not isinstance(grid, dict) or not grid:
        problems.append(
            "GRID is empty: name an option and its values, such as MODEL.SHARED_DEPTH: [0, 5]"
        )
        return ()
    taken = set(fixed)
    axes = [problems.catch("GRID:", _axis, entry, given, taken) for entry, given in grid.items()]
    return tuple(axis for axis in axes if axis)


def _axis(entry: str, values: Any, taken: set[str]) -> GridAxis:
    """One entry of the grid; its options are added to those that are ``taken``."""
    keys = _split_keys(entry)
    title = ", ".join(keys)
    for key in keys:
        if key in SECTION_OF:
            raise ValueError(f"{key} is set by {SECTION_OF[key]}")
        if key in taken:
            raise ValueError(f"{key} is given twice; SET and GRID name an option once")
        taken.add(key)
    if not isinstance(values, (list, dict)) or not values:
        raise ValueError(
            f"{title} needs a list of values, or labels with a value each, got {values!r:.60}"
        )
    steps = []
    for label, row in values.items() if isinstance(values, dict) else ((None, v) for v in values):
        options = _step_options(keys, row)
        unnamed = ",".join(f"{key}={_folder_text(text)}" for key, text in options.items())
        name = unnamed if label is None else _folder_text(label)
        steps.append(GridCell(name, (label or ", ".join(options.values()),), options))
    return GridAxis(keys, tuple(steps), isinstance(values, dict))


def _step_options(keys: Sequence[str], row: Any) -> dict[str, str]:
    """The options of one step: ``row`` is a list of values where several options vary together."""
    values = [row] if len(keys) == 1 else row
    if not isinstance(values, list) or len(values) != len(keys):
        raise ValueError(
            f"{', '.join(keys)} vary together: a list of {len(keys)} values is wanted, "
            f"got {row!r:.60}"
        )
    return {key: option_text(key, value) for key, value in zip(keys, values, strict=True)}


def _combinations(axes: Sequence[GridAxis]) -> tuple[GridCell, ...]:
    """A cell for every combination of steps; the last axis changes fastest."""
    if not axes:
        return ()
    count = math.prod(len(axis.steps) for axis in axes)
    if count > MOST_CELLS:
        raise ValueError(f"has {count:,} combinations, {MOST_CELLS:,} are allowed")
    return tuple(
        GridCell(
            ",".join(step.name for step in steps),
            tuple(step.labels[0] for step in steps),
            {key: text for step in steps for key, text in step.options.items()},
        )
        for steps in product(*(axis.steps for axis in axes))
    )


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


def _baseline(given: Any, axes: Sequence[GridAxis], cells: Sequence[GridCell]) -> GridCell:
    """The cell that ``given`` names, by the labels or the values of its steps."""
    if not isinstance(given, dict):
        given = {axes[0].title: given}
    values = {", ".join(_split_keys(entry)): value for entry, value in given.items()}
    titles = [axis.title for axis in axes]
    if sorted(values) != sorted(titles):
        raise ValueError(f"must name a value of {' and of '.join(titles)}")
    labels = tuple(_step_label(axis, values[axis.title]) for axis in axes)
    return next(cell for cell in cells if cell.labels == labels)


def _step_label(axis: GridAxis, value: Any) -> str:
    for step in axis.steps:
        with suppress(ValueError):  # a label, or values of other types
            if value == step.labels[0] or _step_options(axis.keys, value) == step.options:
                return step.labels[0]
    raise ValueError(f"{axis.title} {value!r} is unknown; choose one of {' | '.join(axis.labels)}")


def _picture_texts(values: Any, axes: Sequence[GridAxis], problems: _Problems) -> dict[str, str]:
    """The section LABELS: options, labels or values of the grid, and protocols, with their texts.

    ``OPTION=VALUE`` names a value that several options have.
    """
    if not isinstance(values, dict):
        problems.append(f"LABELS must hold NAME: TEXT pairs, got {values!r:.60}")
        return {}
    steps = [(axis.title, label) for axis in axes for label in axis.labels]
    known = [axis.title for axis in axes] + [label for _, label in steps]
    known += ["=".join(step) for step in steps] + list(PROTOCOLS)
    for name, text in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            problems.append(
                f"LABELS: {name} is unknown; did you mean {near}? Name an option, a label or a "
                "value of GRID, or a protocol"
            )
        elif isinstance(text, (dict, list)) or not str(text).isprintable() or text in (None, ""):
            problems.append(f"LABELS: {name} needs a line of text, got {text!r:.60}")
    texts = {name: str(text) for name, text in values.items()}
    for axis in axes:
        shown = [texts.get(f"{axis.title}={one}") or texts.get(one, one) for one in {*axis.labels}]
        for text in dict.fromkeys(one for one in shown if shown.count(one) > 1):
            problems.append(f"LABELS: two values of {axis.title} would both be called {text}")
    return texts


def _sbatch_options(values: Any, problems: _Problems) -> dict[str, str]:
    if not isinstance(values, dict):
        problems.append(f"SLURM must hold options of sbatch, got {values!r:.60}")
        return {}
    found = [problems.catch(f"SLURM: {n}", sbatch_option, n, value) for n, value in values.items()]
    return dict(filter(None, found))


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
        raise ValueError("is not a long option of sbatch, such as partition or cpus-per-task")
    if long in EXECUTOR_OPTIONS:
        raise ValueError("is set by the executor")
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


def _folder_text(text: str) -> str:
    """``text`` as part of a folder's name: ``+ SDM`` → ``+_SDM``, ``[96, 48]`` → ``96,48``."""
    text = re.sub(r"[\[\]{}'\"]", "", text).replace(", ", ",")
    return re.sub(r"[^\w.+=,-]+", "_", text).strip("._")


def _split_keys(entry: str) -> tuple[str, ...]:
    """``A, B`` → ``("A", "B")``."""
    return tuple(key.strip() for key in entry.split(","))
