"""Paths as users write them, and which files of a folder count."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vireid.errors import DataError

MODEL_FILE = "model.safetensors"  # makes a folder a model folder
LONGEST_PART, LONGEST_PATH = 255, 4095  # bytes of a file's name, and of a path
# Beside names that begin with a dot, in small letters: what systems and network disks put among a
# user's files (deleted files, thumbnails, snapshots, the resource forks of an archive).
SYSTEM_NAMES = frozenset(
    """
    @eadir @recycle @recently-snapshot @sharebin @tmp #recycle #snapshot ~snapshot __macosx
    $recycle.bin recycler lost+found lost.dir thumbs.db ehthumbs.db desktop.ini __pycache__
    """.split()
) | {"system volume information", "network trash folder", "temporary items", "icon\r"}
MOST_LINKS = 3  # links to folders within one another that are followed
HIDDEN = "hidden, or of the system"
LINK = "a link to a folder, which is not followed"
BROKEN_LINK = "a link to nothing"
LINK_BACK = "a link back to a folder that holds it"
LINKS_TOO_DEEP = f"a link within {MOST_LINKS} others"
exists = os.path.exists  # unlike Path's, False, no error, for a name that no file can have


def expand(path: str | os.PathLike[str]) -> Path:
    """The path with ``~`` replaced by the home folder.

    Without a home folder it stays as it is, as in a shell.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_model_folder(path: Path) -> bool:
    """Whether ``export --format safetensors`` wrote the folder; it may be damaged."""
    return (path / MODEL_FILE).is_file()


def path_problem(text: str) -> str:
    """Why no system can open a path of this name; empty when one can."""
    try:
        parts = os.fsencode(Path(text).expanduser()).split(b"/")
    except RuntimeError:
        return "begins with ~ and a user who has no folder here"
    except ValueError:  # half of a surrogate pair
        return "has a character that no file name can have"
    if any(b"\0" in part for part in parts):
        return "has a character that no file name can have"
    if max(map(len, parts)) > LONGEST_PART or len(b"/".join(parts)) > LONGEST_PATH:
        return "is longer than a file's name can be"
    return ""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over wherever files are listed.

    >>> [is_hidden(name) for name in ("._a.jpg", "@eaDir", ".Trash-1000", "a.jpg", "Thumbs.db")]
    [True, True, True, False, True]
    """
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def is_hidden_below(path: Path, root: Path) -> bool:
    """Whether any part of a path below ``root`` is hidden; ``root`` itself may be."""
    return any(is_hidden(part) for part in path.relative_to(root).parts)


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files below a folder, at any depth.

    Args:
        files: paths relative to the folder, with ``/``, sorted.
        skipped: (path, reason) of hidden files and folders, and of links to nothing or to folders.
    """

    files: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def list_files(folder: Path, *, follow_links: bool = False) -> FolderFiles:
    """The files below a folder; hidden ones (``is_hidden``) are skipped.

    Args:
        follow_links: list folders that links lead to as well; a link back to a folder that
            holds it is skipped.
    Raises:
        DataError: a folder cannot be read.
    """
    files: list[str] = []
    skipped: list[tuple[str, str]] = []
    pending = [_Folder(folder, "", (os.path.realpath(folder),), 0)]
    while pending:
        place = pending.pop()
        for entry in _entries(place.path):
            path, linked = place.prefix + entry.name, entry.is_symlink()
            if is_hidden(entry.name):
                skipped.append((path, HIDDEN))
            elif linked and not exists(entry.path):
                skipped.append((path, BROKEN_LINK))
            elif not entry.is_dir():
                files.append(path)
            elif linked and (reason := _not_followed(place, entry.path, follow_links)):
                skipped.append((path, reason))
            else:
                above = (*place.above, os.path.realpath(entry.path))
                pending.append(_Folder(Path(entry), f"{path}/", above, place.links + linked))
    return FolderFiles(tuple(sorted(files)), tuple(sorted(skipped)))


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is to be listed.

    Args:
        prefix: of its files' relative paths.
        above: real paths of the folders that hold it, and its own.
        links: how many of them were reached by a link.
    """

    path: Path
    prefix: str
    above: tuple[str, ...]
    links: int


def _not_followed(place: _Folder, link: str, follow_links: bool) -> str:
    """Why a link to a folder is skipped; empty when it is followed."""
    if not follow_links:
        return LINK
    target = os.path.realpath(link)
    if any(Path(one).is_relative_to(target) for one in place.above):
        return LINK_BACK
    return LINKS_TOO_DEEP if place.links == MOST_LINKS else ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror})") from error


def plain_name(name: str) -> str:
    """A name without the differences of letter case and of Unicode form (``é`` or ``e`` + accent).

    >>> plain_name("E\u0301.JPG") == plain_name("\u00e9.jpg")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def exists_as(path: Path) -> str:
    """Words about a missing file that exists under a name of other letter case or Unicode form.

    Returns:
        empty when there is none, and when the path exists; also says that a link leads to nothing.
    """
    if exists(path):
        return ""
    absolute = path.absolute()
    found = next(_alike(Path(absolute.anchor), absolute.parts[1:]), None)
    if found is None:
        return ""
    if found == absolute:
        return f"; it is a link to {os.path.realpath(found)}, where there is nothing"
    forms = [unicodedata.normalize("NFC", str(one)) for one in (found, absolute)]
    if forms[0] == forms[1]:  # both names look the same
        return f"; {str(found)!a} exists, whose letters have another Unicode form: rename it"
    return f"; {found} exists, which differs in letter case only: rename it, or write it so"


def _alike(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Existing paths below a folder whose parts have the given plain names; equal ones first."""
    if not parts:
        yield folder
        return
    name, *rest = parts
    if os.path.lexists(folder / name):
        yield from _alike(folder / name, tuple(rest))
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):  # no folder, one that may not be read, no possible name
        return
    for other in names:
        if other != name and plain_name(other) == plain_name(name):
            yield from _alike(folder / other, tuple(rest))
