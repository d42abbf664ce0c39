"""Images that a browser sends: looked at, shown, and kept below the gallery's folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from vireid.data.images import FORMATS
from vireid.errors import DataError, UsageError
from vireid.search.app.render import thumbnail_of
from vireid.search.crops import unusual
from vireid.search.gallery import Gallery, is_uri
from vireid.search.people import content_id
from vireid.utils.io import replace_file

FOLDER = "uploads"
MOST_BYTES = 20 * 2**20  # of one image
MOST_QUERIES = 8  # images of one person
MOST_ADDED = 200  # images at once
MOST_FILES, MOST_TOTAL = 10_000, 5 * 2**30  # files and bytes below the gallery's folder
KINDS = ".jpg .jpeg .png .bmp .tif .tiff .gif .webp .jp2 .ppm .pgm .tga .avif .heic .heif".split()
assert len(FORMATS) == 11, "KINDS are the endings of FORMATS"


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that was sent and can be read.

    Args:
        path: of the file, in this server's temporary folder.
        name: that it had where it came from.
        id: of its content.
        thumbnail: a data URL.
        size: (width, height), pixels.
    """

    path: Path
    name: str
    id: str
    thumbnail: str
    size: tuple[int, int]


def read_uploads(
    paths: Sequence[str], folder: Path, known: Sequence[Upload], *, most: int
) -> tuple[list[Upload], list[str]]:
    """The images sent before and now, each content once, and what is wrong with others.

    Args:
        paths: as Gradio gives them.
        folder: that Gradio stores uploads in; other paths are refused.
        most: images that are kept.
    """
    found = {one.id: one for one in known}
    problems = []
    for text in paths:
        path = Path(text)
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{path.name} was not uploaded")
            upload = _read(path)
        except DataError as error:
            problems.append(str(error).replace(str(path), path.name))
            continue
        if upload.id not in found and len(found) >= most:
            problems.append(f"at most {most} images at once; {path.name} and later ones are left")
            break
        found.setdefault(upload.id, upload)
    return list(found.values()), problems


def _read(path: Path) -> Upload:
    thumbnail, size = thumbnail_of(path)
    return Upload(path, path.name, content_id(path), thumbnail, size)


def crop_warning(uploads: Sequence[Upload], input_size: tuple[int, int]) -> str:
    """Empty where all have the shape of crops."""
    found = unusual([one.size for one in uploads], input_size)
    return found.warning([one.name for one in uploads], "crop the image to one person")


def store(gallery: Gallery, uploads: Sequence[Upload]) -> tuple[Path, list[str]]:
    """Copies uploads below the gallery's folder.

    Returns:
        the folder, and each image's path below it.
    Raises:
        UsageError: the gallery is on object storage, or the folder holds too much already.
    """
    if is_uri(gallery.place):
        raise UsageError(
            f"{gallery.place} has no folder for uploads: add images to a gallery on object storage "
            "by search.py add"
        )
    folder = Path(gallery.place, FOLDER)
    sizes = [file.stat().st_size for file in folder.glob("*/*")]
    more = sum(one.path.stat().st_size for one in uploads)
    if len(sizes) + len(uploads) > MOST_FILES or sum(sizes) + more > MOST_TOTAL:
        raise UsageError(
            f"{folder} would hold more than {MOST_FILES:,} images or {MOST_TOTAL / 2**30:.0f} GiB: "
            "add images by search.py add instead"
        )
    names = []
    for one in uploads:
        name = f"{one.id}/{safe_name(one.name)}"
        (folder / one.id).mkdir(parents=True, exist_ok=True)
        content = one.path.read_bytes()
        replace_file(folder / name, partial(_write, content))
        names.append(name)
    return folder, names


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def safe_name(name: str) -> str:
    """A file's name without anything that a file system or a terminal may take for more.

    >>> safe_name("../../etc/pass wd.png")
    'pass_wd.png'
    """
    text = re.sub(r"[^\w.\-]", "_", name.replace("\\", "/").rsplit("/", 1)[-1])
    stem, dot, ending = text.lstrip(".").rpartition(".")
    return (stem[:80] or "image") + dot + ending[:10]
