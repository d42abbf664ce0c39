"""What the readers of all data sets share: how a folder is listed and what is said of a bad one."""

from __future__ import annotations

import hashlib
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

# Identities: int() would also take 1_000 and other scripts' digits, and longer ones fit no array.
NUMBER = re.compile(r"[0-9]{1,18}")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})


def require_root(root: str | Path, tree: str, where_to_get: str, parts: Sequence[str] = ()) -> Path:
    """The data set's folder, or an error that shows the tree that was expected.

    Args:
        parts: relative paths of folders and files that must be in it.
    Raises:
        DataError: no folder was named, it does not exist, or it lacks a part; names what is there.
    """
    expected = f"\nexpected:\n{tree}"
    if not str(root):
        raise DataError(
            f"no data set folder: set DATA.ROOT or VIREID_DATA{expected}\n{where_to_get}"
        )
    path = home_of(root)
    if not is_folder(path):
        found = "a file" if is_file(path) else "nothing"
        raise DataError(
            f"data set folder {path} not found (there is {found} there){expected}\n{where_to_get}"
        )
    missing = [part for part in parts if not (path / part).exists()]
    if missing:
        names = sorted(entry.name for entry in path.iterdir())
        listing = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise DataError(
            f"{path} lacks {', '.join(missing)}; found: {listing or 'nothing'}{expected}"
        )
    return path


def home_of(root: str | Path) -> Path:
    """The path, with ``~`` written out.

    Raises:
        DataError: ``~`` and a user who has no folder here.
    """
    try:
        return Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(f"data set folder {root} not found: {error}") from error


def is_image(path: Path) -> bool:
    """By its name: ``Thumbs.db`` is none, nor is ``._0001.jpg``, which macOS leaves behind."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def images_in(folder: Path) -> Iterator[Path]:
    """Image files directly in ``folder``, by name; other files are passed over."""
    yield from (path for path in sorted(folder.iterdir()) if is_image(path))


def read_ids(path: Path) -> list[int]:
    """Identities of one comma-separated line of un-padded integers.

    Raises:
        DataError: the file is missing or holds anything else.
    """
    wanted = f"{path} must hold one comma-separated line of identity numbers"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{wanted}: {error}") from error
    items = [item.strip() for item in text.replace("\n", ",").split(",") if item.strip()]
    wrong = [item for item in items if not NUMBER.fullmatch(item)]
    if wrong:
        raise DataError(f"{wanted}, got {wrong[0]!r:.60}")
    return [int(item) for item in items]


def read_lists(
    root: Path, lists: Mapping[str, Modality], parse: Callable[[str, str], ImageRecord]
) -> list[ImageRecord]:
    """The images of several list files, each of one modality; see :func:`read_list`."""
    return [r for name, modality in lists.items() for r in read_list(root, name, modality, parse)]


def read_list(
    root: Path, name: str, modality: Modality, parse: Callable[[str, str], ImageRecord]
) -> list[ImageRecord]:
    """The images that a list file names, in its order.

    Args:
        name: of the list file, relative to ``root``.
        modality: of every image in it.
        parse: (line, where it stands) → record.
    Raises:
        DataError: the list is unreadable, empty, of the other modality, or names absent images.
    """
    try:
        lines = (root / name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {root / name}: {error}") from error
    records = [
        parse(line, f"{root / name}, line {i}") for i, line in enumerate(lines, 1) if line.strip()
    ]
    if not records:
        raise DataError(f"{root / name} lists no image")
    strangers = [record.path for record in records if record.modality is not modality]
    if strangers:
        raise DataError(
            f"{root / name} must list {modality.name.lower()} images only, but lists {strangers[0]}"
        )
    counts = Counter(record.path for record in records)
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{root / name} lists {len(twice)} images more than once, the first: {twice[0]}; an "
            "image counts once: remove the other lines"
        )
    missing = [record.path for record in records if not is_file(root / record.path)]
    if missing:
        raise DataError(
            f"{name} lists {len(missing)} images that are not under {root}, the first: "
            + ", ".join(missing[:3])
        )
    return records


def listed_path(line: str, folders: Collection[str], where: str) -> PurePosixPath:
    """``<folder>/<identity>/<image> <label>`` → its path, with ``/`` whatever the list uses.

    Raises:
        DataError: the line has another form; quotes it.
    """
    path = PurePosixPath(line.rpartition(" ")[0].strip().replace("\\", "/"))
    whole = len(path.parts) == 3 and path.parts[0] in folders
    if not whole or not NUMBER.fullmatch(path.parts[1]):
        raise DataError(
            f"{where}: expected '<{'|'.join(folders)}>/<identity>/<image> <label>', "
            f"got {line!r:.100}"
        )
    return path


def is_file(path: Path) -> bool:
    """Whether a readable file is there; also of a name that is too long or may not be asked for."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_apart(pids: Mapping[str, Collection[int]], where: str | Path) -> None:
    """Raises :class:`DataError` when two of the named groups share identities."""
    names = list(pids)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            common = sorted(set(pids[first]) & set(pids[second]))
            if common:
                raise DataError(f"{where}: {first} and {second} identities overlap: {common[:5]}")


def hold_out(
    records: Sequence[ImageRecord], split: str = "train", *, every: int = 5
) -> tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]:
    """(training, validation) images of a set that names no validation identities.

    Args:
        split: ``train`` keeps every fifth identity, in ascending order, for validation;
            ``train+val`` none.
    """
    pids = sorted({record.pid for record in records})
    held_out = set(pids[every - 1 :: every]) if split == "train" else set()
    train = tuple(record for record in records if record.pid not in held_out)
    return train, tuple(record for record in records if record.pid in held_out)


def one_sided(records: Iterable[ImageRecord]) -> Iterator[str]:
    """One line per modality that is the only one of some identities; names them.

    None where it is that of the whole set.
    """
    pids: dict[Modality, set[int]] = {modality: set() for modality in Modality}
    for record in records:
        pids[record.modality].add(record.pid)
    visible, infrared = pids[Modality.VISIBLE], pids[Modality.INFRARED]
    if not (visible and infrared):
        return
    for name, only in (("visible", visible - infrared), ("infrared", infrared - visible)):
        if only:
            shown = ", ".join(map(str, sorted(only)[:20])) + (" …" if len(only) > 20 else "")
            who = "1 identity has" if len(only) == 1 else f"{len(only)} identities have"
            yield f"{who} {name} images only: {shown}"


def fingerprint(splits: Splits) -> str:
    """Digest of every image's path, identity, camera, modality and size on disk.

    It does not depend on which images train and which test: all splits of a set share it.

    Raises:
        DataError: an image is no readable file, or its name is no text.
    """
    digest = hashlib.sha256()
    for r in sorted(splits.train + splits.val + splits.test, key=lambda record: record.path):
        path = splits.root / r.path
        try:
            status = path.stat()
            line = f"{r.path}\t{r.pid}\t{r.camid}\t{int(r.modality)}\t{status.st_size}\n".encode()
        except (OSError, UnicodeEncodeError) as error:
            raise DataError(f"image {str(path)!a} cannot be read ({error})") from error
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"image {path} is not a file: remove or rename it")
        digest.update(line)
    return digest.hexdigest()
