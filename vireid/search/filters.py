"""SQL filters as users write them: checked before LanceDB sees them, values of the right type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

import pyarrow as pa

from vireid.errors import UsageError
from vireid.search.columns import VECTOR, type_name

FORBIDDEN = re.compile(r"[;?$]|--|/\*|(?<!:):(?!:)")  # also places for values: ?, $1 and :name
LONGEST, LONGEST_QUOTED = 5_000, 1_000_000  # characters; LanceDB may end the process from 10⁵ on
DEEPEST = 30  # brackets within one another; LanceDB takes minutes from some 45 on
# Symbols and words that combine values; from some 1,000 on, LanceDB ends the process.
MOST_OPERATORS = 500
OPERATORS = re.compile(
    r"\b(?:and|or|not|is|like|ilike|in|between|when)\b|[^\w\s,.'`\"]", re.IGNORECASE
)
# Functions by which a short condition fills any memory.
GROWING = re.compile(
    r"\b(\w*repeat|[lr]pad|\w*resize|range|generate_series|(?:regexp_)?replace)\s*\(", re.IGNORECASE
)
NAMED = 30  # columns in a message
QUOTED = re.compile(r"('(?:[^']|'')*'|`[^`]*`|\"[^\"]*\")")
# Not for < and >, by which text is compared letter by letter: '10' < '7'.
COMPARED = r"(?P<before>(?<![\w.'`])(?:{names})\s*(?:=|<>|!=)\s*)"
NUMBER = r"(?P<value>-?\d+(?:\.\d+)?)(?![\w.'])"
LISTED = r"(?P<before>(?<![\w.'`])(?:{names})\s+(?:not\s+)?in\s*\()(?P<value>[-\d,.\s]+)(?=\))"
TIMED = r"(?<![\w.'`])(?:{names})\s*(?:(?:=|<>|!=|<=|>=|<|>)|(?:not\s+)?between)\s*$"


def checked_filter(where: str, schema: pa.Schema) -> str:
    """A condition whose values have the types of their columns: ``camid = 3`` works for text, too.

    Args:
        schema: of the gallery.
    Raises:
        UsageError: more than a condition.
    """
    parts = QUOTED.split(where)
    plain = "".join(parts[::2])
    if FORBIDDEN.search(plain):
        raise UsageError(
            f"--where {where!r:.200}: must be one condition, without comments and any of ; ? $, "
            "such as \"camid = '3' AND modality = 'visible'\""
        )
    if len(plain) > LONGEST or len(where) > LONGEST_QUOTED:
        raise UsageError(
            f"--where {where!r:.100}: has {len(where):,} characters; {LONGEST:,} may be outside of "
            "quotation marks: use IN, or split it"
        )
    if len(OPERATORS.findall(plain)) > MOST_OPERATORS:
        raise UsageError(f"--where {where!r:.200}: has too many parts; use IN for many values")
    if found := GROWING.search(plain):
        raise UsageError(f"--where {where!r:.200}: the function {found[1]} cannot be used here")
    depths = [0, *accumulate((mark == "(") - (mark == ")") for mark in plain)]
    if depths[-1] or min(depths) < 0 or max(depths) > DEEPEST:
        raise UsageError(
            f"--where {where!r:.100}: brackets do not match, or are more than {DEEPEST} deep"
        )
    if "'" in plain or plain.count('"') % 2:
        raise UsageError(f"--where {where!r:.200}: a quotation mark is not closed")
    if not where.strip():
        raise UsageError("--where is empty: name a condition, such as \"camid = '3'\"")
    text = _names(schema, pa.types.is_string)
    times = _names(schema, pa.types.is_timestamp)
    parts[::2] = [_quote_numbers(part, text) for part in parts[::2]]
    return "".join(_mark_times(parts, times))


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
    named = [f"{f.name} ({type_name(f.type)})" for f in schema if f.name != VECTOR]
    columns = ", ".join(named[:NAMED]) + ", …" * (len(named) > NAMED)
    return UsageError(
        f"--where {where!r:.200}: {reason}; the columns are {columns}; put text and times between "
        "single quotation marks"
    )
