"""SYSU-MM01: six cameras, near-infrared at night (Wu et al., ICCV 2017)."""

from __future__ import annotations

from pathlib import Path

from vireid.data.datasets.files import check_apart, images_in, read_ids, require_root
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits

TREE = """\
  ROOT/cam1 … cam6/<identity, 4 digits>/<image>.jpg
  ROOT/exp/train_id.txt  val_id.txt  test_id.txt   one comma-separated line each
  ROOT/exp/rand_perm_cam.mat                       for the official gallery draw"""
WHERE = (
    "SYSU-MM01 is given on request, under an agreement: https://github.com/wuancong/SYSU-MM01\n"
    "without it: configs/demo.yaml trains on images that this project renders"
)
INFRARED_CAMERAS = frozenset({3, 6})
CAMERAS = range(1, 7)
CAMERAS_OF = {Modality.VISIBLE: (1, 2, 4, 5), Modality.INFRARED: (3, 6)}
PERMUTATION_FILES = ("exp/rand_perm_cam.mat", "rand_perm_cam.mat")
# Of train+val; galleries hold 1 or 10 images of each test identity and camera.
EXPECTED = {
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
}
USUAL_SPLIT = "train+val"  # 296 + 99 identities, as all code read for this field trains


def load(root: str | Path, *, split: str = "", split_trial: int = 1) -> Splits:
    """Reads the folder tree; the images themselves are not opened.

    Args:
        root: folder that holds ``cam1`` … ``cam6`` and ``exp``.
        split: ``train+val`` (usual) trains on both lists; ``train`` keeps ``val_id.txt`` apart.
        split_trial: not used: SYSU-MM01 has one split.
    Raises:
        DataError: a folder, list or every image of an identity is missing.
    """
    parts = [*(f"cam{camera}" for camera in CAMERAS), "exp/train_id.txt", "exp/test_id.txt"]
    root = require_root(root, TREE, WHERE, parts)
    train_pids = read_ids(root / "exp/train_id.txt")
    test_pids = read_ids(root / "exp/test_id.txt")
    val_file = root / "exp/val_id.txt"
    val_pids = read_ids(val_file) if val_file.is_file() else []
    if (split or USUAL_SPLIT) == "train+val":
        train_pids, val_pids = train_pids + val_pids, []
    elif not val_pids:
        raise DataError(
            f"DATA.SPLIT train keeps validation identities apart, but {val_file} "
            "is missing or empty: copy it there or use DATA.SPLIT train+val"
        )
    groups = {"training": train_pids, "validation": val_pids, "test": test_pids}
    check_apart(groups, root / "exp")
    permutations = [root / name for name in PERMUTATION_FILES if (root / name).is_file()]
    return Splits(
        root=root,
        train=_records(root, train_pids),
        val=_records(root, val_pids),
        test=_records(root, test_pids),
        gallery_permutations=permutations[0] if permutations else None,
    )


def _records(root: Path, pids: list[int]) -> tuple[ImageRecord, ...]:
    records, unseen = [], []
    for pid in sorted(set(pids)):
        of_pid = [record for cam in CAMERAS for record in _folder(root, cam, pid)]
        records += of_pid
        if not of_pid:
            unseen.append(pid)
    if unseen:
        raise DataError(
            f"{root}: {len(unseen)} of {len(set(pids))} listed identities have no image in any "
            f"camera folder, the first are {unseen[:5]}: is the data set complete?"
        )
    return tuple(records)


def _folder(root: Path, cam: int, pid: int) -> list[ImageRecord]:
    folder = root / f"cam{cam}" / f"{pid:04d}"
    if not folder.is_dir():
        return []
    modality = Modality.INFRARED if cam in INFRARED_CAMERAS else Modality.VISIBLE
    return [
        ImageRecord(f"cam{cam}/{pid:04d}/{path.name}", pid, cam, modality)
        for path in images_in(folder)
    ]
