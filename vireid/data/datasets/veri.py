"""VeRi-776: 776 vehicles, 20 cameras around a square kilometre (Liu et al., ECCV 2016)."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from vireid.data.datasets.files import check_apart, hold_out, images_in, read_list, require_root
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role, Splits

TREE = """\
  ROOT/image_train/<vehicle>_c<camera>_<time>_<number>.jpg   0001_c001_00016450_0.jpg
  ROOT/image_query/…   ROOT/image_test/…                     the queries, and what they search
  ROOT/name_train.txt  name_query.txt  name_test.txt         one file name a line; where a list is
                                                             there it decides, else the folder"""
WHERE = "VeRi-776 is given on request by its authors: https://github.com/JDAI-CV/VeRidataset"
FOLDERS = {"image_train": Role.BOTH, "image_query": Role.QUERY, "image_test": Role.GALLERY}
NAME_LISTS = {folder: f"name_{folder.removeprefix('image_')}.txt" for folder in FOLDERS}
MODALITIES = (Modality.VISIBLE,)
CAMERAS = range(1, 21)
EXPECTED = {
    "training identities": 576,
    "training images": 37_778,
    "test identities": 200,
    "queries": 1_678,  # they lie in image_test, too: 49,357 images in all, not 51,035
    "gallery images": 11_579,
}
USUAL_SPLIT = "train+val"  # VeRi-776 names no validation identities


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads the three folders by their lists of names; the images themselves are not opened.

    ``0001_c001_00016450_0.jpg`` shows vehicle 1 in camera 1. A query's copy in ``image_test`` is of
    its vehicle and its camera, so that the protocol leaves it out of the query's list.

    Args:
        root: folder that holds ``image_train``, ``image_query`` and ``image_test``.
        split: ``train+val`` (usual) trains on every training identity; ``train`` keeps every
            fifth of them apart for validation.
        split_trial: not used: VeRi-776 has one split.
    Raises:
        DataError: a folder is missing or empty, a name is malformed, a listed image is missing, or
            training and test identities overlap.
    """
    root = require_root(root, TREE, WHERE, list(FOLDERS))
    listed, queries, gallery = (_records(root, folder) for folder in FOLDERS)
    pids = {record.pid for record in queries + gallery}
    check_apart({"training": {record.pid for record in listed}, "test": pids}, root)
    train, val = hold_out(listed, split or USUAL_SPLIT)
    return Splits(root=root, train=train, val=val, test=tuple(queries + gallery))


def _records(root: Path, folder: str) -> list[ImageRecord]:
    parse = partial(_parse, folder)
    if (root / NAME_LISTS[folder]).is_file():
        return read_list(root, NAME_LISTS[folder], Modality.VISIBLE, parse)
    records = [parse(path.name, str(root / folder)) for path in images_in(root / folder)]
    if not records:
        raise DataError(f"{root / folder} holds no image\nexpected:\n{TREE}")
    return records


def _parse(folder: str, name: str, where: str) -> ImageRecord:
    name = name.strip()
    parts = re.fullmatch(r"(\d{1,9})_c(\d{1,3})_[^/\\]*", name, flags=re.ASCII)
    if parts is None or int(parts[2]) not in CAMERAS:
        raise DataError(
            f"{where}: a name must tell vehicle and camera, as 0001_c001_00016450_0.jpg does (c001 "
            f"to c020), got {name!r:.100}"
        )
    role = FOLDERS[folder]
    return ImageRecord(f"{folder}/{name}", int(parts[1]), int(parts[2]), Modality.VISIBLE, role)
