"""Results that a configuration is known to reach: the key EXPECTED of config and sweep files.

``benchmarks/expected.py`` trains them again and compares. The key is no option: it is taken out of
a file before its options are read, and a file does not inherit that of its base.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.config.names import option_text
from vireid.config.values import coerce, read_yaml
from vireid.errors import UsageError

EXPECTED_KEY = "EXPECTED"
RENDERED, ROADSCENE, WEIGHTS = NEEDS = ("rendered", "roadscene", "weights")
REQUIRED = ("NAME", "SEEDS", "NEEDS", "COMMIT", "MINUTES", "SCORES")
SET_BY_NEEDS = ("SEED", "OUTPUT_DIR", "DATA.ROOT")  # by SEEDS, the command line and NEEDS
NAME = re.compile(r"[A-Za-z0-9][\w.+=-]*")  # also a folder's name


@dataclass(frozen=True, slots=True)
class ExpectedScore:
    """A score as it was measured, in per cent.

    Args:
        mean: over the seeds.
        sd: sample standard deviation over the seeds; None of a single one.
        tolerance: how far, in points, a mean over as many seeds may be from this one.
    """

    mean: float
    sd: float | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class ExpectedResult:
    """One entry: how a configuration was trained, and the scores that it had.

    Args:
        file: the config or sweep file that holds the entry.
        cell: of a sweep, by its labels as ``"A | B"``; empty in a config file.
        options: KEY → VALUE over the file's, as on the command line.
        needs: what must be there besides the project, of NEEDS.
        commit: of the project when it was measured.
        minutes: about how long all seeds take on one core.
        scores: by protocol and metric.
    """

    file: Path
    name: str
    cell: str
    options: Mapping[str, str]
    seeds: tuple[int, ...]
    needs: tuple[str, ...]
    commit: str
    minutes: float
    scores: Mapping[tuple[str, str], ExpectedScore]


def read_expected(file: Path) -> tuple[ExpectedResult, ...]:
    """The entries of a config or sweep file; see ``take_expected``."""
    return take_expected(read_yaml(file), file)


def take_expected(tree: dict[str, Any], file: Path) -> tuple[ExpectedResult, ...]:
    """Removes the key EXPECTED from what a file holds, and returns its entries.

    Raises:
        UsageError: an entry cannot be used; names the file and the entry.
    """
    entries = tree.pop(EXPECTED_KEY, None)
    if entries is None:
        return ()
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{file}: {EXPECTED_KEY} must be a list of results, got {entries!r:.60}")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_result(entry, file, is_sweep="GRID" in tree))
        except ValueError as error:
            name = entry.get("NAME", number) if isinstance(entry, dict) else number
            raise UsageError(f"{file}: {EXPECTED_KEY} {name!s:.60}: {error}") from None
    return tuple(found)


def _result(entry: Any, file: Path, *, is_sweep: bool) -> ExpectedResult:
    if not isinstance(entry, dict):
        raise ValueError(f"must hold {', '.join(REQUIRED)}, got {entry!r:.60}")
    required = (*REQUIRED, *(["CELL"] if is_sweep else []))
    for key in required:
        if key not in entry:
            raise ValueError(f"{key} is missing")
    for key in entry:
        if key not in (*required, "OPTIONS"):
            raise ValueError(f"unknown key {key}; there are {', '.join((*required, 'OPTIONS'))}")
    name, commit = (_text(key, entry[key]) for key in ("NAME", "COMMIT"))
    if not NAME.fullmatch(name):
        raise ValueError(f"NAME must also do as a folder's name, got {name!r:.60}")
    return ExpectedResult(
        file=file,
        name=name,
        cell=_text("CELL", entry["CELL"]) if is_sweep else "",
        options=_options(entry.get("OPTIONS", {})),
        seeds=_seeds(entry["SEEDS"]),
        needs=_needs(entry["NEEDS"]),
        commit=commit,
        minutes=_number("MINUTES", entry["MINUTES"]),
        scores=_scores(entry["SCORES"]),
    )


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be text (in quotes where it is digits), got {value!r:.60}")
    return value


def _options(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"OPTIONS must hold KEY: VALUE pairs, got {value!r:.60}")
    for key in SET_BY_NEEDS:
        if key in value:
            raise ValueError(f"OPTIONS: {key} is set by SEEDS, NEEDS and --out")
    return {key: option_text(key, one) for key, one in value.items()}


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = value if isinstance(value, list) else []
    whole = all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(f"SEEDS must be a list of different whole numbers, got {value!r:.60}")
    return tuple(seeds)


def _needs(value: Any) -> tuple[str, ...]:
    needs = value if isinstance(value, list) else [value]
    if not needs or not all(isinstance(one, str) and one in NEEDS for one in needs):
        raise ValueError(f"NEEDS must be a list of {', '.join(NEEDS)}, got {value!r:.60}")
    if (RENDERED in needs) == (ROADSCENE in needs):
        raise ValueError(f"NEEDS must name one of {RENDERED} and {ROADSCENE}, got {value!r:.60}")
    return tuple(needs)


def _number(key: str, value: Any, most: float = math.inf) -> float:
    number = math.nan
    with suppress(ValueError):
        number = float(coerce(value, 0.0))  # YAML's 58.20 is text here
    if not 0 <= number <= most or number == math.inf:
        limit = "from 0 on" if most == math.inf else f"from 0 to {most:g}"
        raise ValueError(f"{key} must be a number {limit}, got {value!r:.60}")
    return number


def _scores(value: Any) -> dict[tuple[str, str], ExpectedScore]:
    protocols = value if isinstance(value, dict) else {}
    found = {}
    for protocol, metrics in protocols.items():
        for metric, score in metrics.items() if isinstance(metrics, dict) else ():
            found[protocol, metric] = _score(f"SCORES: {protocol} {metric}", score)
    if not found or not all(isinstance(one, dict) and one for one in protocols.values()):
        raise ValueError(f"SCORES must hold metrics by protocol, got {value!r:.60}")
    return found


def _score(where: str, value: Any) -> ExpectedScore:
    keys = set(value) if isinstance(value, dict) else set()
    if not {"mean", "tolerance"} <= keys <= {"mean", "sd", "tolerance"}:
        raise ValueError(f"{where} must hold mean, sd and tolerance, got {value!r:.60}")
    sd = _number(f"{where} sd", value["sd"], 100) if "sd" in value else None
    mean, tolerance = (_number(f"{where} {k}", value[k], 100) for k in ("mean", "tolerance"))
    return ExpectedScore(mean, sd, tolerance)
