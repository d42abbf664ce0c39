"""Makes bad input of good input: one seeded mutator for bytes, text and trees of values.

All choices come from the generator that is passed in, so that a seed always gives the same input.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import yaml

Random = random.Random

BYTES = (b"", b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"PK\x03\x04", b"\x93NUMPY")
TOO_LONG = "9" * 5000  # more digits than Python turns into a number, or prints
# Texts that programs have failed on, and some that may well be right.
TEXTS = (
    *("", " ", "\0", "\r", "\t", "\ufeff", "\u2028", "\ud800", "\x1b[31m", "٣", "é"),
    *("9" * 30, TOO_LONG, "a" * 300, "*" * 50, "[" * 3000),
    *"-1 0 1e999 nan .inf 0x7fffffffffffffff ../../etc/passwd /dev/zero ~no_such_user/x".split(),
    *"%s%n {0} ${HOME} ' \" , \\ null true".split(),
    *"1 2 3 4 5 0.5 train test visible infrared sgd".split(),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 0.5, 1.5, 1e308, float("inf"), float("nan"), 2**31, 2**63, 10**400),
    *("", "x", "1", [], [[]], [None], [1, 2], {}, {"": None}, {"mean": {}}),
)
ODD_JSON = ("[" * 100_000, '{"format":' * 2000, TOO_LONG, "", "NaN", "[]", "{}")


def mutate_bytes(content: bytes, random: Random, *, times: int = 3) -> bytes:
    """``content`` with up to ``times`` changes: cut, flipped, overwritten, moved or repeated."""
    for _ in range(_number_of(random, times)):
        last = max(0, len(content) - 1)
        # half of the time near the beginning, where headers are
        at = random.randint(0, min(last, 80) if random.randint(0, 1) else last)
        content = random.choice(_BYTE_CHANGES)(content[:at], content[at:], random)
    return content


def _number_of(random: Random, times: int) -> int:
    """Most often one: a single change gets farther before it is noticed."""
    return random.randint(1, times) if random.randint(0, 3) == 0 else 1


def _flip(before: bytes, after: bytes, random: Random) -> bytes:
    count = random.choice((1, 1, 2, 8))
    return before + bytes(b ^ 1 << random.randint(0, 7) for b in after[:count]) + after[count:]


def _overwrite(before: bytes, after: bytes, random: Random) -> bytes:
    new = random.choice(BYTES)
    return before + new + after[len(new) :]


def _number(before: bytes, after: bytes, random: Random) -> bytes:
    """Four bytes become a number at the edge of what they can hold."""
    value = random.choice((0, 1, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1))
    return before + struct.pack(random.choice("<>") + "I", value) + after[4:]


_BYTE_CHANGES: Sequence[Callable[[bytes, bytes, Random], bytes]] = (
    lambda before, after, random: before,
    lambda before, after, random: after,
    lambda before, after, random: before + random.choice(BYTES) + after,
    lambda before, after, random: before + after[random.randint(1, 32) :],
    lambda before, after, random: (
        before + after[: random.randint(1, 64)] * random.randint(1, 4) + after
    ),
    *(_flip, _flip, _overwrite, _number, _number),
)


def mutate_text(text: str, random: Random, *, times: int = 3) -> str:
    """``text`` with some of its lines, words or characters changed."""
    for _ in range(_number_of(random, times)):
        text = random.choice(_TEXT_CHANGES)(text, random)
    return text


def _line(text: str, random: Random) -> str:
    """A line is lost, repeated elsewhere, replaced, added or cut."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    length = random.randint(0, len(lines[at]))
    changes = ([], [random.choice(lines), lines[at]], [random.choice(TEXTS)],
               [random.choice(TEXTS), lines[at]], [lines[at][:length]])  # fmt: skip
    lines[at : at + 1] = random.choice(changes)
    return "\n".join(lines)


def _word(text: str, random: Random) -> str:
    """One piece between separators becomes something else."""
    at = random.randint(0, len(text))
    start = max(text.rfind(mark, 0, at) for mark in " ,/:\n_") + 1
    ends = [end for mark in " ,/:\n_" if (end := text.find(mark, at)) >= 0]
    return text[:start] + random.choice(TEXTS) + text[min(ends, default=len(text)) :]


def _character(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice(TEXTS) + text[at + random.randint(0, 2) :]


def _raw(text: str, random: Random) -> str:
    return mutate_bytes(text.encode("utf-8", "replace"), random).decode("latin-1")


_TEXT_CHANGES: Sequence[Callable[[str, Random], str]] = (_line, _word, _word, _character, _raw)


def mutate_tree(tree: Any, random: Random) -> Any:
    """A tree of dictionaries, lists and values with one place changed; the given one stays."""
    if not isinstance(tree, (dict, list)) or not tree or not random.randint(0, 4):
        return random.choice(VALUES + TEXTS)
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    at, how = random.randrange(len(items)), random.randint(0, 9)
    key, value = items[at]
    if how == 0:
        del items[at]
    elif how == 1 and isinstance(tree, dict):
        items[at] = random.choice(TEXTS), value
    elif how == 1:
        items.insert(at, items[at])
    else:
        items[at] = key, mutate_tree(value, random)
    return dict(items) if isinstance(tree, dict) else [value for _, value in items]


def encoded(text: str, random: Random) -> bytes:
    """UTF-8 most of the time; else an encoding that editors of other systems save."""
    how = random.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"])
    return text.encode(how, "surrogatepass" if how.startswith("utf") else "replace")


def as_bytes(tree: Any, dump: Callable[[Any], str] = json.dumps) -> bytes:
    """The content of a JSON (or YAML) file; a long number where Python cannot print a value."""
    try:
        text = dump(tree)
    except (ValueError, yaml.YAMLError):
        text = TOO_LONG
    return text.encode("utf-8", "surrogatepass")


def mutate_json(tree: Any, random: Random) -> bytes:
    """The content of a JSON file in which a value or bytes change, or nothing is right."""
    how = random.randint(0, 5)
    if how == 0:
        return random.choice(ODD_JSON).encode()
    if how == 1:
        return mutate_bytes(as_bytes(tree), random)
    return as_bytes(mutate_tree(tree if how < 5 else mutate_tree(tree, random), random))
