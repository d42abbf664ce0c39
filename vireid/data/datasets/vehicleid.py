"""VehicleID: 26,267 vehicles, from the front or from behind (Liu et al., CVPR 2016)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vireid.data.datasets.files import check_apart, hold_out, read_list, require_root
from vireid.errors import DataError
from vireid.structures import TEST_LISTS, ImageRecord, Modality, Splits

TREE = """\
  ROOT/image/<number>.jpg                     0000001.jpg
  ROOT/train_test_split/train_list.txt        lines: <number> <vehicle>
  ROOT/train_test_split/test_list_800.txt  test_list_1600.txt  test_list_2400.txt"""
WHERE = (
    "VehicleID (PKU) is given on request, under an agreement: "
    "https://www.pkuml.org/resources/pku-vehicleid.html"
)
LISTS = "train_test_split"
TRAIN_LIST = f"{LISTS}/train_list.txt"
LIST_FILES = {size: f"{LISTS}/test_list_{size}.txt" for size in TEST_LISTS}
MODALITIES = (Modality.VISIBLE,)
# Of the files that the authors give out, which decide. Their paper has other numbers: 13,134
# vehicles in 110,178 images train; 7,332, 12,995 and 20,038 images test.
EXPECTED = {
    "training identities": 13_164,
    "training images": 113_346,
    "test identities": 2_400,
    "test images": 19_777,
    "test list 800 identities": 800,
    "test list 800 images": 6_493,
    "test list 1600 identities": 1_600,
    "test list 1600 images": 13_377,
    "test list 2400 identities": 2_400,
    "test list 2400 images": 19_777,
}
USUAL_SPLIT = "train+val"  # VehicleID names no validation identities


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads the lists; the images themselves are not opened.

    VehicleID does not tell cameras: every image counts as a camera of its own, the image's number
    plus one, so that a rule about the own camera leaves out an image itself and no other.

    Args:
        root: folder that holds ``image`` and ``train_test_split``.
        split: ``train+val`` (usual) trains on every training identity; ``train`` keeps every
            fifth of them apart for validation.
        split_trial: not used: VehicleID has one split.
    Raises:
        DataError: a list or an image is missing or malformed, training and test identities overlap,
            or a test list does not hold the smaller ones.
    """
    root = require_root(root, TREE, WHERE, ["image", TRAIN_LIST, *LIST_FILES.values()])
    listed = read_list(root, TRAIN_LIST, Modality.VISIBLE, _parse)
    lists = {
        size: read_list(root, name, Modality.VISIBLE, _parse) for size, name in LIST_FILES.items()
    }
    test = _smallest_lists(root, lists)
    pids = {"training": {r.pid for r in listed}, "test": {r.pid for r in test}}
    check_apart(pids, root / LISTS)
    train, val = hold_out(listed, split or USUAL_SPLIT)
    return Splits(root=root, train=train, val=val, test=test)


def _parse(line: str, where: str) -> ImageRecord:
    parts = re.fullmatch(r"(\d{1,12})\s+(\d{1,12})", line.strip(), flags=re.ASCII)
    if parts is None:
        raise DataError(
            f"{where}: expected '<image number> <vehicle>', as in '0000001 1', got {line!r:.100}"
        )
    return ImageRecord(f"image/{parts[1]}.jpg", int(parts[2]), int(parts[1]) + 1, Modality.VISIBLE)


def _smallest_lists(
    root: Path, lists: Mapping[int, Sequence[ImageRecord]]
) -> tuple[ImageRecord, ...]:
    """Every test image once, with the size of the smallest list that names it."""
    found: dict[str, ImageRecord] = {}
    smaller: dict[int, set[str]] = {}  # the images of a vehicle that a smaller list names
    for size, records in lists.items():
        images: dict[int, set[str]] = {}
        for record in records:
            images.setdefault(record.pid, set()).add(record.path)
            known = found.setdefault(record.path, _listed(record, size))
            if known.pid != record.pid:
                raise DataError(
                    f"{root / LIST_FILES[size]} says that {record.path} shows vehicle {record.pid},"
                    f" but {LIST_FILES[known.test_list]} says {known.pid}"
                )
        for pid, paths in smaller.items():
            if images.get(pid) != paths:
                raise DataError(
                    f"{root / LIST_FILES[size]} must hold all of the smaller lists, but vehicle "
                    f"{pid} has {len(images.get(pid, ()))} images in it, {len(paths)} in a smaller "
                    "one: copy the lists anew"
                )
        smaller = images
    return tuple(found.values())


def _listed(record: ImageRecord, size: int) -> ImageRecord:
    return ImageRecord(
        record.path, record.pid, record.camid, record.modality, record.role, test_list=size
    )
