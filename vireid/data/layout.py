"""What the readers of all data sets share: how a folder is listed and what is said of a bad one."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

from vireid.errors import DataError
from vireid.structures import Splits

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})


def require_root(root: str | Path, tree: str, where_to_get: str) -> Path:
    """The data set's folder, or an error that shows the tree that was expected.

    Raises:
        DataError: no folder was named, or it does not exist.
    """
    expected = f"\nexpected:\n{tree}\n{where_to_get}"
    if not str(root):
        raise DataError(f"no data set folder: set DATA.ROOT or VIREID_DATA{expected}")
    path = Path(root).expanduser()
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise DataError(f"data set folder {path} not found (there is {found} there){expected}")
    return path


def missing_parts(root: Path, parts: list[str], tree: str) -> None:
    """Raises :class:`DataError` when parts of ``root`` are absent; names them and what is there.

    Args:
        parts: relative paths of folders or files that must exist.
    """
    missing = [part for part in parts if not (root / part).exists()]
    if missing:
        found = sorted(entry.name for entry in root.iterdir())
        listing = ", ".join(found[:12]) + (" …" if len(found) > 12 else "")
        raise DataError(
            f"{root} lacks {', '.join(missing)}; found: {listing or 'nothing'}\nexpected:\n{tree}"
        )


def images_in(folder: Path) -> Iterator[Path]:
    """Image files directly in ``folder``, by name; other files (``Thumbs.db``) are passed over."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            yield path


def hold_out(pids: list[int], every: int = 5) -> set[int]:
    """Every fifth identity, in ascending order: the validation identities of a set without any."""
    return set(sorted(pids)[every - 1 :: every])


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
