"""Writes synthetic sets to disk exactly as the real data sets lie there.

Every picture is a pure function of (seed, identity, camera, index), so any part of a set can be
made again alone.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat
from tqdm import tqdm

from vireid.data.synthetic.cameras import Camera, sysu_cameras
from vireid.data.synthetic.person import Person, draw_person
from vireid.data.synthetic.render import RENDERER_VERSION, draw_view, render

JPEG_QUALITY = 92
SYSU_TRIALS = 10  # rows of every permutation matrix
SYSU_PARTIAL_CAMERAS = (1, 2)  # the same identities are missing from both, as in the real set
SYSU_PARTIAL_SHARE = 0.6
# Identity, camera and picture numbers start at 1; the zeros keep these streams apart from theirs.
_CAMERA_STREAM = 0
_PRESENCE_STREAM = (0, 0, 1)


def _check_at_least(name: str, value: int, minimum: int, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ValueError(
            f"{name}={value!r} is out of range: give a whole number from {minimum} to {maximum}"
        )


def _check_arguments(
    *, train_ids: int, test_ids: int, images_per_camera: int, size: tuple[int, int], seed: int
) -> None:
    _check_at_least("train_ids", train_ids, 1, 9999)
    _check_at_least("test_ids", test_ids, 1, 9999)
    if train_ids + test_ids > 9999:
        raise ValueError(
            f"train_ids + test_ids={train_ids + test_ids} does not fit the four digits of a SYSU "
            "identity folder: ask for 9999 identities or fewer in all"
        )
    _check_at_least("images_per_camera", images_per_camera, 1, 9999)
    _check_at_least("seed", seed, 0, 2**32 - 1)
    if len(size) != 2:
        raise ValueError(f"size={size!r} must be (height, width): give two whole numbers")
    _check_at_least("size (height)", size[0], 32, 2048)
    _check_at_least("size (width)", size[1], 16, 2048)


def _stage(root: Path) -> Path:
    """An empty folder beside ``root`` to fill before it takes that name.

    Raises:
        FileExistsError: root holds something already.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(
            f"{root} exists and is not an empty folder: name another one or remove it first"
        )
    staged = root.with_name(f".{root.name}.partial-{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)  # left by a killed process that had our number
    staged.mkdir(parents=True)
    return staged


def _publish(staged: Path, root: Path) -> None:
    if root.exists():
        root.rmdir()  # _stage found it empty; renaming onto a folder is not portable
    staged.rename(root)


def _render_one(
    person: Person, camera: Camera, *, key: Sequence[int], size: tuple[int, int]
) -> np.ndarray:
    rng = np.random.default_rng(key)
    return render(person, camera, draw_view(camera, rng), size, rng)


def person_of(seed: int, pid: int) -> Person:
    """The identity ``pid`` >= 1 of the set made with ``seed``."""
    return draw_person(np.random.default_rng([seed, pid]))


def sysu_cameras_of(seed: int) -> dict[int, Camera]:
    """The six cameras of the SYSU-like set made with ``seed``."""
    return sysu_cameras(np.random.default_rng([seed, _CAMERA_STREAM]))


def sysu_image(
    seed: int, pid: int, *, camera: int, index: int, size: tuple[int, int]
) -> np.ndarray:
    """One picture of the set that ``write_sysu`` makes, before JPEG.

    Args:
        index: from 1, the number in the file name.
        size: (height, width).
    Returns:
        (height, width, 3) uint8
    """
    return _render_one(
        person_of(seed, pid),
        sysu_cameras_of(seed)[camera],
        key=(seed, pid, camera, index),
        size=size,
    )


def _sysu_split(train_ids: int, test_ids: int) -> dict[str, list[int]]:
    validation = train_ids // 4
    bounds = np.cumsum([0, train_ids - validation, validation, test_ids])
    names = ("train", "val", "test")
    return {
        name: list(range(int(bounds[i]) + 1, int(bounds[i + 1]) + 1))
        for i, name in enumerate(names)
    }


def _sysu_presence(split: dict[str, list[int]], seed: int) -> dict[int, set[int]]:
    """Identities by camera: a share of each split in cameras 1 and 2, everyone elsewhere."""
    rng = np.random.default_rng([seed, *_PRESENCE_STREAM])
    partial: set[int] = set()
    for pids in split.values():
        kept = max(round(SYSU_PARTIAL_SHARE * len(pids)), (len(pids) + 1) // 2)
        partial.update(int(pid) for pid in rng.permutation(pids)[:kept])
    everyone = {pid for pids in split.values() for pid in pids}
    return {
        camera: partial if camera in SYSU_PARTIAL_CAMERAS else everyone for camera in range(1, 7)
    }


def _sysu_permutations(
    presence: dict[int, set[int]], *, n_ids: int, images: int, seed: int
) -> np.ndarray:
    """(6, 1) cells of (n_ids, 1) cells of (10, n) permutations of 1..n; n = 0 where absent."""
    dtype = np.uint8 if images < 256 else np.uint16
    cells = np.empty((6, 1), object)
    for camera, present in presence.items():
        rows = np.empty((n_ids, 1), object)
        for pid in range(1, n_ids + 1):
            rng = np.random.default_rng([seed, 0, camera, pid])
            count = images if pid in present else 0
            trials = [rng.permutation(count) + 1 for _ in range(SYSU_TRIALS)]
            rows[pid - 1, 0] = np.stack(trials).astype(dtype)
        cells[camera - 1, 0] = rows
    return cells


def _write_sysu_lists(folder: Path, split: dict[str, list[int]], permutations: np.ndarray) -> None:
    folder.mkdir()
    available = [pid for pids in split.values() for pid in pids]
    for name, pids in {**split, "available": available}.items():
        (folder / f"{name}_id.txt").write_text(",".join(map(str, pids)) + "\n", encoding="ascii")
    savemat(folder / "rand_perm_cam.mat", {"rand_perm_cam": permutations})


def _write_sysu_images(
    root: Path,
    presence: dict[int, set[int]],
    *,
    images: int,
    size: tuple[int, int],
    seed: int,
    progress: bool,
) -> None:
    cameras = sysu_cameras_of(seed)
    pairs = [(pid, camera) for camera in presence for pid in sorted(presence[camera])]
    persons = {pid: person_of(seed, pid) for pid in sorted(set().union(*presence.values()))}
    # disable=None draws the bar on a terminal only.
    for pid, camera in tqdm(pairs, desc="rendering", disable=None if progress else True):
        folder = root / f"cam{camera}" / f"{pid:04d}"
        folder.mkdir(parents=True)
        for index in range(1, images + 1):
            picture = _render_one(
                persons[pid], cameras[camera], key=(seed, pid, camera, index), size=size
            )
            Image.fromarray(picture).save(folder / f"{index:04d}.jpg", quality=JPEG_QUALITY)


def _write_parameters(root: Path, layout: str, parameters: dict[str, Any]) -> None:
    record = {"layout": layout, "renderer_version": RENDERER_VERSION, **parameters}
    (root / "synthetic.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_sysu(
    root: Path,
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
) -> None:
    """Write a synthetic set in the layout of SYSU-MM01.

    ``cam{1..6}/{pid:04d}/{n:04d}.jpg``, ``exp/{train,val,test,available}_id.txt``,
    ``exp/rand_perm_cam.mat`` and ``synthetic.json``. ``root`` appears only once it is complete.

    Args:
        train_ids: training and validation identities together; one in four validates.
        test_ids: test identities, numbered after the others.
        images_per_camera: per identity in every camera that sees it; 60 % are seen by 1 and 2.
        size: (height, width) of the pictures in pixels.
        progress: show a bar when standard error is a terminal.
    Raises:
        ValueError: an argument is out of range.
        FileExistsError: root is there and not an empty folder.
    """
    parameters: dict[str, Any] = {
        "train_ids": train_ids,
        "test_ids": test_ids,
        "images_per_camera": images_per_camera,
        "size": tuple(size),
        "seed": seed,
    }
    _check_arguments(**parameters)
    root = Path(root).absolute()
    split = _sysu_split(train_ids, test_ids)
    presence = _sysu_presence(split, seed)
    permutations = _sysu_permutations(
        presence, n_ids=train_ids + test_ids, images=images_per_camera, seed=seed
    )
    staged = _stage(root)
    try:
        _write_sysu_images(
            staged, presence, images=images_per_camera, size=size, seed=seed, progress=progress
        )
        _write_sysu_lists(staged / "exp", split, permutations)
        _write_parameters(staged, "sysu", parameters)
        _publish(staged, root)
    except BaseException:  # an interrupt too must not leave a half set behind
        shutil.rmtree(staged, ignore_errors=True)
        raise


LAYOUTS: dict[str, Callable[..., None]] = {"sysu": write_sysu}
