"""Writes a synthetic set: checked numbers, pictures, lists, and a folder that appears complete."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vireid.synthetic import RENDERER_VERSION
from vireid.synthetic.writers.bupt import BUPT
from vireid.synthetic.writers.folder import FOLDER
from vireid.synthetic.writers.layout import Layout, SetNumbers
from vireid.synthetic.writers.llcm import LLCM
from vireid.synthetic.writers.orbench import ORBENCH
from vireid.synthetic.writers.pictures import Studio, save_all
from vireid.synthetic.writers.regdb import REGDB
from vireid.synthetic.writers.sysu import MAX_NUMBER, SYSU
from vireid.synthetic.writers.vcm import VCM
from vireid.synthetic.writers.vehicles import VEHICLEID, VERI

LAYOUTS = {
    "sysu": SYSU,
    "regdb": REGDB,
    "llcm": LLCM,
    "vcm": VCM,
    "bupt": BUPT,
    "orbench": ORBENCH,
    "folder": FOLDER,
    "veri": VERI,
    "vehicleid": VEHICLEID,
}


def write_set(
    layout: str,
    root: Path,
    *,
    train_ids: int = 0,
    test_ids: int = 0,
    images_per_camera: int | None = None,
    counts: Path | None = None,
    size: tuple[int, int] | None = None,
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set in a layout; ``root`` appears only once it is complete.

    Args:
        layout: one of LAYOUTS.
        train_ids: training and validation identities together.
        test_ids: test identities; VehicleID's three test lists need three of them.
        images_per_camera: per identity, in each camera that sees it; frames per track in layouts
            of tracks; None: as suits the layout.
        counts: a real set's file that decides identities and images instead of these three, for
            layouts with ``counted_content``; SYSU-MM01's ``rand_perm_cam.mat``, beside which
            ``{train,val,test}_id`` (``.txt`` or ``.mat``) decide the split.
        size: (height, width) of the pictures in pixels; None: as suits the layout.
        progress: show a bar when standard error is a terminal.
        workers: processes that render, 0 for one per processor; they change nothing in the files.
    Raises:
        ValueError: an argument is out of range, or does not fit the names of folders and files.
        FileExistsError: root exists and is not an empty folder.
        DataError: the file of counts or a list is missing, or not what it should be.
    """
    chosen = LAYOUTS[layout]
    studio = _studio(chosen, size, seed)
    record: dict[str, Any] = {"layout": layout, "renderer_version": RENDERER_VERSION}
    if counts is None:
        images = chosen.images if images_per_camera is None else images_per_camera
        numbers = {"train_ids": train_ids, "test_ids": test_ids, "images_per_camera": images}
        _check_numbers(numbers, chosen)
        content = chosen.content(SetNumbers(train_ids, test_ids, images, seed))
        record |= numbers
    else:
        assert chosen.counted_content is not None
        content = chosen.counted_content(counts)
        record["counts_sha256"] = hashlib.sha256(counts.read_bytes()).hexdigest()
    _check_number("workers", workers, 0, 1024)
    record |= {"size": studio.size, "seed": seed}
    files = {**content.files, "synthetic.json": json.dumps(record, indent=2) + "\n"}
    pictures = [shot.path for shot in content.shots]
    with _staged(root) as folder:
        for parent in {(folder / path).parent for path in (*pictures, *files, *content.copies)}:
            parent.mkdir(parents=True, exist_ok=True)
        save_all(studio, folder, content.shots, workers=workers, progress=progress)
        for copy, original in content.copies.items():
            shutil.copyfile(folder / original, folder / copy)
        for path, text in files.items():
            (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode("ascii"))


def _check_numbers(numbers: Mapping[str, int], layout: Layout) -> None:
    least = {"test_ids": layout.least_test_ids, "images_per_camera": layout.least_images}
    for name, value in numbers.items():
        _check_number(name, value, least.get(name, 1), MAX_NUMBER)
    if numbers["train_ids"] + numbers["test_ids"] > MAX_NUMBER:
        raise ValueError(
            f"train_ids + test_ids={numbers['train_ids'] + numbers['test_ids']} does not fit the "
            f"four digits of an identity folder: ask for {MAX_NUMBER} identities or fewer in all"
        )


def _check_number(name: str, value: int, minimum: int, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise ValueError(
            f"{name}={value!r} is out of range: give a whole number from {minimum} to {maximum}"
        )


def _studio(layout: Layout, size: tuple[int, int] | None, seed: int) -> Studio:
    size = size or layout.size
    _check_number("seed", seed, 0, 2**32 - 1)
    if len(size) != 2:
        raise ValueError(f"size={size!r} must be (height, width): give two whole numbers")
    _check_number("size (height)", size[0], 32, 2048)
    _check_number("size (width)", size[1], 16, 2048)
    return layout.studio(seed, size)


@contextmanager
def _staged(root: Path) -> Iterator[Path]:
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
    except BaseException:  # an interrupt too must not leave half a set behind
        shutil.rmtree(folder, ignore_errors=True)
        raise
