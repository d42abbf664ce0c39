"""Whole numbers for identities that a data set or a file of features gives as text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vireid.structures import DISTRACTOR, is_junk

LARGEST = 2**63 - 1  # of int64, which features.npz holds


def number_identities(
    names: Iterable[str], *, zeros_differ: bool = False
) -> tuple[dict[str, int], tuple[str, ...]]:
    """A number for every name: the same for the same names, whatever their order.

    If all names are whole numbers, they keep these numbers. Otherwise junk and distractors (see
    ``unidentified``) keep theirs, and all other names are counted from 1 in the order of their
    characters.

    Args:
        zeros_differ: ``007`` and ``7`` are two identities, so a set with both has names.
    Returns:
        name → number, and the names that were counted.
    """
    unique = sorted(set(names))
    numbers = whole_numbers(unique)
    if len(numbers) == len(unique) == len(set(numbers.values() if zeros_differ else unique)):
        return numbers, ()
    apart = unidentified(numbers.values())
    kept = {name: pid for name, pid in numbers.items() if pid in apart}
    named = tuple(name for name in unique if name not in kept)
    return kept | counted(named), named


def unidentified(pids: Iterable[int]) -> set[int]:
    """Those of a set's identities that are not a known person, so that nothing is learnt.

    These are junk (negative numbers) and, in a set that numbers junk, distractors (0), as in
    Market-1501. The test keeps their images: the protocol decides what happens to them.
    """
    junk = {pid for pid in pids if is_junk(pid)}
    return junk | {DISTRACTOR} if junk else junk


def whole_numbers(names: Iterable[str]) -> dict[str, int]:
    """The names that are whole numbers which features.npz can hold.

    int() would also take 1_000 and other scripts' digits.
    """
    return {
        name: int(name)
        for name in names
        if re.fullmatch("-?[0-9]{1,19}", name) and abs(int(name)) <= LARGEST
    }


def counted(names: Iterable[str]) -> dict[str, int]:
    """The names numbered from 1."""
    return {name: number for number, name in enumerate(names, start=1)}
