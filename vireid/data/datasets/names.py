"""Numbers for the identities and cameras of sets that name them, and what the names are like."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from vireid.structures import DISTRACTOR, ImageRecord, is_junk
from vireid.utils.identities import counted, whole_numbers

SHOWN = 5  # names in a message
NO_NAMES = {
    "?",
    "-",
    "na",
    "n/a",
    "nan",
    "nil",
    "none",
    "null",
    "unknown",
    "unlabeled",
    "unlabelled",
    "junk",
    "distractor",
    "distractors",
}


def composed(text: str) -> str:
    """The name in Unicode's composed form: systems differ in how they store letters with marks."""
    return unicodedata.normalize("NFC", text)


def number_cameras(names: Iterable[str]) -> dict[str, int]:
    """A number from 1 for every camera; names that are all whole numbers from 1 stay these."""
    unique = sorted(set(names))
    numbers = whole_numbers(unique)
    stay = len(numbers) == len(unique) and min(numbers.values(), default=1) >= 1
    return numbers if stay else counted(unique)


def names_by_number(numbers: Mapping[str, int]) -> dict[int, str]:
    """The first name of every number, by number; those of junk are left out."""
    found: dict[int, str] = {}
    for name, number in sorted(numbers.items(), key=lambda pair: (pair[1], pair[0])):
        if number >= 0:
            found.setdefault(number, name)
    return found


def label_of(pid: int, names: Mapping[int, str]) -> int | str:
    """What messages call an identity: its name where that is another than its number."""
    name = names.get(pid, "")
    return pid if re.fullmatch(f"0*{pid}", name) or not name else name


def alike(numbers: Mapping[str, int], what: str) -> Iterator[str]:
    """One line for each group of names that a reader could take for one name.

    Args:
        numbers: name → number; of two names with one number the line says that they are one.
        what: identity or camera.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(numbers):
        groups[_simplified(name)].append(name)
    for names in groups.values():
        if len(names) > 1:
            listed = ", ".join(map(repr, names[:SHOWN])) + (" …" if len(names) > SHOWN else "")
            count = len({numbers[name] for name in names})
            many = f"one {what}" if count == 1 else f"{count} different ones"
            yield f"{what} names that are nearly the same: {listed}; they count as {many}"


def nameless(names: Iterable[str]) -> Iterator[str]:
    """One line for each identity whose name says that the person is unknown."""
    for name in sorted(set(names)):
        if name.casefold() in NO_NAMES:
            yield (
                f"identity {name!r} counts as one person like any other: images of unknown people "
                "are junk, identity -1"
            )


def unidentified_notes(records: Iterable[ImageRecord]) -> Iterator[str]:
    """A line that counts the junk images of a set, and one for the distractors, if there are any.

    Args:
        records: of all identities of the set, or of all junk and distractors.
    """
    counts = Counter(record.pid for record in records)
    junk = {pid: number for pid, number in counts.items() if is_junk(pid)}
    if junk:
        pids = ", ".join(map(str, sorted(junk, reverse=True)[:SHOWN]))
        number = sum(junk.values())
        yield f"junk images (negative identities: {pids}), which are in no list: {number}"
        if number := counts[DISTRACTOR]:
            yield (
                f"distractors (identity {DISTRACTOR} beside junk), which are never searched for "
                f"and train nothing: {number}"
            )


def _simplified(name: str) -> str:
    """The name without what is easily overlooked: case, zeros in front, kinds of gaps."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = re.sub(r"^(\d+)\.0*$", r"\1", text)  # as tables of numbers are sometimes saved
    text = re.sub(r"(?<!\d)0+(?=\d)", "", text)
    return re.sub(r"[\s_-]+", " ", text).strip() if not text.startswith("-") else text
