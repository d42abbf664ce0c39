"""VehicleID: 26,267 vehicles, from the front or from behind (Liu et al., CVPR 2016)."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vireid.data.datasets.files import make_splits, read_list, require_root
from vireid.data.datasets.info import DatasetInfo, ListCheck
from vireid.errors import DataError
from vireid.structures import TEST_LISTS, ImageRecord, Modality, Splits

LISTS = "train_test_split"
TRAIN_LIST = f"{LISTS}/train_list.txt"
LIST_FILES = {size: f"{LISTS}/test_list_{size}.txt" for size in TEST_LISTS}


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the lists of images.

    VehicleID has no camera ids, so every image gets another one, its number plus one: a protocol
    that skips images of the query's camera then skips only the query itself.
    """
    root = require_root(root, INFO, ["image", TRAIN_LIST, *LIST_FILES.values()])
    listed = read_list(root, TRAIN_LIST, _parse)
    lists = {size: read_list(root, name, _parse) for size, name in LIST_FILES.items()}
    return make_splits(root, listed, _test_records(root, lists), split)


def _parse(line: str, where: str) -> ImageRecord:
    parts = re.fullmatch(r"(\d{1,12})\s+(\d{1,12})", line.strip(), flags=re.ASCII)
    if parts is None:
        raise DataError(
            f"{where}: expected '<image number> <vehicle>', as in '0000001 1', got {line!r:.100}"
        )
    return ImageRecord(f"image/{parts[1]}.jpg", int(parts[2]), int(parts[1]) + 1, Modality.VISIBLE)


def _test_records(root: Path, lists: Mapping[int, Sequence[ImageRecord]]) -> list[ImageRecord]:
    """Every test image once, with the size of the smallest list that names it.

    Raises:
        DataError: two lists disagree about a vehicle, or a list lacks images of a smaller one.
    """
    found: dict[str, ImageRecord] = {}
    smaller: dict[int, set[str]] = {}  # the images of each vehicle in the smaller list
    for size, records in lists.items():
        images: dict[int, set[str]] = defaultdict(set)
        for record in records:
            images[record.pid].add(record.path)
            known = found.setdefault(record.path, replace(record, test_list=size))
            if known.pid != record.pid:
                raise DataError(
                    f"{root / LIST_FILES[size]} says that {record.path} shows vehicle {record.pid},"
                    f" but {LIST_FILES[known.test_list]} says {known.pid}"
                )
        for pid, paths in smaller.items():
            if images[pid] != paths:
                raise DataError(
                    f"{root / LIST_FILES[size]} must hold all of the smaller lists, but vehicle "
                    f"{pid} has {len(images[pid])} images in it, {len(paths)} in a smaller one: "
                    "copy the lists again"
                )
        smaller = images
    return list(found.values())


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts the images, also of each test list; a list without images of its own is a problem."""
    splits = load(root)
    found = {
        "training identities": len(splits.train_pids),
        "training images": len(splits.train),
        "test identities": len({record.pid for record in splits.test}),
        "test images": len(splits.test),
    }
    problems, notes = [], []
    for size in TEST_LISTS:
        counts = Counter(record.pid for record in splits.test if record.test_list <= size)
        found[f"test list {size} identities"] = len(counts)
        found[f"test list {size} images"] = counts.total()
        if not any(record.test_list == size for record in splits.test):
            problems.append(
                f"test list {size} holds no image that a shorter list has not, so that "
                f"vehicleid_{size} is refused"
            )
        single = [pid for pid, number in counts.items() if number == 1]
        if single:
            notes.append(
                f"test list {size}: {len(single)} vehicles have one image only and are no queries, "
                f"the first: {single[0]}"
            )
    return ListCheck([splits], found, problems, notes)


INFO = DatasetInfo(
    name="vehicleid",
    load=load,
    tree="""\
  ROOT/image/<number>.jpg                     0000001.jpg
  ROOT/train_test_split/train_list.txt        lines: <number> <vehicle>
  ROOT/train_test_split/test_list_800.txt  test_list_1600.txt  test_list_2400.txt""",
    where_to_get=(
        "VehicleID (PKU) is given on request, under an agreement: "
        "https://www.pkuml.org/resources/pku-vehicleid.html"
    ),
    # Of the files that the authors give out, which decide. Their paper has other numbers: 13,134
    # vehicles in 110,178 images train; 7,332, 12,995 and 20,038 images test.
    published={
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
    },
    modalities=(Modality.VISIBLE,),
    image_folders=("image",),
    check_lists=check_lists,
)
