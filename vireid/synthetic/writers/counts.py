"""A set with as many images of each identity in each camera as SYSU-MM01 has."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vireid.data.datasets.files import read_ids
from vireid.errors import DataError
from vireid.synthetic.writers.common import (
    MAX_NUMBER,
    Studio,
    check_picture,
    staged,
    write_parameters,
)
from vireid.synthetic.writers.processes import take
from vireid.synthetic.writers.sysu import CAMERAS, Counts, sysu_cameras_of, sysu_shots, write_lists
from vireid.utils.matlab import read_mat, read_nested_cells

INFRARED_CAMERAS = frozenset({3, 6})
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # where no list says: about 296 : 99 : 96


def read_counts(path: Path) -> Counts:
    """Images by (camera, identity) of a ``rand_perm_cam.mat``: the length of its permutations.

    Raises:
        DataError: missing, or of another structure.
    """
    cells = read_nested_cells(path, "rand_perm_cam")
    counts = {key: rows.shape[1] for key, rows in cells.items()}
    if {camera for camera, _ in counts} != set(CAMERAS):
        raise DataError(
            f"{path} is not SYSU-MM01's rand_perm_cam.mat: it must hold permutations of six "
            "cameras; give the file of its official evaluation code"
        )
    if not counts or max(max(counts.values()), max(pid for _, pid in counts)) > MAX_NUMBER:
        raise DataError(f"{path} holds no counts of four digits: give SYSU-MM01's own file")
    return counts


def read_split(folder: Path, counts: Counts) -> dict[str, list[int]]:
    """Identities by list: the published lists where they lie in ``folder``.

    Validation identities are those of no other list that both modalities saw. Without any list,
    the identities that both saw are shared out in the published proportion, in ascending order.

    Raises:
        DataError: a list cannot be read, one of those for training and test is missing, or they
            do not fit.
    """
    infrared = {pid for camera, pid in counts if camera in INFRARED_CAMERAS}
    both = sorted({pid for camera, pid in counts if camera not in INFRARED_CAMERAS} & infrared)
    lists = {name: _read_list(folder, name) for name in SHARES}
    train, val, test = lists.values()
    if train is None and test is None:
        ends = [round(len(both) * share) for share in np.cumsum(list(SHARES.values()))]
        return {
            name: both[start:end]
            for name, start, end in zip(SHARES, [0, *ends], ends, strict=False)
        }
    if train is None or test is None:
        missing = "test" if test is None else "train"
        raise DataError(
            f"{folder} has lists of identities but no {missing}_id.txt or {missing}_id.mat: "
            "give all of them or none"
        )
    if val is None:
        val = sorted(set(both) - set(train) - set(test))
    unseen = {*train, *val, *test} - {pid for _, pid in counts}
    if unseen:
        raise DataError(f"{folder}: lists name identities without images: {sorted(unseen)[:5]}")
    return {"train": train, "val": val, "test": test}


def _read_list(folder: Path, name: str) -> list[int] | None:
    text, matrix = folder / f"{name}_id.txt", folder / f"{name}_id.mat"
    if text.is_file():
        return read_ids(text)
    if not matrix.is_file():
        return None
    ids = read_mat(matrix, "id")
    if ids.dtype.kind not in "iuf":
        raise DataError(
            f"{matrix} must hold identities in a variable 'id': copy it anew, or leave it out"
        )
    return [int(pid) for pid in ids.ravel()]


def write_sysu_counts(
    root: Path,
    *,
    counts: Path,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set with the identity numbers and image counts of a permutation file.

    As ``write_sysu``, with every image that the file counts, also of identities in no list.

    Args:
        counts: ``rand_perm_cam.mat``, copied to ``exp``; ``{train,val,test}_id`` (``.txt`` or
            ``.mat``) beside it decide the split.
        size: (height, width) of the pictures in pixels.
        progress: show a bar when standard error is a terminal.
        workers: processes that render, 0 for one per processor; they change nothing in the files.
    Raises:
        ValueError: an argument is out of range.
        DataError: a file is missing, or not what it should be.
        FileExistsError: root is there and not an empty folder.
    """
    check_picture(size=size, seed=seed, workers=workers)
    counts = Path(counts)
    images: Mapping[tuple[int, int], int] = read_counts(counts)
    split = read_split(counts.parent, images)
    studio = Studio(sysu_cameras_of(seed), seed, tuple(size))
    with staged(root) as folder:
        take(studio, folder, sysu_shots(images), workers=workers, progress=progress)
        for camera in CAMERAS:
            (folder / f"cam{camera}").mkdir(exist_ok=True)
        write_lists(folder / "exp", split)
        shutil.copyfile(counts, folder / "exp/rand_perm_cam.mat")
        digest = hashlib.sha256(counts.read_bytes()).hexdigest()
        write_parameters(
            folder, "sysu", {"counts_sha256": digest, "size": tuple(size), "seed": seed}
        )
