"""SQL filters as users write them: checked before LanceDB sees them, values of the right type."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from vireid.errors import UsageError
from vireid.search.columns import VECTOR, type_name

QUOTED = re.compile(r"('(?:[^']|'')*'|`[^`]*`|\"[^\"]*\")")
# Not < and >: of texts, '10' is less than '7'.
COMPARED = r"(?P<before>(?<![\w.'`])(?:{names})\s*(?:=|<>|!=)\s*)"
NUMBER = r"(?P<value>-?\d+(?:\.\d+)?)(?![\w.'])"
LISTED = r"(?P<before>(?<![\w.'`])(?:{names})\s+(?:not\s+)?in\s*\()(?P<value>[-\d,.\s]+)(?=\))"
TIMED = r"(?<![\w.'`])(?:{names})\s*(?:(?:=|<>|!=|<=|>=|<|>)|(?:not\s+)?between)\s*$"

# Conditions of a thousand operators end the process in LanceDB.
MOST_OPERATORS = 500
OPERATORS = re.compile(
    r"\b(?:and|or|not|is|like|ilike|in|between|when)\b|[^\w\s,.'`\"]", re.IGNORECASE
)
# Functions by which a short condition fills any memory.
GROWING = re.compile(
    r"\b(\w*repeat|[lr]pad|\w*resize|range|generate_series|(regexp_)?replace)\s*\(", re.IGNORECASE
)


def checked_filter(where: str, schema: pa.Schema) -> str:
    """A condition whose values have the types of their columns: ``camid = 3`` works for text, too.

    Args:
        schema: of the gallery.
    Raises:
        UsageError: more than a condition.
    """
    parts = QUOTED.split(where)
    plain = "".join(parts[::2])
    if len(OPERATORS.findall(plain)) > MOST_OPERATORS:
        raise UsageError(f"--where {where!r:.200}: has too many parts; use IN (…) for many values")
    if ";" in plain or "--" in plain or "/*" in plain:
        raise UsageError(
            f"--where {where!r:.200}: must be one condition, without ;, -- and /*, such as "
            "\"camid = '3' AND modality = 'visible'\""
        )
    if "'" in plain or plain.count('"') % 2:
        raise UsageError(f"--where {where!r:.200}: a quotation mark is not closed")
    if not where.strip():
        raise UsageError("--where is empty: name a condition, such as \"camid = '3'\"")
    if found := GROWING.search(plain):
        raise UsageError(f"--where {where!r:.200}: the function {found[1]} cannot be used here")
    _require_balance(where, plain)
    text = _names(schema, pa.types.is_string)
    times = _names(schema, pa.types.is_timestamp)
    parts[::2] = [_quote_numbers(part, text) for part in parts[::2]]
    # LanceDB reads as much as it understands and leaves the rest out; in brackets it must read all.
    return f"({''.join(_mark_times(parts, times))})"


def _require_balance(where: str, plain: str) -> None:
    depth = 0
    for character in plain:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth:
        what = "opened" if depth < 0 else "closed"
        raise UsageError(f"--where {where!r:.200}: a bracket is not {what}")


def _names(schema: pa.Schema, is_kind: object) -> str:
    return "|".join(re.escape(f.name) for f in schema if is_kind(f.type))  # type: ignore[operator]


def _quote_numbers(part: str, names: str) -> str:
    if not names:
        return part
    options = re.IGNORECASE
    part = re.sub(
        COMPARED.format(names=names) + NUMBER,
        lambda found: f"{found['before']}'{found['value']}'",
        part,
        flags=options,
    )
    return re.sub(
        LISTED.format(names=names),
        lambda found: (
            found["before"] + ", ".join(f"'{one.strip()}'" for one in found["value"].split(","))
        ),
        part,
        flags=options,
    )


def _mark_times(parts: list[str], names: str) -> list[str]:
    """Puts ``timestamp`` before the quoted values that times are compared with."""
    if not names:
        return parts
    between = False
    for at in range(1, len(parts), 2):
        before = parts[at - 1]
        found = re.search(TIMED.format(names=names), before, re.IGNORECASE)
        second = between and re.fullmatch(r"\s*and\s*", before, re.IGNORECASE)
        if (found or second) and parts[at].startswith("'"):
            parts[at] = f"timestamp {parts[at]}"
        between = bool(found and found[0].lower().rstrip().endswith("between"))
    return parts


def quoted(text: str) -> str:
    """A text as SQL writes it.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def any_of(column: str, values: Sequence[str]) -> str:
    """The condition that a text column holds one of the values."""
    return f"{column} IN ({', '.join(map(quoted, values))})"


def both(*conditions: str) -> str:
    """The condition that all of them hold; empty ones are left out."""
    return " AND ".join(f"({one})" for one in conditions if one)


def filter_error(where: str, reason: str, schema: pa.Schema) -> UsageError:
    """What is wrong with a filter that LanceDB refuses."""
    columns = ", ".join(f"{f.name} ({type_name(f.type)})" for f in schema if f.name != VECTOR)
    return UsageError(
        f"--where {where!r:.200}: {reason}; the columns are {columns}; text stands in "
        "single quotation marks, a time so: time > '2026-11-29 14:05'"
    )
