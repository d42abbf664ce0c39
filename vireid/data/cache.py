"""Decoded and resized images kept on disk, so that an epoch decodes nothing.

The name of a cache file is a digest of everything that decides its content, and a file never
changes once it has this name. So a changed image or option leads to another file; old ones only
take disk space and can be deleted at any time.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, features
from PIL import __version__ as pillow_version

from vireid.data.images import read_image
from vireid.data.pixels import PLAIN, PixelRule
from vireid.data.transforms import RESIZE_FILTER, resize
from vireid.errors import DataError, UsageError
from vireid.structures import ImageRecord, Modality
from vireid.utils.io import locked, replace_file
from vireid.utils.paths import expand
from vireid.utils.threads import threaded_map

log = logging.getLogger(__name__)

FORMAT = 3  # 3: images are upright, on a background, and follow a rule for more than eight bits
STALE_AFTER = 24 * 3600  # seconds after which the build of an unfinished file was surely killed


class ImageCache:
    """The images of one list of records, in its order.

    A pickled cache is its path: processes share the file's pages, never copies of the images.

    Args:
        path: file of (N, H, W, 3) uint8.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images = np.load(path, mmap_mode="r", allow_pickle=False)

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[Path]]:
        return ImageCache, (self.path,)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self._images[index])


def cached_images(
    folder: str | Path,
    root: Path,
    records: Sequence[ImageRecord],
    *,
    size: tuple[int, int],
    rules: Mapping[Modality, PixelRule] | None = None,
) -> ImageCache:
    """The records' images at ``size``, from a file in ``folder`` that is built when it is missing.

    Several processes may call this at once: one builds, the others wait. A killed build leaves no
    file with the name of a cache.

    Args:
        size: (height, width), pixels.
        rules: per modality, how pixels become RGB; none: as those of eight bits.
    Raises:
        DataError: an image cannot be read, or changes during the build.
        UsageError: the folder cannot be written, or the disk is full.
    """
    folder, rules = expand(folder), rules or dict.fromkeys(Modality, PLAIN)
    key, shape = cache_key(root, records, size, rules), (len(records), *size, 3)
    path = folder / f"{key}.npy"
    if not _usable(path, shape):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "lock", wait=True):
                if not _usable(path, shape):  # another process may have built it meanwhile
                    _build(path, root, records, shape, rules)
        except OSError as error:
            raise UsageError(
                f"DATA.CACHE={folder} cannot be written ({error}): name another folder, or none"
            ) from error
    return ImageCache(path)


def cache_key(
    root: Path,
    records: Sequence[ImageRecord],
    size: tuple[int, int],
    rules: Mapping[Modality, PixelRule] | None = None,
) -> str:
    """Digest of the files (path, size, time of change), their order, target size, and pixel rules.

    Raises:
        DataError: a file is missing.
    """
    # Decoders differ in the last bit between versions.
    decoder = [pillow_version, *(features.version(name) for name in ("jpg", "zlib", "libtiff"))]
    used = [(name, astuple((rules or {}).get(name, PLAIN))) for name in Modality]
    how = [FORMAT, decoder, str(root.resolve()), list(size), RESIZE_FILTER.value, used]
    digest = hashlib.sha256(json.dumps(how).encode())
    for record in records:
        try:
            status = (root / record.path).stat()
        except OSError as error:
            raise DataError(f"image {root / record.path} cannot be read ({error})") from error
        line = json.dumps([record.path, status.st_size, status.st_mtime_ns])
        digest.update(line.encode())
    return digest.hexdigest()[:32]


def _usable(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # missing, truncated by others, or no array
        return False
    return images.shape == shape and images.dtype == np.uint8


def _build(
    path: Path,
    root: Path,
    records: Sequence[ImageRecord],
    shape: tuple[int, ...],
    rules: Mapping[Modality, PixelRule],
) -> None:
    size = (shape[1], shape[2])
    _remove_stale(path.parent)
    _require_space(path.parent, int(np.prod(shape, dtype=np.int64)))
    resized = resize(size)

    def pixels(record: ImageRecord) -> bytes:
        image = read_image(root / record.path, rules[record.modality])
        return np.asarray(resized(image)).tobytes()  # (H, W, 3)

    def write(file: BinaryIO) -> None:
        layout = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, layout)
        for image in threaded_map(pixels, records, doing=f"caching in {path.parent}"):
            file.write(image)
        if cache_key(root, records, size, rules) != path.stem:
            raise DataError(f"images under {root} changed while they were cached: start again")

    replace_file(path, write, durable=True)
    log.info("cached %d images in %s", len(records), path)


def _remove_stale(folder: Path) -> None:
    for path in folder.glob("*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_AFTER:
                path.unlink()


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"DATA.CACHE={folder} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free: "
            "make room (old caches there can be deleted), name another folder, or none"
        )
