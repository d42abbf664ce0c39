"""Files, environment and command line → a checked, frozen configuration.

Precedence: defaults < ``_BASE_`` < file < ``VIREID_DATA`` (DATA.ROOT only) < command line.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from vireid.config.expected import take_expected
from vireid.config.lists import is_path
from vireid.config.names import unknown_key
from vireid.config.option import nested
from vireid.config.schema import OPTIONS, default_config
from vireid.config.validate import find_problems
from vireid.config.values import coerce, parse_override, parse_yaml, read_yaml
from vireid.errors import ConfigError, UsageError
from vireid.utils.paths import expand, path_problem

BASE_KEY = "_BASE_"
SHIPPED = "configs"  # folder of the config files that come with the project
Choices = Mapping[str, Collection[str]]  # option → allowed names; see vireid.runs.options.choices


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    choices: Choices | None = None,
    environment: Mapping[str, str] | None = None,
) -> CfgNode:
    """Resolves a configuration and freezes it.

    Args:
        path: YAML file, or ``None`` for the defaults alone; see ``find_config``.
        overrides: ``[KEY, VALUE, KEY, VALUE, ...]`` from the command line.
        choices: names that the tables of other packages allow; without it those options may have
            any name.
        environment: where ``VIREID_DATA`` is looked up; the process's own by default.
    Raises:
        ConfigError: one message with *all* the problems found.
    """
    environment = os.environ if environment is None else environment
    values, problems = flatten(default_config()), []
    for file, tree in _file_chain(find_config(Path(path))) if path else []:
        pairs = list(leaves(tree))
        counts = Counter(key for key, _ in pairs)  # "A.B: 1" beside "A: {B: 2}" is one key twice
        found = [f"{key} is given twice" for key, count in counts.items() if count > 1]
        found += _merge(values, pairs, coerce)
        problems += [f"{file}: {problem}" for problem in found]
    if environment.get("VIREID_DATA"):
        values["DATA.ROOT"] = environment["VIREID_DATA"]
    problems += _merge_overrides(values, overrides)
    return _finish(values, problems, choices, source=str(path) if path else "the defaults")


def parse_config(text: str, *, source: str, choices: Choices | None = None) -> CfgNode:
    """The frozen configuration in a text that ``dump_config`` made, as a checkpoint holds it.

    Options that are younger than the text have their defaults.

    Args:
        source: where the text is from, for messages.
    Raises:
        UsageError: the text, or an option in it, cannot be used.
    """
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"the configuration {source} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"the configuration {source} must hold KEY: VALUE pairs")
    values = flatten(default_config())
    problems = _merge(values, leaves(tree), coerce)
    return _finish(values, problems, choices, source=source)


def apply_overrides(
    cfg: CfgNode, overrides: Sequence[str], *, choices: Choices | None = None
) -> CfgNode:
    """A frozen copy of ``cfg`` with ``KEY VALUE`` pairs applied; ``cfg`` itself stays as it is.

    Raises:
        ConfigError: one message with all the problems found.
    """
    values = flatten(cfg)
    problems = _merge_overrides(values, overrides)
    return _finish(values, problems, choices, source="the overrides")


def dump_config(cfg: CfgNode) -> str:
    """YAML text of every option; loading it again gives an equal configuration."""
    return cfg.dump(sort_keys=False, default_flow_style=None)


def absolute_paths(cfg: CfgNode) -> CfgNode:
    """A frozen copy whose paths mean the same in any working folder."""
    copy = nested(absolute_values(flatten(cfg)))
    copy.freeze()
    return copy


def absolute_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options by dotted names, with absolute paths."""
    return {
        key: str(expand(value).absolute()) if key in OPTIONS and is_path(key, value) else value
        for key, value in values.items()
    }


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``{"A": {"B": 1}}``, or such a node → ``{"A.B": 1}``; an empty group stays a key."""
    return dict(leaves(tree))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; a name comes twice when both spellings of it are there."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def shipped_folder() -> Path:
    """``configs/``: inside the package once that was built, beside it in the repository."""
    package = Path(__file__).resolve().parents[1]
    built = package / SHIPPED
    return built if built.is_dir() else package.parent / SHIPPED


def find_config(path: Path) -> Path:
    """``path``, or the shipped file of that name where there is no such file.

    Args:
        path: as the user named it; ``configs/demo.yaml`` may be a shipped one, other folders and
            absolute paths are only themselves.
    """
    if path.parts[:1] != (SHIPPED,) or ".." in path.parts or _may_exist(path):
        return path
    shipped = shipped_folder().joinpath(*path.parts[1:])
    return shipped if _may_exist(shipped) else path


def _may_exist(path: Path) -> bool:
    """False only for a path that is certainly free; reading any other gives the better message."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return True


def _file_chain(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The file and its bases, the deepest base first."""
    chain: list[tuple[Path, dict[str, Any]]] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UsageError(f"{path}: {BASE_KEY} leads back to a file that is already being read")
        seen.append(path.resolve())
        tree = read_yaml(path)
        base = tree.pop(BASE_KEY, None)
        take_expected(tree, path)  # checked, and no option
        chain.insert(0, (path, tree))
        if base is None:
            return chain
        problem = path_problem(base) if isinstance(base, str) else "must be a file name"
        if problem:
            raise UsageError(f"{path}: {BASE_KEY} {problem}, got {base!r:.60}")
        # relative to the file that names it, or else one that came with the project
        base = expand(base)
        beside, shipped = path.parent / base, find_config(base)
        path = beside if shipped == base or _may_exist(beside) else shipped


def _merge_overrides(values: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    if len(overrides) % 2:
        return [f"overrides must be KEY VALUE pairs, but {overrides[-1]!r} has no value"]
    return _merge(values, zip(overrides[::2], overrides[1::2], strict=True), parse_override)


def _merge(
    values: dict[str, Any], pairs: Iterable[tuple[str, Any]], convert: Callable[[Any, Any], Any]
) -> list[str]:
    """Sets every option that can be set; one line for each that cannot."""
    problems = []
    for key, value in pairs:
        if key not in OPTIONS:
            problems.append(unknown_key(key))
            continue
        try:
            values[key] = convert(value, OPTIONS[key].default)
        except ValueError as error:
            problems.append(f"{key} {error}, got {value!r:.200}")
    return problems


def _finish(
    values: Mapping[str, Any], problems: list[str], choices: Choices | None, source: str
) -> CfgNode:
    cfg = nested(values)
    problems = problems + find_problems(cfg, values, choices or {})
    if problems:  # a value of a wrong type was never set, so that its default was checked
        raise ConfigError(f"configuration ({source}) has problems", problems)
    cfg.freeze()
    return cfg
