"""The layout of RegDB: a visible and a thermal camera side by side.

``{Visible,Thermal}/{pid}/{sex}_{side}_{v|t}_{number}_{pid}.bmp`` and
``idx/{train,test}_{visible,thermal}_{1..10}.txt``: ten random splits of all identities.
"""

from collections.abc import Sequence

import numpy as np

from vireid.synthetic.cameras import regdb_cameras
from vireid.synthetic.writers.layout import (
    NAME_STREAM,
    SPLIT_STREAM,
    Layout,
    SetContent,
    SetNumbers,
)
from vireid.synthetic.writers.pictures import Shot, person_of

TRIALS = range(1, 11)
FOLDERS = {1: "Visible", 2: "Thermal"}  # by camera


def _shots(pid: int, numbers: SetNumbers) -> list[Shot]:
    """An identity is seen from one side in all its images."""
    person = person_of(numbers.seed, pid)
    sex = "male" if person.shoulder > 1.27 * person.hip else "female"
    behind = bool(np.random.default_rng([numbers.seed, *NAME_STREAM, pid]).random() < 0.5)
    shots = []
    for camera, folder in FOLDERS.items():
        stem = f"{folder}/{pid}/{sex}_{'back' if behind else 'front'}_{folder[0].lower()}"
        for n in range(1, numbers.images + 1):
            number = (pid - 1) * numbers.images + n  # the real ones run over the whole recording
            path = f"{stem}_{number:05d}_{pid}.bmp"
            shots.append(Shot(pid, camera, n, path, from_behind=behind))
    return shots


def _lists(shots: Sequence[Shot], numbers: SetNumbers) -> dict[str, str]:
    """``<path> <label>``; the lines go round the identities, once for each image number."""
    path_of = {(shot.camera, shot.index, shot.pid): shot.path for shot in shots}
    files = {}
    for trial in TRIALS:
        rng = np.random.default_rng([numbers.seed, *SPLIT_STREAM, trial])
        order = (rng.permutation(len(numbers.pids)) + 1).tolist()
        parts = {"train": order[: numbers.train_ids], "test": order[numbers.train_ids :]}
        for part, pids in parts.items():
            for camera, folder in FOLDERS.items():
                files[f"idx/{part}_{folder.lower()}_{trial}.txt"] = "".join(
                    f"{path_of[camera, n, pid]} {label}\n"
                    for n in range(1, numbers.images + 1)
                    for label, pid in enumerate(pids)
                )
    return files


def _content(numbers: SetNumbers) -> SetContent:
    shots = [shot for pid in numbers.pids for shot in _shots(pid, numbers)]
    return SetContent(shots, _lists(shots, numbers))


REGDB = Layout(
    draw_cameras=regdb_cameras,
    content=_content,
    images=10,
    columns=tuple(
        tuple((folder.lower(), camera, k) for k in range(5)) for camera, folder in FOLDERS.items()
    ),
)
