"""Names of options as people write them in files, and their values as texts."""

from __future__ import annotations

import difflib
from typing import Any

from vireid.config.schema import OPTIONS
from vireid.config.values import coerce, override_text


def unknown_key(key: str) -> str:
    """The message about an option that does not exist: the nearest one, or those of a group."""
    members = [name for name in OPTIONS if name.startswith(f"{key}.")]
    if members:
        return f"{key} is a group, not an option; its options are {', '.join(members)}"
    (near,) = difflib.get_close_matches(key[:100].upper(), OPTIONS, n=1, cutoff=0.0)
    return f"unknown key {key:.100}; did you mean {near}?"


def option_text(key: str, value: Any) -> str:
    """An option's value as on the command line.

    Raises:
        ValueError: there is no such option, or it cannot have this value.
    """
    if key not in OPTIONS:
        raise ValueError(unknown_key(key))
    try:
        return override_text(coerce(value, OPTIONS[key].default))
    except ValueError as error:
        raise ValueError(f"{key} {error}, got {value!r:.200}") from None
