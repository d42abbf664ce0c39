"""Makes bad input of good: one seeded mutator for bytes, text and trees of values.

Everything is drawn from the generator that is passed in, so that a seed, or hypothesis, which can
play a generator and shrink what it drew, gives the same input again.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Random = random.Random

BYTES = (b"", b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"PK\x03\x04", b"\x93NUMPY")
# What programs that read text have stumbled over.
TEXTS = (
    "",
    " ",
    "\0",
    "\r",
    "\ufeff",
    "\u2028",
    "\ud800",
    "\x1b[31m",
    "٣",
    "é",
    "-1",
    "0",
    "1e999",
    "nan",
    ".inf",
    "9" * 30,
    "9" * 5000,
    "0x7fffffffffffffff",
    "a" * 300,
    "../../etc/passwd",
    "/dev/zero",
    "~nobody_of_this_name/x",
    "%s%n",
    "{0}",
    "${HOME}",
    "'",
    '"',
    ",",
    "\t",
    "\\",
    "*" * 50,
    "[" * 3000,
    "null",
    "true",
    # and what may well be right
    "1",
    "2",
    "3",
    "4",
    "5",
    "0.5",
    "train",
    "test",
    "visible",
    "infrared",
    "sgd",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    float("inf"),
    float("nan"),
    2**31,
    2**63,
    10**400,
    "",
    "x",
    "1",
    [],
    [[]],
    {},
    {"": None},
    [None],
    {"mean": {}},
    1,
    2,
    0.5,
    [1, 2],
)


def mutate_bytes(content: bytes, random: Random, *, times: int = 3) -> bytes:
    """``content`` with up to ``times`` changes: cut, flipped, overwritten, moved or repeated."""
    for _ in range(_number_of(random, times)):
        content = random.choice(_BYTE_CHANGES)(content, random)
    return content


def _number_of(random: Random, times: int) -> int:
    """Most often one: a single change gets farther before it is noticed."""
    return random.randint(1, times) if random.randint(0, 3) == 0 else 1


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randint(0, len(content))]


def _behead(content: bytes, random: Random) -> bytes:
    return content[random.randint(0, min(len(content), 64)) :]


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        if changed:
            changed[_place(changed, random)] ^= 1 << random.randint(0, 7)
    return bytes(changed)


def _overwrite(content: bytes, random: Random) -> bytes:
    at, new = _place(content, random), random.choice(BYTES)
    return content[:at] + new + content[at + len(new) :]


def _insert(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return content[:at] + random.choice(BYTES) + content[at:]


def _remove(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return content[:at] + content[at + random.randint(1, 32) :]


def _repeat(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    piece = content[at : at + random.randint(1, 64)]
    return content[:at] + piece * random.randint(2, 5) + content[at:]


def _number(content: bytes, random: Random) -> bytes:
    """Four bytes become a number at the edge of what they can hold."""
    value = random.choice((0, 1, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1))
    at = _place(content, random)
    return content[:at] + struct.pack(random.choice("<>") + "I", value) + content[at + 4 :]


def _place(content: bytes | bytearray, random: Random) -> int:
    """Where to change something; half of the time near the beginning, where headers are."""
    last = max(0, len(content) - 1)
    return random.randint(0, min(last, 80) if random.randint(0, 1) else last)


_BYTE_CHANGES: Sequence[Callable[[bytes, Random], bytes]] = (
    _cut,
    _behead,
    _flip,
    _flip,
    _overwrite,
    _insert,
    _remove,
    _repeat,
    _number,
    _number,
)


def mutate_text(text: str, random: Random, *, times: int = 3) -> str:
    """``text`` with some of its lines, words or numbers changed."""
    for _ in range(_number_of(random, times)):
        text = random.choice(_TEXT_CHANGES)(text, random)
    return text


def encoded(text: str, random: Random) -> bytes:
    """UTF-8 most of the time; else what editors of other systems save."""
    how = random.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"])
    errors = "surrogatepass" if how.startswith("utf") else "replace"
    return text.encode(how, errors)


def _line(text: str, random: Random) -> str:
    lines = text.split("\n")
    at = random.randint(0, len(lines) - 1)
    how = random.randint(0, 4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, lines[random.randint(0, len(lines) - 1)])
    elif how == 2:
        lines[at] = random.choice(TEXTS)
    elif how == 3:
        lines.insert(at, random.choice(TEXTS))
    else:
        lines[at] = lines[at][: random.randint(0, len(lines[at]))]
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
    if isinstance(tree, dict) and tree and random.randint(0, 4):
        key = random.choice(list(tree))
        how = random.randint(0, 9)
        if how == 0:
            return {k: v for k, v in tree.items() if k != key}
        if how == 1:
            return {(random.choice(TEXTS) if k == key else k): v for k, v in tree.items()}
        return {k: mutate_tree(v, random) if k == key else v for k, v in tree.items()}
    if isinstance(tree, list) and tree and random.randint(0, 4):
        at = random.randint(0, len(tree) - 1)
        how = random.randint(0, 9)
        if how == 0:
            return tree[:at] + tree[at + 1 :]
        if how == 1:
            return tree * random.randint(2, 3)
        return [mutate_tree(v, random) if k == at else v for k, v in enumerate(tree)]
    return random.choice(VALUES + TEXTS)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file with the checksum that belongs to it."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
