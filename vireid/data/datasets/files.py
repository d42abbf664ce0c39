"""What the readers share: listing folders, reading lists, and messages about bad ones."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from vireid.data.datasets.info import DatasetInfo
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.io import NUMBER, read_text
from vireid.utils.paths import (
    BROKEN_LINK,
    LINKS_TOO_DEEP,
    exists_as,
    expand,
    is_hidden,
    list_files,
)

# Unlike Path's, they are False, no error, for a name that no file can have.
is_file, is_folder = os.path.isfile, os.path.isdir
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .heic .heif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
)


def require_root(root: str | Path, info: DatasetInfo, parts: Sequence[str] = ()) -> Path:
    """The data set's folder, or an error that shows the expected tree.

    Args:
        parts: relative paths of folders and files that must be in it.
    Raises:
        DataError: no folder was named, it does not exist, or it lacks a part.
    """
    expected = f"\nexpected:\n{info.tree}"
    if not str(root):
        raise DataError(
            f"no data set folder: set DATA.ROOT or VIREID_DATA{expected}\n{info.where_to_get}"
        )
    path = expand(root)
    if not is_folder(path):
        found = "a file" if is_file(path) else "nothing"
        there = f"there is {found} there{exists_as(path)}"
        raise DataError(
            f"data set folder {path} not found ({there}){expected}\n{info.where_to_get}"
        )
    missing = [part for part in parts if not (path / part).exists()]
    if missing:
        names = sorted(entry.name for entry in path.iterdir() if not is_hidden(entry.name))
        listing = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise DataError(
            f"{path} lacks {', '.join(missing)}; found: {listing or 'nothing'}"
            f"{exists_as(path / missing[0])}{expected}"
        )
    return path


def has_list(path: Path) -> bool:
    """Whether a list that a data set may lack is there.

    Raises:
        DataError: it is there under a name of other letter case or Unicode form, is a link to
            nothing, or is no file; without it the set would be another one.
    """
    if path.exists() and not is_file(path):
        raise DataError(f"{path} is not a file: put the list there, or remove it")
    if not is_file(path) and (other := exists_as(path)):
        raise DataError(f"no {path}{other}")
    return is_file(path)


def is_image(path: Path) -> bool:
    """By its name; not ``._0001.jpg``, which macOS leaves behind, nor another hidden file."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name)


def images_in(folder: Path) -> Iterator[Path]:
    """Image files directly in ``folder``, by name; other files are skipped."""
    yield from (path for path in sorted(folder.iterdir()) if is_image(path))


def subfolders(folder: Path) -> list[Path]:
    """Folders directly in ``folder``, by name; hidden ones are skipped.

    Raises:
        DataError: there is a link to nothing, which may have been one.
    """
    found = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    for path in found:
        if path.is_symlink() and not path.exists():
            raise broken_link(path)
    return [path for path in found if path.is_dir()]


def broken_link(path: Path) -> DataError:
    """The error about a link to a file or folder that is gone: it is not dropped silently."""
    return DataError(f"{path} cannot be read{exists_as(path)}: mend the link or remove it")


def images_below(folder: Path) -> list[Path]:
    """Image files in ``folder`` and in its folders, by path; hidden ones are skipped.

    Links are followed, but for those back to a folder that holds them.

    Raises:
        DataError: there is a link to nothing, or one within too many others.
    """
    found = list_files(folder, follow_links=True)
    for path, reason in found.skipped:
        if reason == BROKEN_LINK:
            raise broken_link(folder / path)
        if reason == LINKS_TOO_DEEP:
            raise DataError(f"{folder / path} is {reason}: replace the links by what they lead to")
    return [folder / path for path in found.files if is_image(Path(path))]


def folder_records(
    root: Path, folder: str, pid: int, camid: int, modality: Modality
) -> list[ImageRecord]:
    """The images directly in a folder, by name; none if it is missing."""
    if not (root / folder).is_dir():
        return []
    names = [path.name for path in images_in(root / folder)]
    return [ImageRecord(f"{folder}/{name}", pid, camid, modality) for name in names]


def check_seen(records: Iterable[ImageRecord], pids: Collection[int], where: str) -> None:
    """Raises ``DataError`` for listed identities that have no image ``where`` they should."""
    unseen = sorted(set(pids) - {record.pid for record in records})
    if unseen:
        raise DataError(
            f"{len(unseen)} of {len(pids)} listed identities have no image under {where}, the "
            f"first are {unseen[:5]}: is the data set complete?"
        )


def read_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8; ``DataError`` if it cannot be read."""
    try:
        return read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def read_lists(
    root: Path, lists: Mapping[str, Modality], parse: Callable[[str, str], ImageRecord]
) -> list[ImageRecord]:
    """The images of several list files; see ``read_list``.

    Args:
        lists: name of the file → modality of every image in it.
    Raises:
        DataError: also for a list with an image of the other modality.
    """
    found: list[ImageRecord] = []
    for name, modality in lists.items():
        records = read_list(root, name, parse)
        wrong = [record.path for record in records if record.modality is not modality]
        if wrong:
            raise DataError(
                f"{root / name} must list {modality.name.lower()} images only, but lists {wrong[0]}"
            )
        found += records
    return found


def read_list(root: Path, name: str, parse: Callable[[str, str], ImageRecord]) -> list[ImageRecord]:
    """The images that a list file names, in its order.

    Args:
        name: of the list file, relative to ``root``.
        parse: (line, file and line number for messages) → record.
    Raises:
        DataError: the list is unreadable or empty, names an image twice, or names absent images.
    """
    lines = read_lines(root / name)
    records = [
        parse(line, f"{root / name}, line {i}") for i, line in enumerate(lines, 1) if line.strip()
    ]
    if not records:
        raise DataError(f"{root / name} lists no image")
    counts = Counter(record.path for record in records)
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{root / name} lists {len(twice)} images more than once, the first: {twice[0]}; an "
            "image counts once: remove the other lines"
        )
    missing = [path for path in counts if not is_file(root / path)]
    if missing:
        raise DataError(
            f"{name} lists {len(missing)} images that are not under {root}, the first: "
            f"{', '.join(missing[:3])}{exists_as(root / missing[0])}"
        )
    return records


def listed_path(line: str, folders: Collection[str], where: str) -> PurePosixPath:
    r"""The path in ``<folder>/<identity>/<image> <label>``, which may be written with ``\``.

    Raises:
        DataError: the line has another form; quotes it.
    """
    path = PurePosixPath(line.rpartition(" ")[0].strip().replace("\\", "/"))
    complete = len(path.parts) == 3 and path.parts[0] in folders
    if not complete or not NUMBER.fullmatch(path.parts[1]):
        raise DataError(
            f"{where}: expected '<{'|'.join(folders)}>/<identity>/<image> <label>', "
            f"got {line!r:.100}"
        )
    return path


def check_apart(pids: Mapping[str, Collection[int | str]], where: str | Path) -> None:
    """Raises ``DataError`` if two of the named groups share identities.

    Args:
        pids: group → numbers of its identities, or names.
    """
    names = list(pids)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            both = set(pids[first]) & set(pids[second])
            common = sorted(both, key=lambda one: (isinstance(one, str), one))
            if common:
                raise DataError(f"{where}: {first} and {second} identities overlap: {common[:5]}")


def hold_out(
    records: Sequence[ImageRecord], split: str
) -> tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]:
    """(training, validation) images of a set that names no validation identities.

    Args:
        split: ``train`` keeps every fifth identity, in ascending order, for validation;
            ``train+val`` none.
    """
    pids = sorted({record.pid for record in records})
    held_out = set(pids[4::5]) if split == "train" else set()
    train = tuple(record for record in records if record.pid not in held_out)
    return train, tuple(record for record in records if record.pid in held_out)


def make_splits(
    root: Path,
    listed: Sequence[ImageRecord],
    test: Sequence[ImageRecord],
    split: str,
    *,
    split_trial: int | None = None,
) -> Splits:
    """The splits of a set that names no validation identities; see ``hold_out``.

    Args:
        listed: images of all training identities.
        split_trial: which train/test split it is, if there are several.
    Raises:
        DataError: training and test identities overlap.
    """
    where = root if split_trial is None else f"{root}, split {split_trial}"
    check_apart({"training": {r.pid for r in listed}, "test": {r.pid for r in test}}, where)
    train, val = hold_out(listed, split)
    return Splits(root, train, val, tuple(test), split_trial)


def fingerprint(splits: Splits) -> str:
    """Digest of every image's path, identity, camera, modality and size on disk.

    All splits of a data set have the same one: which images train does not matter. Of a track, all
    frames' paths count, but only the sizes of the first and the last: a network disk would need
    minutes for those of a million frames.

    Raises:
        DataError: an image is no readable file, or its name cannot be encoded.
    """
    digest = hashlib.sha256()
    for r in sorted(splits.train + splits.val + splits.test, key=lambda record: record.path):
        facts = f"{r.pid}\t{r.camid}\t{int(r.modality)}"
        digest.update(f"{r.path}\t{facts}\t{_size(splits.root / r.path)}\n".encode())
        if r.frames:
            last = _size(splits.root / r.frames[-1])
            digest.update("\n".join([f"track {r.track}\t{last}", *r.frames, ""]).encode())
    return digest.hexdigest()


def _size(path: Path) -> int:
    """Bytes of an image's file."""
    try:
        str(path).encode()
        status = path.stat()
    except (OSError, UnicodeEncodeError) as error:
        raise DataError(f"image {str(path)!a} cannot be read ({error})") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"image {path} is not a file: remove or rename it")
    return status.st_size
