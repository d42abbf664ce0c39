"""SYSU-MM01: six cameras, near-infrared at night (Wu et al., ICCV 2017)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vireid.data.datasets.files import (
    check_apart,
    check_seen,
    folder_records,
    has_list,
    require_root,
)
from vireid.data.datasets.info import DatasetInfo, ListCheck, count_images
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.io import read_ids
from vireid.utils.matlab import read_nested_cells

VISIBLE_CAMERAS, INFRARED_CAMERAS = (1, 2, 4, 5), (3, 6)
INDOOR_CAMERAS = (1, 2)  # of the visible ones
CAMERAS = range(1, 7)
MODALITY = {c: Modality.INFRARED if c in INFRARED_CAMERAS else Modality.VISIBLE for c in CAMERAS}
PERMUTATION_FILES = ("exp/rand_perm_cam.mat", "rand_perm_cam.mat")


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the images of the listed identities; ``train`` keeps ``val_id.txt`` apart.

    Raises:
        DataError: a folder, a list or every image of an identity is missing.
    """
    parts = [*(f"cam{camera}" for camera in CAMERAS), "exp/train_id.txt", "exp/test_id.txt"]
    root = require_root(root, INFO, parts)
    train_pids = read_ids(root / "exp/train_id.txt")
    test_pids = read_ids(root / "exp/test_id.txt")
    val_file = root / "exp/val_id.txt"
    val_pids = read_ids(val_file) if has_list(val_file) else []
    if split == "train+val":
        train_pids, val_pids = train_pids + val_pids, []
    elif not val_pids:
        raise DataError(
            f"DATA.SPLIT train keeps validation identities apart, but {val_file} "
            "is missing or empty: copy it there or use DATA.SPLIT train+val"
        )
    groups = {"training": train_pids, "validation": val_pids, "test": test_pids}
    check_apart(groups, root / "exp")
    permutations = [root / name for name in PERMUTATION_FILES if has_list(root / name)]
    return Splits(
        root=root,
        train=_records(root, train_pids),
        val=_records(root, val_pids),
        test=_records(root, test_pids),
        gallery_permutations=permutations[0] if permutations else None,
    )


def _records(root: Path, pids: list[int]) -> tuple[ImageRecord, ...]:
    listed = sorted(set(pids))
    records = [
        record
        for pid in listed
        for camera in CAMERAS
        for record in folder_records(root, f"cam{camera}/{pid:04d}", pid, camera, MODALITY[camera])
    ]
    check_seen(records, listed, f"{root}/cam1 … cam6")
    return tuple(records)


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts images and the protocols' queries and galleries; compares the gallery draw."""
    splits = load(root)
    result = ListCheck([splits], {**count_images(splits), **count_by_protocol(splits.test)})
    if splits.gallery_permutations is None:
        result.notes.append(
            f"no {PERMUTATION_FILES[0]}: the official gallery draw needs it; copy it from "
            "the data set's evaluation code (data_split/)"
        )
    else:
        result.problems += permutation_problems(splits.gallery_permutations, splits.test)
    return result


def count_by_protocol(test: Iterable[ImageRecord]) -> dict[str, int]:
    """Queries and gallery sizes of SYSU-MM01's protocols.

    A query of camera 3 skips gallery images of camera 2, which is in the same room.
    """
    folders = Counter((record.camid, record.pid) for record in test)
    infrared = {key: n for key, n in folders.items() if key[0] in INFRARED_CAMERAS}
    answerable = sum(
        n
        for (camera, pid), n in infrared.items()
        if (1, pid) in folders or (camera != 3 and (2, pid) in folders)
    )
    counts = {"queries": sum(infrared.values()), "queries answerable indoors": answerable}
    for place, cameras in (("all-search", VISIBLE_CAMERAS), ("indoor", INDOOR_CAMERAS)):
        sizes = [n for (camera, _), n in folders.items() if camera in cameras]
        for name, shots in (("single-shot", 1), ("multi-shot", 10)):
            counts[f"gallery {place} {name}"] = sum(min(shots, n) for n in sizes)
    return counts


def permutation_problems(path: Path, test: Iterable[ImageRecord]) -> Iterator[str]:
    """Messages if ``rand_perm_cam.mat`` does not fit the test folders' numbers of images."""
    folders = Counter((record.camid, record.pid) for record in test)
    try:
        known = read_nested_cells(path, "rand_perm_cam")
    except DataError as error:
        yield str(error)
        return
    lengths = {key: rows.shape[1] for key, rows in known.items()}
    pids = {pid for _, pid in folders}
    keys = folders.keys() | {key for key in lengths if key[1] in pids}
    wrong = [key for key in sorted(keys) if folders[key] != lengths.get(key, 0)]
    odd = [key for key in sorted(folders) if key in known and not _are_permutations(known[key])]
    if odd:
        yield f"{path}: camera {odd[0][0]}, identity {odd[0][1]}: rows that are not permutations"
    if wrong:
        camid, pid = wrong[0]
        yield (
            f"{path} does not fit {len(wrong)} of {len(keys)} test folders; the first is camera "
            f"{camid}, identity {pid}: {folders[wrong[0]]} images on disk, "
            f"{lengths.get(wrong[0], 0)} in the file"
        )


def _are_permutations(rows: np.ndarray) -> bool:
    return bool((np.sort(rows, axis=1) == np.arange(1, rows.shape[1] + 1)).all())


INFO = DatasetInfo(
    name="sysu",
    load=load,
    tree="""\
  ROOT/cam1 … cam6/<identity, 4 digits>/<image>.jpg
  ROOT/exp/train_id.txt  val_id.txt  test_id.txt   one comma-separated line each
  ROOT/exp/rand_perm_cam.mat                       for the official gallery draw""",
    where_to_get=(
        "SYSU-MM01 is given on request, under an agreement: https://github.com/wuancong/SYSU-MM01\n"
        "without it: configs/demo.yaml trains on images that this project renders"
    ),
    published={  # of train+val; galleries hold 1 or 10 images of each test identity and camera
        "training identities": 395,
        "training visible images": 22_258,
        "training infrared images": 11_909,
        "test identities": 96,
        "test visible images": 6_775,
        "test infrared images": 3_803,
        "queries": 3_803,
        "queries answerable indoors": 2_208,
        "gallery all-search single-shot": 301,
        "gallery all-search multi-shot": 3_010,
        "gallery indoor single-shot": 112,
        "gallery indoor multi-shot": 1_120,
    },
    usual_split="train+val",  # 296 + 99 identities, as all published code trains
    image_folders=("cam[1-6]/*",),
    test_cameras={Modality.VISIBLE: VISIBLE_CAMERAS, Modality.INFRARED: INFRARED_CAMERAS},
    check_lists=check_lists,
    related=("orbench",),  # its authors thank those of SYSU-MM01 and LLCM
)
