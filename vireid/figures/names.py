"""Short names of runs, options and values, for legends, titles and axes."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from vireid.config.schema import OPTIONS

YES, NO = "✓", "–"
SEED, SPLIT = "seed", "split"
# Options that figures name often. Others are named by their last word, or their last two.
OPTION_NAMES = {
    "DISTILL.SCALE_T2": "factor T²",
    "DISTILL.TEMPERATURE": "teacher temperature",
    "DISTILL.WEIGHT": "distillation weight",
    "MODEL.MGIM.ENABLED": "MGIM",
    "MODEL.SDM.ALPHA": "SDM α",
    "MODEL.SDM.BETA": "SDM β",
    "MODEL.SDM.ENABLED": "SDM",
    "MODEL.SDM.TAPS": "SDM taps",
    "SOLVER.BASE_LR": "lr",
    "TEACHER.WEIGHTS": "teacher",
}
_KEPT = {"SDM", "MGIM", "BN", "T2"}  # words that stay in capitals
_LAST = Counter(key.rsplit(".", 1)[-1] for key in OPTIONS)


def option_name(key: str) -> str:
    """An option's name for an axis: its last word, or two where several options share that.

    >>> [option_name(key) for key in ("MODEL.SHARED_DEPTH", "LOSS.TRIPLET.MARGIN")]
    ['shared depth', 'triplet margin']
    """
    if key in OPTION_NAMES:
        return OPTION_NAMES[key]
    words = key.split(".")
    last = words[-1:] if _LAST[words[-1]] < 2 else words[-2:]
    plain = " ".join(last).replace("_", " ").split()
    return " ".join(word if word in _KEPT else word.lower() for word in plain)


def value_text(value: str) -> str:
    """An option's value for an axis: ✓ for true, – for false, others without brackets."""
    return {"true": YES, "false": NO}.get(value, value.strip("[]")) or "none"


def option_text(key: str, value: str) -> str:
    """An option and its value in one.

    >>> option_text("MODEL.SDM.ENABLED", "true"), option_text("MODEL.SHARED_DEPTH", "3")
    ('SDM ✓', 'shared depth 3')
    """
    return f"{option_name(key)} {value_text(value)}"


def short_names(names: Sequence[str]) -> list[str]:
    """Short names of runs or features that still differ, from their paths.

    What all paths share is dropped: folders above and below, the seed and the split. Names of
    folders lose their underscores, ``KEY=VALUE`` is read as an option.

    >>> short_names(["runs/demo/+_SDM/seed0", "runs/demo/MODEL.SDM.ENABLED=true/seed1"])
    ['+ SDM, seed 0', 'SDM ✓, seed 1']
    """
    split = [_split_name(name) for name in names]
    folders = _differing([path for path, _ in split])
    kinds = [k for k in (SPLIT, SEED) if len({numbers.get(k) for _, numbers in split}) > 1]
    found = []
    for folder, (path, numbers) in zip(folders, split, strict=True):
        runs = [f"{kind} {numbers[kind]}" for kind in kinds if kind in numbers]
        parts = [_folder_text(part) for part in folder]
        if not any(parts) and not runs:
            parts = [_folder_text(part) for part in path[-1:]]
        found.append(", ".join(filter(None, ["/".join(parts), *runs])))
    if "" in found or len(set(found)) < len(found):  # "a_b" beside "a b"
        return [str(name) for name in names]
    return found


def _split_name(name: str) -> tuple[list[str], dict[str, str]]:
    """Folders of a path, and the numbers of its seed and split."""
    folders, numbers = [], {}
    for part in name.strip("/").split("/"):
        if found := re.fullmatch(r"(seed|split)(\d+)", part):
            numbers[found[1]] = found[2]
        else:
            folders.append(part)
    return folders, numbers


def _differing(paths: Sequence[Sequence[str]]) -> list[list[str]]:
    """The shortest ends of paths that differ where the paths do, without what all end with."""
    distinct = len({tuple(path) for path in paths})
    if distinct == 1:
        return [list(path[-1:]) for path in paths]
    longest = max(map(len, paths))
    ends = [list(path) for path in paths]
    for length in range(1, longest + 1):
        ends = [list(path[-length:]) for path in paths]
        if len({tuple(end) for end in ends}) == distinct:
            break
    while min(map(len, ends)) > 1 and len({end[-1] for end in ends}) == 1:
        ends = [end[:-1] for end in ends]
    return ends


def _folder_text(name: str) -> str:
    """``+_SDM`` → ``+ SDM``; ``MODEL.SHARED_DEPTH=3,INPUT.SIZE=96,48`` → its options."""
    if "=" not in name:
        return name.replace("_", " ").strip()
    texts: list[str] = []
    for piece in name.split(","):
        key, equals, value = piece.partition("=")
        if equals and key in OPTIONS:
            texts.append(option_text(key, value))
        elif equals or not texts:
            texts.append(piece.replace("_", " "))
        elif re.fullmatch(r"[\d.]+", piece):
            texts[-1] += f",{piece}"  # a further number of a list
        else:
            texts.append(piece.replace("_", " "))
    return ", ".join(texts)


def wrapped(names: Iterable[str], letters: int) -> list[str]:
    """Names in lines of at most so many letters; words that are longer are broken."""
    return ["\n".join(_lines(name, max(letters, 8))) for name in names]


def _lines(name: str, letters: int) -> list[str]:
    return [part for line in name.split("\n") for part in textwrap.wrap(line, letters) or [line]]
