"""VeRi-776: 776 vehicles, 20 cameras around a square kilometre (Liu et al., ECCV 2016)."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vireid.data.datasets.files import has_list, images_in, make_splits, read_list, require_root
from vireid.data.datasets.info import DatasetInfo, ListCheck
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role, Splits

FOLDERS = {"image_train": Role.BOTH, "image_query": Role.QUERY, "image_test": Role.GALLERY}
NAME_LISTS = {folder: f"name_{folder.removeprefix('image_')}.txt" for folder in FOLDERS}
CAMERAS = range(1, 21)


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the three folders by their lists of names.

    ``0001_c001_00016450_0.jpg`` shows vehicle 1 in camera 1. A query's copy in ``image_test`` is of
    its vehicle and its camera, so that the protocol leaves it out of the query's list.
    """
    root = require_root(root, INFO, list(FOLDERS))
    listed, queries, gallery = (_records(root, folder) for folder in FOLDERS)
    return make_splits(root, listed, queries + gallery, split)


def _records(root: Path, folder: str) -> list[ImageRecord]:
    parse = partial(_parse, folder)
    if has_list(root / NAME_LISTS[folder]):
        return read_list(root, NAME_LISTS[folder], parse)
    records = [parse(path.name, str(root / folder)) for path in images_in(root / folder)]
    if not records:
        raise DataError(f"{root / folder} holds no image\nexpected:\n{INFO.tree}")
    return records


def _parse(folder: str, name: str, where: str) -> ImageRecord:
    name = name.strip()
    parts = re.fullmatch(r"(\d{1,9})_c(\d{1,3})_[^/\\]*", name, flags=re.ASCII)
    if parts is None or int(parts[2]) not in CAMERAS:
        raise DataError(
            f"{where}: a name must hold vehicle and camera, as 0001_c001_00016450_0.jpg does (c001 "
            f"to c020), got {name!r:.100}"
        )
    role = FOLDERS[folder]
    return ImageRecord(f"{folder}/{name}", int(parts[1]), int(parts[2]), Modality.VISIBLE, role)


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts the images; notes those that no list names, and queries that have no true match."""
    splits = load(root)
    queries = [record for record in splits.test if record.role is Role.QUERY]
    gallery = [record for record in splits.test if record.role is Role.GALLERY]
    found = {
        "training identities": len(splits.train_pids),
        "training images": len(splits.train),
        "test identities": len({record.pid for record in splits.test}),
        "queries": len(queries),
        "gallery images": len(gallery),
    }
    notes = list(_unlisted_images(splits))
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in gallery:
        cameras[record.pid].add(record.camid)
    alone = [r.path for r in queries if not cameras[r.pid] - {r.camid}]
    if alone:
        notes.append(
            f"{len(alone)} queries have no image of their vehicle in another camera and are not "
            f"scored, the first: {alone[0]}"
        )
    return ListCheck([splits], found, notes=notes)


def _unlisted_images(splits: Splits) -> Iterator[str]:
    known = {record.path for record in splits.train + splits.test}
    for folder, name in NAME_LISTS.items():
        if not (splits.root / name).is_file():
            yield f"no {name}: every image of {folder} counts"
            continue
        paths = [f"{folder}/{path.name}" for path in images_in(splits.root / folder)]
        extra = [path for path in paths if path not in known]
        if extra:
            yield f"{len(extra)} images that {name} does not list are not read, first: {extra[0]}"


INFO = DatasetInfo(
    name="veri",
    load=load,
    tree="""\
  ROOT/image_train/<vehicle>_c<camera>_<time>_<number>.jpg   0001_c001_00016450_0.jpg
  ROOT/image_query/…   ROOT/image_test/…                     queries and gallery
  ROOT/name_train.txt  name_query.txt  name_test.txt         one file name a line; without a list,
                                                             every image of its folder counts""",
    where_to_get=(
        "VeRi-776 is given on request by its authors: https://github.com/JDAI-CV/VeRidataset"
    ),
    published={
        "training identities": 576,
        "training images": 37_778,
        "test identities": 200,
        "queries": 1_678,  # they lie in image_test, too: 49,357 images in all, not 51,035
        "gallery images": 11_579,
    },
    modalities=(Modality.VISIBLE,),
    image_folders=tuple(FOLDERS),
    test_cameras={Modality.VISIBLE: CAMERAS},
    check_lists=check_lists,
)
