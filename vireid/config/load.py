"""The one boundary where options are read: files, environment and command line → a frozen node.

Precedence: defaults < ``_BASE_`` < file < ``VIREID_DATA`` (DATA.ROOT only) < command line.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from vireid.config.coerce import coerce, parse_override
from vireid.config.schema import default_config
from vireid.config.shipped import exists, find_config
from vireid.config.validate import find_problems
from vireid.config.yaml_reader import parse_yaml, read_yaml
from vireid.errors import ConfigError, UsageError
from vireid.utils.paths import path_problem

BASE_KEY = "_BASE_"


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    choices: Mapping[str, Collection[str]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> CfgNode:
    """Resolves a configuration and freezes it.

    Args:
        path: YAML file, or ``None`` for the defaults alone; see :func:`find_config`.
        overrides: ``[KEY, VALUE, KEY, VALUE, ...]`` from the command line.
        choices: allowed names of options whose tables live in other packages, by key.
        environment: where ``VIREID_DATA`` is looked up; the process's own by default.
    Raises:
        ConfigError: one message with *all* the problems found.
    """
    environment = os.environ if environment is None else environment
    cfg, problems = default_config(), []
    for file, values in _file_chain(find_config(Path(path))) if path else []:
        problems += _merge_file(cfg, values, file)
    if environment.get("VIREID_DATA"):
        cfg.DATA.ROOT = environment["VIREID_DATA"]
    problems += _merge_overrides(cfg, overrides)
    return _finish(cfg, problems, choices or {}, source=str(path) if path else "the defaults")


def parse_config(
    text: str, *, source: str, choices: Mapping[str, Collection[str]] | None = None
) -> CfgNode:
    """The frozen configuration in a text that :func:`dump_config` made, as a checkpoint holds it.

    Options that are younger than the text have their defaults.

    Args:
        source: where the text is from, for messages.
    Raises:
        UsageError: the text, or an option in it, cannot be used.
    """
    cfg = default_config()
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"the configuration {source} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"the configuration {source} must hold KEY: VALUE pairs")
    problems = _merge(cfg, leaves(values), coerce, "")
    return _finish(cfg, problems, choices or {}, source=source)


def apply_overrides(
    cfg: CfgNode,
    overrides: Sequence[str],
    *,
    choices: Mapping[str, Collection[str]] | None = None,
) -> CfgNode:
    """A frozen copy of ``cfg`` with ``KEY VALUE`` pairs applied; ``cfg`` itself stays as it is.

    Raises:
        ConfigError: one message with all the problems found.
    """
    changed = cfg.clone()
    changed.defrost()
    problems = _merge_overrides(changed, overrides)
    return _finish(changed, problems, choices or {}, source="the overrides")


def dump_config(cfg: CfgNode) -> str:
    """YAML text of every option; loading it again gives an equal configuration."""
    return yaml.safe_dump(to_dict(cfg), sort_keys=False, default_flow_style=None)


def to_dict(cfg: CfgNode) -> dict[str, Any]:
    """The node as plain nested dictionaries."""
    return {k: to_dict(v) if isinstance(v, CfgNode) else v for k, v in cfg.items()}


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``{"A": {"B": 1}}`` → ``{"A.B": 1}``; an empty group stays a key of its own."""
    return dict(leaves(tree))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; a name comes twice when both spellings of it are there."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _finish(
    cfg: CfgNode, problems: list[str], choices: Mapping[str, Collection[str]], source: str
) -> CfgNode:
    problems = problems + find_problems(cfg, choices)  # a value of a wrong type was never set
    if problems:
        raise ConfigError(f"configuration ({source}) has problems", problems)
    cfg.freeze()
    return cfg


def _file_chain(path: Path) -> list[tuple[Path, dict]]:
    """The file and its bases, the deepest base first."""
    chain: list[tuple[Path, dict]] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UsageError(f"{path}: {BASE_KEY} leads back to a file that is already being read")
        seen.append(path.resolve())
        values = read_yaml(path)
        base = values.pop(BASE_KEY, None)
        chain.insert(0, (path, values))
        if base is None:
            return chain
        if not isinstance(base, str):
            raise UsageError(f"{path}: {BASE_KEY} must be a file name, got {base!r:.60}")
        if problem := path_problem(base):
            raise UsageError(f"{path}: {BASE_KEY} {problem}, got {base!r:.60}")
        path = _base_file(path, Path(base).expanduser())


def _base_file(path: Path, base: Path) -> Path:
    """Relative to the file that names it, or else one that came with the project."""
    beside, shipped = path.parent / base, find_config(base)
    return beside if shipped == base or exists(beside) else shipped


def _merge_file(cfg: CfgNode, values: Mapping[str, Any], file: Path) -> list[str]:
    pairs = list(leaves(values))
    counts = Counter(key for key, _ in pairs)  # "A.B: 1" beside "A: {B: 2}" is one key twice
    twice = [f"{file}: {key} is given twice" for key, count in counts.items() if count > 1]
    return twice + _merge(cfg, pairs, coerce, f"{file}: ")


def _merge_overrides(cfg: CfgNode, overrides: Sequence[str]) -> list[str]:
    if len(overrides) % 2:
        return [f"overrides must be KEY VALUE pairs, but {overrides[-1]!r} has no partner"]
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    return _merge(cfg, pairs, parse_override, "")


def _merge(
    cfg: CfgNode,
    pairs: Iterable[tuple[str, Any]],
    convert: Callable[[Any, Any], Any],
    where: str,
) -> list[str]:
    """Sets every option that can be set; one line for each that cannot."""
    defaults = flatten(to_dict(default_config()))
    problems = []
    for key, value in pairs:
        if key not in defaults:
            problems.append(where + unknown_key(key, defaults))
            continue
        try:
            _set(cfg, key, convert(value, defaults[key]))
        except ValueError as error:
            problems.append(f"{where}{key} {error}, got {value!r:.200}")
    return problems


def _set(cfg: CfgNode, key: str, value: Any) -> None:
    *groups, leaf = key.split(".")
    for group in groups:
        cfg = cfg[group]
    cfg[leaf] = value


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of an option that does not exist: the nearest one, or those of a group."""
    known = list(known)
    by_case = {name.upper(): name for name in known}
    groups = [name for name in known if name.startswith(f"{key}.")]
    if groups:
        return f"{key} is a group, not an option; its options are {', '.join(groups)}"
    near = difflib.get_close_matches(key[:100].upper(), by_case, n=1, cutoff=0.0)
    return f"unknown key {key:.100}; did you mean {by_case[near[0]]}?"
