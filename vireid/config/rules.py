"""What the values of options must satisfy, each rule with the words that say it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vireid.utils.paths import path_problem

MIN_SIDE = 32  # pixels: OSNet's stride is 16, and a map of one row or column has nothing to pool


@dataclass(frozen=True, slots=True)
class Rule:
    """What the value of an option must satisfy.

    Args:
        words: what it must be, for messages and the documentation.
        problem: value → what is wrong with it; empty when nothing is.
    """

    words: str
    problem: Callable[[Any], str]


def _rule(words: str, holds: Callable[[Any], bool]) -> Rule:
    # `math.inf` by comparison: `isfinite` fails for whole numbers of more than 308 digits
    return Rule(words, lambda v: "" if holds(v) and v != math.inf else f"must be {words}")


def _pattern_problem(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"must be a regular expression with one group ({error})"
    if groups == 1 or not pattern:
        return ""
    return (
        f"must be a regular expression with one group (…), the camera's name, and has {groups}; "
        "parentheses that are no group are written (?:…)"
    )


ANY = Rule("", lambda value: "")
PATH = Rule("", path_problem)
BELOW_ROOT = Rule("", path_problem)  # relative to the data set's folder, so not made absolute
WEIGHTS = Rule("", path_problem)  # a path, or one of schema.WEIGHT_NAMES
PATTERN = Rule("", _pattern_problem)
POSITIVE = _rule("greater than 0", lambda v: v > 0)
NOT_NEGATIVE = _rule("0 or more", lambda v: v >= 0)
SHARE = _rule("between 0 and 1", lambda v: 0 <= v <= 1)
DECAY = _rule("0 or more and less than 1", lambda v: 0 <= v < 1)
SHARE_OR_NEGATIVE = _rule("at most 1", lambda v: v <= 1)
SEEDS = _rule("0 to 4294967295, the seeds of numpy", lambda v: 0 <= v < 2**32)
SEVERITY = _rule("0 to 5", lambda v: 0 <= v <= 5)
TRIALS = _rule("one of the splits 1 to 10", lambda v: 1 <= v <= 10)
DEPTH = _rule("0 (two backbones) to 5 (one stream)", lambda v: 0 <= v <= 5)
AT_LEAST_2 = _rule("at least 2", lambda v: v >= 2)  # attention halves it
SIZE = _rule(
    f"[height, width] of at least {MIN_SIDE} pixels each",
    lambda v: len(v) == 2 and min(v) >= MIN_SIDE,
)
MEAN = _rule(
    "three numbers between 0 and 1", lambda v: len(v) == 3 and all(0 <= one <= 1 for one in v)
)
STD = _rule(
    "three positive numbers", lambda v: len(v) == 3 and all(0 < one < math.inf for one in v)
)
RANGE = _rule(
    "auto, percentile, or [value that becomes black, larger value that becomes white]",
    lambda v: (
        v in ("auto", "percentile")
        if isinstance(v, str)
        else len(v) == 2 and -math.inf < v[0] < v[1] < math.inf
    ),
)
COLOUR = _rule(
    "a colour [red, green, blue] of whole numbers from 0 to 255",
    lambda v: len(v) == 3 and all(0 <= one <= 255 for one in v),
)
AREA = _rule(
    "[smallest, largest] share of the image", lambda v: len(v) == 2 and 0 < v[0] <= v[1] <= 1
)
ANGLE = _rule("0 to 180 degrees", lambda v: 0 <= v <= 180)
JITTER = _rule(
    "one to four numbers that are not negative, the fourth, of the hue, at most 0.5",
    lambda v: (
        1 <= len(v) <= 4 and all(0 <= one < math.inf for one in v) and max(v[3:], default=0) <= 0.5
    ),
)
INFRARED_JITTER = _rule(
    "one or two numbers, of brightness and contrast, or -1",
    lambda v: v == [-1] or (1 <= len(v) <= 2 and all(0 <= one < math.inf for one in v)),
)
ASCENDING = _rule(
    "ascending epochs from 1", lambda v: v == sorted(set(v)) and min(v, default=1) >= 1
)
STRIPES = _rule(
    "different numbers of stripes, at least one",
    lambda v: bool(v) and min(v) >= 1 and len(set(v)) == len(v),
)
