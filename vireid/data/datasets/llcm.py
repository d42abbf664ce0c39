"""LLCM: nine cameras, near-infrared in low light (Zhang & Wang, CVPR 2023)."""

from __future__ import annotations

import re
from pathlib import Path

from vireid.data.datasets.files import (
    check_apart,
    hold_out,
    images_in,
    listed_path,
    read_ids,
    read_lists,
    require_root,
)
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

TREE = """\
  ROOT/vis/<identity>/<identity>_c<camera>_<…>.jpg   ROOT/nir/<identity>/<…>.jpg   training
  ROOT/test_vis/cam1 … cam9/<identity>/<image>.jpg   ROOT/test_nir/…, without cam3
  ROOT/idx/train_vis.txt  train_nir.txt   lines: nir/0351/0351_c06_s200656_f4830_nir.jpg 0
  ROOT/idx/test_id.txt                    one comma-separated line"""
WHERE = "LLCM is given on request, under an agreement: https://github.com/ZYK100/LLCM"
FOLDERS = {"vis": Modality.VISIBLE, "nir": Modality.INFRARED}
TEST_FOLDERS = {f"test_{kind}": modality for kind, modality in FOLDERS.items()}
TRAIN_LISTS = {f"idx/train_{kind}.txt": modality for kind, modality in FOLDERS.items()}
TEST_LISTS = {f"idx/{folder}.txt": folder for folder in TEST_FOLDERS}  # only checked, never read
CAMERAS = range(1, 10)
TEST_CAMERAS = {Modality.VISIBLE: CAMERAS, Modality.INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}
TEST_IDS = "idx/test_id.txt"
EXPECTED = {
    "training identities": 713,
    "training visible images": 16_946,
    "training infrared images": 13_975,
    "test identities": 351,
    # Only the sum of these two, 15,846, is published; 46,767 images in all.
    "test visible images": 8_680,
    "test infrared images": 7_166,
}
USUAL_SPLIT = "train+val"  # LLCM names no validation identities


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads the training lists and the test folders; the images themselves are not opened.

    Training images are those of ``idx/train_*.txt``: the folder's number is the identity (the
    lists' labels are not used), ``_c06_`` in the file's name the camera. Test images lie under
    ``test_vis`` and ``test_nir`` as ``cam<camera>/<identity>``; both spectra share the cameras'
    numbers, and camera 3 has no infrared images.

    Args:
        root: folder that holds ``vis``, ``nir``, ``test_vis``, ``test_nir`` and ``idx``.
        split: ``train+val`` (usual) trains on every training identity; ``train`` keeps every
            fifth of them apart for validation.
        split_trial: not used: LLCM has one split.
    Raises:
        DataError: a folder, a list or an image is missing or malformed, or training and test
            identities overlap.
    """
    parts = [*FOLDERS, *TEST_FOLDERS, *TRAIN_LISTS, TEST_IDS]
    root = require_root(root, TREE, WHERE, parts)
    listed, test_pids = read_lists(root, TRAIN_LISTS, _parse), read_ids(root / TEST_IDS)
    check_apart({"training": {record.pid for record in listed}, "test": test_pids}, root / "idx")
    train, val = hold_out(listed, split or USUAL_SPLIT)
    return Splits(root=root, train=train, val=val, test=_test_records(root, sorted(set(test_pids))))


def _parse(line: str, where: str) -> ImageRecord:
    path = listed_path(line, FOLDERS, where)
    camera = re.search(r"_c([0-9]{1,9})_", path.name)
    if camera is None or int(camera[1]) not in CAMERAS:
        raise DataError(
            f"{where}: the file's name must tell the camera, as 0351_c06_s200656_f4830_nir.jpg "
            f"does (c01 to c09), got {path.name!r:.100}"
        )
    return ImageRecord(str(path), int(path.parts[1]), int(camera[1]), FOLDERS[path.parts[0]])


def _test_records(root: Path, pids: list[int]) -> tuple[ImageRecord, ...]:
    records = [
        ImageRecord(f"{folder}/{image.name}", pid, camera, modality)
        for spectrum, modality in TEST_FOLDERS.items()
        for pid in pids
        for camera in CAMERAS
        if (root / (folder := f"{spectrum}/cam{camera}/{pid:04d}")).is_dir()
        for image in images_in(root / folder)
    ]
    unseen = sorted(set(pids) - {record.pid for record in records})
    if unseen:
        raise DataError(
            f"{root}: {len(unseen)} of the {len(pids)} identities of {TEST_IDS} have no image "
            f"under test_vis or test_nir, the first are {unseen[:5]}: is the data set complete?"
        )
    return tuple(records)
