"""The layout of LLCM."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vireid.synthetic.pedestrians.cameras import MODALITY_OF, Camera, llcm_cameras
from vireid.synthetic.writers.common import (
    CAMERA_STREAM,
    NAME_STREAM,
    PRESENCE_STREAM,
    SPLIT_STREAM,
    Shot,
    Studio,
    checked_parameters,
    staged,
    write_ids,
    write_parameters,
)
from vireid.synthetic.writers.processes import take

CAMERAS = range(1, 10)
INFRARED = 10  # the near-infrared pictures of camera c have the key c + 10
MIN_CAMERAS = 4  # that see an identity; it is searched for in other cameras than its own
KINDS = ("vis", "nir")
FIRST_HOUR = {"vis": 7, "nir": 19}
LAST_HOUR = {"vis": 18, "nir": 23}


def _presence(pid: int, seed: int) -> set[int]:
    """Cameras that see an identity, by day and by night alike."""
    rng = np.random.default_rng([seed, *PRESENCE_STREAM, pid])
    number = int(rng.integers(MIN_CAMERAS, len(CAMERAS) + 1))
    return {int(camera) + 1 for camera in rng.permutation(len(CAMERAS))[:number]}


def _shots(pid: int, key: int, kind: str, images: int, seed: int) -> list[Shot]:
    """One passage before one camera, as times and frames in the names tell."""
    rng = np.random.default_rng([seed, *NAME_STREAM, pid, key])
    hour = rng.integers(FIRST_HOUR[kind], LAST_HOUR[kind] + 1)
    time = f"{hour:02d}{rng.integers(60):02d}{rng.integers(60):02d}"
    first = int(rng.integers(1, 6000))
    stem = f"{kind}/{pid:04d}/{pid:04d}_c{key % INFRARED:02d}_s{time}"
    return [Shot(pid, key, n, f"{stem}_f{first + 17 * n}_{kind}.jpg") for n in range(1, images + 1)]


def _all_shots(
    cameras: Mapping[int, Camera], n_ids: int, images: int, seed: int
) -> dict[str, list[Shot]]:
    """By kind."""
    shots: dict[str, list[Shot]] = {kind: [] for kind in KINDS}
    for pid in range(1, n_ids + 1):
        seen_by = _presence(pid, seed)
        for key, camera in sorted(cameras.items()):
            if key % INFRARED in seen_by:
                kind = KINDS[MODALITY_OF[camera.spectrum]]
                shots[kind] += _shots(pid, key, kind, images, seed)
    return shots


def _write_lists(
    folder: Path, shots: Mapping[str, Sequence[Shot]], split: Mapping[str, list[int]]
) -> None:
    """``{train,test}_{vis,nir}.txt`` with lines ``<path> <label>``, and ``test_id.txt``."""
    folder.mkdir()
    for part, pids in split.items():
        label_of = {pid: label for label, pid in enumerate(pids)}
        for kind in KINDS:
            listed = [shot for shot in shots[kind] if shot.pid in label_of]
            text = "".join(f"{shot.path} {label_of[shot.pid]}\n" for shot in listed)
            (folder / f"{part}_{kind}.txt").write_text(text, encoding="ascii")
    write_ids(folder / "test_id.txt", split["test"])


def _copy_test_images(
    folder: Path, shots: Mapping[str, Sequence[Shot]], pids: Sequence[int]
) -> None:
    """``test_vis/cam{c}/{pid:04d}`` and ``test_nir/…`` repeat the test images, as the real set."""
    wanted = set(pids)
    for kind in KINDS:
        for shot in shots[kind]:
            if shot.pid in wanted:
                target = folder / f"test_{kind}/cam{shot.camera % INFRARED}/{shot.pid:04d}"
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / shot.path, target / Path(shot.path).name)


def write_llcm(
    root: Path,
    *,
    train_ids: int,
    test_ids: int,
    images_per_camera: int = 4,
    size: tuple[int, int],
    seed: int,
    progress: bool = False,
    workers: int = 1,
) -> None:
    """Write a synthetic set in the layout of LLCM: nine cameras in poor light, by day and night.

    ``{vis,nir}/{pid:04d}/{pid:04d}_c{cc}_s{time}_f{frame}_{vis,nir}.jpg``, copies of the test
    images in ``test_{vis,nir}/cam{c}/{pid:04d}/``, ``idx/{train,test}_{vis,nir}.txt``,
    ``idx/test_id.txt`` and ``synthetic.json``. ``root`` appears only once it is complete.

    Args:
        train_ids, test_ids: numbers of identities; which ones test is drawn with the seed.
        images_per_camera: per identity and modality, in each of the 4 to 9 cameras that see it;
            camera 3 has no near-infrared images.
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
    cameras = llcm_cameras(np.random.default_rng([seed, *CAMERA_STREAM]))
    shots = _all_shots(cameras, train_ids + test_ids, images_per_camera, seed)
    order = np.random.default_rng([seed, *SPLIT_STREAM]).permutation(train_ids + test_ids) + 1
    split = {"train": sorted(order[test_ids:].tolist()), "test": sorted(order[:test_ids].tolist())}
    studio = Studio(cameras, seed, tuple(size))
    with staged(root) as folder:
        every = [shot for kind in KINDS for shot in shots[kind]]
        take(studio, folder, every, workers=workers, progress=progress)
        _copy_test_images(folder, shots, split["test"])
        _write_lists(folder / "idx", shots, split)
        write_parameters(folder, "llcm", parameters)
