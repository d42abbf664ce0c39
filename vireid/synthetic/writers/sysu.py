"""The layout of SYSU-MM01, and sets with as many images of each identity as SYSU-MM01 has.

``cam{1..6}/{pid:04d}/{n:04d}.jpg``, ``exp/{train,val,test,available}_id.txt`` and
``exp/rand_perm_cam.mat``.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vireid.errors import DataError
from vireid.synthetic.cameras import sysu_cameras
from vireid.synthetic.writers.layout import (
    PRESENCE_STREAM,
    Layout,
    SetContent,
    SetNumbers,
    id_line,
)
from vireid.synthetic.writers.pictures import Shot
from vireid.utils.matlab import read_mat, read_nested_cells

CAMERAS = range(1, 7)
INFRARED_CAMERAS = frozenset({3, 6})
TRIALS = 10  # rows of every permutation matrix
PARTIAL_CAMERAS = (1, 2)  # the same identities are missing from both, as in the real set
PARTIAL_SHARE = 0.6
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # without published lists: about 296 : 99 : 96
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
    available = sorted(pid for pids in lists.values() for pid in pids)
    files: dict[str, str | bytes] = {
        f"exp/{name}_id.txt": id_line(pids)
        for name, pids in {**lists, "available": available}.items()
    }
    return SetContent(shots, {**files, "exp/rand_perm_cam.mat": permutations})


def draw_permutations(presence: Mapping[int, set[int]], *, images: int, seed: int) -> np.ndarray:
    """(6, 1) cells of (ids, 1) cells of (10, n) permutations of 1..n; n = 0 where absent."""
    dtype = np.uint8 if images < 256 else np.uint16
    n_ids = max(set().union(*presence.values()))
    cells = np.empty((len(CAMERAS), 1), object)
    for camera, present in presence.items():
        rows = np.empty((n_ids, 1), object)
        for pid in range(1, n_ids + 1):
            rng = np.random.default_rng([seed, 0, camera, pid])
            count = images if pid in present else 0
            trials = [rng.permutation(count) + 1 for _ in range(TRIALS)]
            rows[pid - 1, 0] = np.stack(trials).astype(dtype)
        cells[camera - 1, 0] = rows
    return cells


def _presence(lists: IdLists, seed: int) -> dict[int, set[int]]:
    """Identities by camera: a share of each list in cameras 1 and 2, all of them elsewhere."""
    rng = np.random.default_rng([seed, *PRESENCE_STREAM])
    partial: set[int] = set()
    for pids in lists.values():
        kept = max(round(PARTIAL_SHARE * len(pids)), (len(pids) + 1) // 2)
        partial.update(int(pid) for pid in rng.permutation(pids)[:kept])
    everyone = {pid for pids in lists.values() for pid in pids}
    return {camera: partial if camera in PARTIAL_CAMERAS else everyone for camera in CAMERAS}


def _content(numbers: SetNumbers) -> SetContent:
    """One in four training identities validates; 60 % of all are seen by cameras 1 and 2."""
    pids = list(numbers.pids)
    training = numbers.train_ids - numbers.train_ids // 4
    lists = {
        "train": pids[:training],
        "val": pids[training : numbers.train_ids],
        "test": pids[numbers.train_ids :],
    }
    presence = _presence(lists, numbers.seed)
    counts = {(camera, pid): numbers.images for camera in CAMERAS for pid in presence[camera]}
    file = BytesIO()
    permutations = draw_permutations(presence, images=numbers.images, seed=numbers.seed)
    savemat(file, {"rand_perm_cam": permutations})
    return _set_content(counts, lists, file.getvalue())


def _counted_content(path: Path) -> SetContent:
    """Every image that ``rand_perm_cam.mat`` counts, also of identities in no list.

    ``{train,val,test}_id`` (``.txt`` or ``.mat``) beside it decide the split.
    """
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
    lists = {name: _read_list(folder, name) for name in SHARES}
    train, val, test = lists.values()
    if train is None and test is None:
        ends = [round(len(both) * share) for share in np.cumsum(list(SHARES.values()))]
        starts = [0, *ends[:-1]]
        return {
            name: both[start:end] for name, start, end in zip(SHARES, starts, ends, strict=True)
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
        try:
            lines = text.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise DataError(f"{text} cannot be read ({error.strerror})") from error
        items = [item.strip() for item in lines.replace("\n", ",").split(",") if item.strip()]
        if not all(re.fullmatch("[0-9]{1,18}", item) for item in items):
            raise DataError(f"{text} must hold one comma-separated line of identity numbers")
        return [int(item) for item in items]
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
    columns=(
        tuple((f"cam{c}", c, k) for c in (1, 2, 4, 5) for k in (0, 1)),
        tuple((f"cam{c} IR", c, k) for c in (3, 6) for k in (0, 1)),
    ),
)
