"""What all layouts share: checked arguments, single pictures, folders that appear when complete.

Every picture is a pure function of (seed, identity, camera, index), so any part of a set can be
made again alone, and in any order.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vireid.synthetic.pedestrians.cameras import Camera
from vireid.synthetic.pedestrians.person import Person, draw_person
from vireid.synthetic.pedestrians.render import RENDERER_VERSION, draw_view, render

JPEG_QUALITY = 92
MAX_NUMBER = 9999  # identity folders and file names have four digits
# Identity, camera and picture numbers start at 1; the zeros keep these streams apart from theirs.
CAMERA_STREAM = (0,)
PRESENCE_STREAM = (0, 0, 1)
SPLIT_STREAM = (0, 0, 2)
NAME_STREAM = (0, 0, 3)


def check_at_least(name: str, value: int, minimum: int, maximum: int) -> None:
    """Raises ValueError unless ``value`` is a whole number in the range."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ValueError(
            f"{name}={value!r} is out of range: give a whole number from {minimum} to {maximum}"
        )


def check_picture(*, size: tuple[int, int], seed: int, workers: int) -> None:
    """Raises ValueError for what no set can be made with."""
    check_at_least("seed", seed, 0, 2**32 - 1)
    check_at_least("workers", workers, 0, 1024)
    if len(size) != 2:
        raise ValueError(f"size={size!r} must be (height, width): give two whole numbers")
    check_at_least("size (height)", size[0], 32, 2048)
    check_at_least("size (width)", size[1], 16, 2048)


def checked_parameters(
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int,
    size: tuple[int, int],
    seed: int,
    workers: int,
) -> dict[str, Any]:
    """What decides a set's content, as ``synthetic.json`` tells it.

    Raises:
        ValueError: a number is out of range, or does not fit the names of folders and files.
    """
    check_at_least("train_ids", train_ids, 1, MAX_NUMBER)
    check_at_least("test_ids", test_ids, 1, MAX_NUMBER)
    if train_ids + test_ids > MAX_NUMBER:
        raise ValueError(
            f"train_ids + test_ids={train_ids + test_ids} does not fit the four digits of an "
            f"identity folder: ask for {MAX_NUMBER} identities or fewer in all"
        )
    check_at_least("images_per_camera", images_per_camera, 1, MAX_NUMBER)
    check_picture(size=size, seed=seed, workers=workers)
    return {
        "train_ids": train_ids,
        "test_ids": test_ids,
        "images_per_camera": images_per_camera,
        "size": tuple(size),
        "seed": seed,
    }


@lru_cache(maxsize=64)
def person_of(seed: int, pid: int) -> Person:
    """The identity ``pid`` >= 1 of the set made with ``seed``."""
    return draw_person(np.random.default_rng([seed, pid]))


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a set.

    Args:
        camera: key in ``Studio.cameras``.
        index: from 1, among the pictures of this identity by this camera.
        path: relative to the set's folder; its ending names the format.
        from_behind: seen from the back, by a camera that knows front and back only.
        viewpoint: of a vehicle, in eighths of a turn; 0 is its front.
    """

    pid: int
    camera: int
    index: int
    path: str
    from_behind: bool = False
    viewpoint: int = 0


@dataclass(frozen=True, slots=True)
class Studio:
    """All that pictures of a set have in common; ``size`` is (height, width) in pixels."""

    cameras: dict[int, Camera]
    seed: int
    size: tuple[int, int]

    def picture(self, shot: Shot, *, empty: bool = False) -> np.ndarray:
        """(height, width, 3) uint8, before it is saved; ``empty``: the same place with nobody."""
        camera = self.cameras[shot.camera]
        rng = np.random.default_rng((self.seed, shot.pid, shot.camera, shot.index))
        view = draw_view(camera, rng, from_behind=shot.from_behind)
        person = None if empty else person_of(self.seed, shot.pid)
        return render(person, camera, view, self.size, rng)

    def save(self, folder: Path, shots: Sequence[Shot]) -> int:
        """Renders shots to files in folders that exist; returns how many."""
        for shot in shots:
            Image.fromarray(self.picture(shot)).save(folder / shot.path, quality=JPEG_QUALITY)
        return len(shots)


@contextmanager
def staged(root: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the name ``root`` when nothing went wrong.

    Raises:
        FileExistsError: root holds something already.
    """
    root = Path(root).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(
            f"{root} exists and is not an empty folder: name another one or remove it first"
        )
    folder = root.with_name(f".{root.name}.partial-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed process that had our number
    try:
        folder.mkdir(parents=True)
        yield folder
        if root.exists():
            root.rmdir()  # it was empty; renaming onto a folder is not portable
        folder.rename(root)
    except BaseException:  # an interrupt too must not leave a half set behind
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_parameters(folder: Path, layout: str, parameters: dict[str, Any]) -> None:
    """``synthetic.json``: what a set was made with."""
    record = {"layout": layout, "renderer_version": RENDERER_VERSION, **parameters}
    (folder / "synthetic.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_ids(path: Path, pids: Sequence[int]) -> None:
    """One comma-separated line of un-padded numbers."""
    path.write_text(",".join(map(str, pids)) + "\n", encoding="ascii")
