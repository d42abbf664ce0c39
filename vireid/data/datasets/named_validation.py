"""Validation identities that a text file names."""

from dataclasses import replace

from vireid.data.datasets.names import composed, label_of
from vireid.errors import DataError
from vireid.structures import Splits
from vireid.utils.io import NUMBER, read_text
from vireid.utils.paths import exists_as, expand

SHOWN = 3  # identities in a message


def hold_out_named(splits: Splits, name: str) -> Splits:
    """The same data set with the identities of a file held out from training.

    Args:
        splits: its training identities are all that may train.
        name: of a text file with one identity in each line, relative to the root: what the data
            set calls it, its number or its name. Empty lines are skipped.
    Raises:
        DataError: the file cannot be read, names no identity, another one than those that may
            train, or all of these.
    """
    path = splits.root / expand(name)
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise DataError(
            f"DATA.VAL_IDS: {path} cannot be read as a text file ({reason}){exists_as(path)}: name "
            'a file with one identity per line, relative to DATA.ROOT, or set DATA.VAL_IDS ""'
        ) from error
    words = [composed(line.strip()) for line in lines if line.strip()]
    pids = {str(label_of(pid, splits.identities)): pid for pid in splits.train_pids}
    found = {word: pids.get(word, pids.get(_plain(word))) for word in words}
    unknown = [word for word, pid in found.items() if pid is None]
    if unknown:
        raise DataError(
            f"DATA.VAL_IDS: {len(unknown)} of the {len(found)} identities in {path} are not among "
            f"the {len(pids)} training identities of {splits.root}, the first: "
            f"{', '.join(f'{word!r:.60}' for word in unknown[:SHOWN])}; write one identity per line"
        )
    held_out = set(found.values())
    if not held_out or len(held_out) == len(pids):
        raise DataError(
            f"DATA.VAL_IDS: {path} names {'all' if held_out else 'none'} of the {len(pids)} "
            "training identities: name some of them, and leave some to train with"
        )
    return replace(
        splits,
        train=tuple(record for record in splits.train if record.pid not in held_out),
        val=tuple(record for record in splits.train if record.pid in held_out),
    )


def _plain(word: str) -> str:
    """A whole number without zeros in front; other words as they are."""
    return str(int(word)) if NUMBER.fullmatch(word) else word
