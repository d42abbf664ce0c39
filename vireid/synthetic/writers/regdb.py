"""The layout of RegDB."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.synthetic.pedestrians.cameras import regdb_cameras
from vireid.synthetic.writers.common import (
    CAMERA_STREAM,
    NAME_STREAM,
    SPLIT_STREAM,
    Shot,
    Studio,
    checked_parameters,
    person_of,
    staged,
    write_parameters,
)
from vireid.synthetic.writers.processes import take

TRIALS = range(1, 11)
FOLDERS = {1: "Visible", 2: "Thermal"}  # by camera


def _looks(seed: int, pid: int) -> tuple[str, bool]:
    """("male" or "female", from behind): an identity is seen from one side in all its images."""
    person = person_of(seed, pid)
    rng = np.random.default_rng([seed, *NAME_STREAM, pid])
    return ("male" if person.shoulder > 1.27 * person.hip else "female"), bool(rng.random() < 0.5)


def _shots(pid: int, camera: int, images: int, seed: int) -> list[Shot]:
    sex, behind = _looks(seed, pid)
    folder = FOLDERS[camera]
    stem = f"{sex}_{'back' if behind else 'front'}_{folder[0].lower()}"
    return [
        Shot(
            pid,
            camera,
            n,
            # The real numbers run over the whole recording.
            f"{folder}/{pid}/{stem}_{(pid - 1) * images + n:05d}_{pid}.bmp",
            from_behind=behind,
        )
        for n in range(1, images + 1)
    ]


def _lines(shots: Sequence[Shot], pids: Sequence[int], camera: int, images: int) -> str:
    """``<path> <label>``; the lines go round the identities, once for each image number."""
    path_of = {(shot.pid, shot.index): shot.path for shot in shots if shot.camera == camera}
    lines = [
        f"{path_of[pid, n]} {label}" for n in range(1, images + 1) for label, pid in enumerate(pids)
    ]
    return "\n".join(lines) + "\n"


def _write_lists(folder: Path, shots: Sequence[Shot], *, train_ids: int, seed: int) -> None:
    """Each of the ten splits parts all identities anew."""
    folder.mkdir()
    n_ids, images = max(shot.pid for shot in shots), max(shot.index for shot in shots)
    for trial in TRIALS:
        rng = np.random.default_rng([seed, *SPLIT_STREAM, trial])
        order = (rng.permutation(n_ids) + 1).tolist()
        for part, pids in {"train": order[:train_ids], "test": order[train_ids:]}.items():
            for camera, name in FOLDERS.items():
                text = _lines(shots, pids, camera, images)
                path = folder / f"{part}_{name.lower()}_{trial}.txt"
                path.write_text(text, encoding="ascii")


def write_regdb(
    root: Path,
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int = 10,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set in the layout of RegDB: a visible and a thermal camera side by side.

    ``{Visible,Thermal}/{pid}/{sex}_{side}_{v|t}_{number}_{pid}.bmp``,
    ``idx/{train,test}_{visible,thermal}_{1..10}.txt`` and ``synthetic.json``. ``root`` appears
    only once it is complete.

    Args:
        train_ids, test_ids: identities on either side of each of the ten splits.
        images_per_camera: per identity.
        size, seed, progress, workers: as for ``write_sysu``.
    Raises:
        ValueError: an argument is out of range.
        FileExistsError: root is there and not an empty folder.
    """
    parameters = checked_parameters(
        train_ids=train_ids,
        test_ids=test_ids,
        images_per_camera=images_per_camera,
        size=size,
        seed=seed,
        workers=workers,
    )
    shots = [
        shot
        for pid in range(1, train_ids + test_ids + 1)
        for camera in FOLDERS
        for shot in _shots(pid, camera, images_per_camera, seed)
    ]
    cameras = regdb_cameras(np.random.default_rng([seed, *CAMERA_STREAM]))
    with staged(root) as folder:
        take(Studio(cameras, seed, tuple(size)), folder, shots, workers=workers, progress=progress)
        _write_lists(folder / "idx", shots, train_ids=train_ids, seed=seed)
        write_parameters(folder, "regdb", parameters)
