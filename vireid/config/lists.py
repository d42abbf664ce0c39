"""What follows from the table of options: lists of them by effect, and what a value is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vireid.config.option import Effect
from vireid.config.rules import PATH, WEIGHTS
from vireid.config.schema import OPTIONS, WEIGHT_NAMES


def options_of(*effects: Effect) -> tuple[str, ...]:
    """Names of the options with one of these effects, in the table's order."""
    return tuple(key for key, option in OPTIONS.items() if option.effect in effects)


def options_in_names(*effects: Effect) -> tuple[str, ...]:
    """Those of ``options_of`` that names of results and kept features show."""
    return tuple(key for key in options_of(*effects) if OPTIONS[key].in_names)


def options_of_cost() -> tuple[str, ...]:
    """Names of the options that change what a deployed model costs."""
    layers = options_of(Effect.LAYERS, Effect.POOLING, Effect.STUDENTS)
    return tuple(key for key, option in OPTIONS.items() if option.costs or key in layers)


def is_path(key: str, value: Any) -> bool:
    """Whether an option's value names a file or folder."""
    allowed = OPTIONS[key].allowed
    return bool(value) and (allowed is PATH or (allowed is WEIGHTS and value not in WEIGHT_NAMES))


def with_found(now: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Options by dotted names, where what ``auto`` became in a run counts as what was asked for."""
    kept = [k for k in now if (k.endswith(".RANGE") or k == "PRECISION") and now[k] == "auto"]
    return {**now, **{key: found[key] for key in kept if key in found}}
