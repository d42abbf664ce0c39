"""The layout of RegDB: a visible and a thermal camera side by side.

``{Visible,Thermal}/{pid}/{sex}_{side}_{v|t}_{number}_{pid}.bmp`` and
``idx/{train,test}_{visible,thermal}_{1..10}.txt``: ten random splits of all identities.
"""

from vireid.synthetic.cameras import regdb_cameras
from vireid.synthetic.writers.layout import Layout, SetContent, SetNumbers
from vireid.synthetic.writers.pictures import Shot, person_of

TRIALS = range(1, 11)
FOLDERS = {1: "Visible", 2: "Thermal"}  # by camera


def _shots(pid: int, numbers: SetNumbers) -> list[Shot]:
    """An identity is seen from one side in all its images."""
    person = person_of(numbers.seed, pid)
    sex = "male" if person.shoulder > 1.27 * person.hip else "female"
    behind = bool(numbers.random("names", pid).random() < 0.5)
    shots = []
    for camera, folder in FOLDERS.items():
        stem = f"{folder}/{pid}/{sex}_{'back' if behind else 'front'}_{folder[0].lower()}"
        for n in range(1, numbers.images + 1):
            number = (pid - 1) * numbers.images + n  # the real ones run over the whole recording
            path = f"{stem}_{number:05d}_{pid}.bmp"
            shots.append(Shot(pid, camera, n, path, from_behind=behind))
    return shots


def _content(numbers: SetNumbers) -> SetContent:
    """Lists of ``<path> <label>``; lines go round the identities, once for each image number."""
    shots = [shot for pid in numbers.pids for shot in _shots(pid, numbers)]
    path_of = {(shot.camera, shot.index, shot.pid): shot.path for shot in shots}
    files = {}
    for trial in TRIALS:
        order = numbers.random("split", trial).permutation(numbers.pids).tolist()
        parts = {"train": order[: numbers.train_ids], "test": order[numbers.train_ids :]}
        for part, pids in parts.items():
            for camera, folder in FOLDERS.items():
                files[f"idx/{part}_{folder.lower()}_{trial}.txt"] = "".join(
                    f"{path_of[camera, n, pid]} {label}\n"
                    for n in range(1, numbers.images + 1)
                    for label, pid in enumerate(pids)
                )
    return SetContent(shots, files)


REGDB = Layout(
    draw_cameras=regdb_cameras,
    content=_content,
    images=10,
)
