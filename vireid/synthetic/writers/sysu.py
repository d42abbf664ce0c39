"""The layout of SYSU-MM01, and sets with as many images of each identity as SYSU-MM01 has.

``cam{1..6}/{pid:04d}/{n:04d}.jpg``, ``exp/{train,val,test,available}_id.txt`` and
``exp/rand_perm_cam.mat``.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.errors import DataError
from vireid.synthetic.cameras import sysu_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot
from vireid.utils.io import read_ids
from vireid.utils.matlab import read_mat, read_nested_cells

CAMERAS = range(1, 7)
INFRARED_CAMERAS = frozenset({3, 6})
TRIALS = 10  # rows of every permutation matrix
PARTIAL_CAMERAS = (1, 2)  # the same identities are missing from both, as in the real set
PARTIAL_SHARE = 0.6
MAX_NUMBER = 9999  # identity folders and file names have four digits

Counts = Mapping[tuple[int, int], int]  # (camera, pid) → images
IdLists = dict[str, list[int]]  # "train", "val", "test" → identities


def _set_content(counts: Counts, lists: IdLists, permutations: bytes) -> SetContent:
    """``n`` runs from 1 without gaps."""
    shots = [
        Shot(pid, camera, n, f"cam{camera}/{pid:04d}/{n:04d}.jpg")
        for (camera, pid), images in sorted(counts.items())
        for n in range(1, images + 1)
    ]
    lists = {**lists, "available": sorted(pid for pids in lists.values() for pid in pids)}
    files: dict[str, str | bytes] = {"exp/rand_perm_cam.mat": permutations}
    files |= {f"exp/{name}_id.txt": ",".join(map(str, pids)) + "\n" for name, pids in lists.items()}
    return SetContent(shots, files)


def draw_permutations(counts: Counts, seed: int) -> np.ndarray:
    """(6, 1) cells of (ids, 1) cells of (10, n) permutations of 1..n; n = 0 where absent."""
    dtype = np.uint8 if max(counts.values()) < 256 else np.uint16
    last = max(pid for _, pid in counts)
    cells = np.empty((len(CAMERAS), 1), object)
    for camera in CAMERAS:
        rows = np.empty((last, 1), object)
        for pid in range(1, last + 1):
            rng = np.random.default_rng([seed, 0, camera, pid])
            trials = [rng.permutation(counts.get((camera, pid), 0)) + 1 for _ in range(TRIALS)]
            rows[pid - 1, 0] = np.stack(trials).astype(dtype)
        cells[camera - 1, 0] = rows
    return cells


def _counts(lists: IdLists, numbers: SetNumbers) -> Counts:
    """A share of each list is seen by cameras 1 and 2, everyone by the others."""
    rng = numbers.random("presence")
    partial: set[int] = set()
    for pids in lists.values():
        kept = max(round(PARTIAL_SHARE * len(pids)), (len(pids) + 1) // 2)
        partial.update(rng.permutation(pids)[:kept].tolist())
    return {
        (camera, pid): numbers.images
        for camera in CAMERAS
        for pid in numbers.pids
        if camera not in PARTIAL_CAMERAS or pid in partial
    }


def _content(numbers: SetNumbers) -> SetContent:
    """One in four training identities validates; 60 % of all are seen by cameras 1 and 2."""
    pids, end = list(numbers.pids), numbers.train_ids
    training = end - end // 4
    lists = {"train": pids[:training], "val": pids[training:end], "test": pids[end:]}
    counts, file = _counts(lists, numbers), BytesIO()
    savemat(file, {"rand_perm_cam": draw_permutations(counts, numbers.seed)})
    return _set_content(counts, lists, file.getvalue())


def _counted_content(path: Path) -> SetContent:
    """Every image that ``rand_perm_cam.mat`` counts, also of identities in no list."""
    counts = read_counts(path)
    return _set_content(counts, read_split(path.parent, counts), path.read_bytes())


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
    if max(max(counts.values()), max(pid for _, pid in counts)) > MAX_NUMBER:
        raise DataError(f"{path} holds no counts of four digits: give SYSU-MM01's own file")
    return counts


def read_split(folder: Path, counts: Counts) -> IdLists:
    """Identities by list: the published lists where they are in ``folder``.

    Validation identities are those of no other list that both modalities saw. Without any list,
    the identities that both saw are divided in the published proportion, in ascending order.

    Raises:
        DataError: a list cannot be read, one of those for training and test is missing, or they
            do not fit.
    """
    infrared = {pid for camera, pid in counts if camera in INFRARED_CAMERAS}
    both = sorted({pid for camera, pid in counts if camera not in INFRARED_CAMERAS} & infrared)
    train, val, test = (_read_list(folder, name) for name in ("train", "val", "test"))
    if train is None and test is None:  # published: 296 : 99 : 96
        first, second = round(0.6 * len(both)), round(0.8 * len(both))
        return {"train": both[:first], "val": both[first:second], "test": both[second:]}
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
            f"{matrix} must hold identities in a variable 'id': copy it again, or leave it out"
        )
    return [int(pid) for pid in ids.ravel()]


SYSU = Layout(
    draw_cameras=sysu_cameras,
    content=_content,
    counted_content=_counted_content,
    images=6,
)
