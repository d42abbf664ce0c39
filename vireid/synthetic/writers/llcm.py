"""The layout of LLCM: nine cameras in poor light, by day and by night.

``{vis,nir}/{pid:04d}/{pid:04d}_c{cc}_s{time}_f{frame}_{vis,nir}.jpg``, copies of the test images in
``test_{vis,nir}/cam{c}/{pid:04d}/``, ``idx/{train,test}_{vis,nir}.txt`` and ``idx/test_id.txt``.
"""

from pathlib import PurePosixPath

import numpy as np

from vireid.synthetic.cameras import llcm_cameras
from vireid.synthetic.writers.layout import (
    NAME_STREAM,
    PRESENCE_STREAM,
    SPLIT_STREAM,
    Layout,
    SetContent,
    SetNumbers,
    id_line,
)
from vireid.synthetic.writers.pictures import Shot

CAMERAS = range(1, 10)
DAY_ONLY = 3  # camera without near infrared
INFRARED = 10  # the near-infrared pictures of camera c have the key c + 10
MIN_CAMERAS = 4  # that see an identity; it is searched for in other cameras than the query's
HOURS = {"vis": (7, 18), "nir": (19, 23)}  # first and last


def _kind(camera: int) -> str:
    return "nir" if camera > INFRARED else "vis"


def _seen_by(pid: int, seed: int) -> list[int]:
    """Cameras that see an identity, by day and by night alike."""
    rng = np.random.default_rng([seed, *PRESENCE_STREAM, pid])
    number = int(rng.integers(MIN_CAMERAS, len(CAMERAS) + 1))
    days = sorted(int(camera) + 1 for camera in rng.permutation(len(CAMERAS))[:number])
    return [*days, *(camera + INFRARED for camera in days if camera != DAY_ONLY)]


def _shots(pid: int, camera: int, numbers: SetNumbers) -> list[Shot]:
    """One passage before one camera, with a time and frame numbers in the names."""
    rng = np.random.default_rng([numbers.seed, *NAME_STREAM, pid, camera])
    kind = _kind(camera)
    first_hour, last_hour = HOURS[kind]
    hour = rng.integers(first_hour, last_hour + 1)
    time = f"{hour:02d}{rng.integers(60):02d}{rng.integers(60):02d}"
    frame = int(rng.integers(1, 6000))
    stem = f"{kind}/{pid:04d}/{pid:04d}_c{camera % INFRARED:02d}_s{time}"
    return [
        Shot(pid, camera, n, f"{stem}_f{frame + 17 * n}_{kind}.jpg")
        for n in range(1, numbers.images + 1)
    ]


def _content(numbers: SetNumbers) -> SetContent:
    shots = [
        shot
        for pid in numbers.pids
        for camera in _seen_by(pid, numbers.seed)
        for shot in _shots(pid, camera, numbers)
    ]
    rng = np.random.default_rng([numbers.seed, *SPLIT_STREAM])
    order = (rng.permutation(len(numbers.pids)) + 1).tolist()
    test = sorted(order[: numbers.test_ids])
    files = {"idx/test_id.txt": id_line(test)}
    for part, pids in {"train": sorted(order[numbers.test_ids :]), "test": test}.items():
        label_of = {pid: label for label, pid in enumerate(pids)}
        for kind in HOURS:
            files[f"idx/{part}_{kind}.txt"] = "".join(
                f"{shot.path} {label_of[shot.pid]}\n"
                for shot in shots
                if shot.pid in label_of and _kind(shot.camera) == kind
            )
    tested = set(test)
    copies = {_copy_of(shot): shot.path for shot in shots if shot.pid in tested}
    return SetContent(shots, files, copies)


def _copy_of(shot: Shot) -> str:
    """The real set repeats its test images, sorted by camera."""
    folder = f"test_{_kind(shot.camera)}/cam{shot.camera % INFRARED}/{shot.pid:04d}"
    return f"{folder}/{PurePosixPath(shot.path).name}"


LLCM = Layout(
    draw_cameras=llcm_cameras,
    content=_content,
    images=4,
    columns=tuple(
        tuple((f"c{c} {kind}", c + first, 0) for c in (1, 2, 4, 5, 6, 7))
        for kind, first in (("vis", 0), ("nir", INFRARED))
    ),
)
