"""LLCM: nine cameras, near-infrared in low light (Zhang & Wang, CVPR 2023)."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vireid.data.datasets.files import (
    check_seen,
    folder_records,
    listed_path,
    make_splits,
    read_lines,
    read_lists,
    require_root,
)
from vireid.data.datasets.info import DatasetInfo, ListCheck, count_images
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.io import read_ids

FOLDERS = {"vis": Modality.VISIBLE, "nir": Modality.INFRARED}
TEST_FOLDERS = {f"test_{kind}": modality for kind, modality in FOLDERS.items()}
TRAIN_LISTS = {f"idx/train_{kind}.txt": modality for kind, modality in FOLDERS.items()}
TEST_LISTS = {f"idx/{folder}.txt": folder for folder in TEST_FOLDERS}  # only checked, never read
CAMERAS = range(1, 10)
TEST_IDS = "idx/test_id.txt"


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads the training lists and the test folders.

    Training images are those of ``idx/train_*.txt``: the folder's number is the identity (the
    lists' labels are not used), ``_c06_`` in the file's name the camera. Test images lie under
    ``test_vis`` and ``test_nir`` as ``cam<camera>/<identity>``; both spectra share the cameras'
    numbers, and camera 3 has no infrared images.
    """
    root = require_root(root, INFO, [*FOLDERS, *TEST_FOLDERS, *TRAIN_LISTS, TEST_IDS])
    listed = read_lists(root, TRAIN_LISTS, _parse)
    test = _test_records(root, sorted(set(read_ids(root / TEST_IDS))))
    return make_splits(root, listed, test, split)


def _parse(line: str, where: str) -> ImageRecord:
    path = listed_path(line, FOLDERS, where)
    camera = re.search(r"_c([0-9]{1,9})_", path.name)
    if camera is None or int(camera[1]) not in CAMERAS:
        raise DataError(
            f"{where}: the file's name must hold the camera, as 0351_c06_s200656_f4830_nir.jpg "
            f"does (c01 to c09), got {path.name!r:.100}"
        )
    return ImageRecord(str(path), int(path.parts[1]), int(camera[1]), FOLDERS[path.parts[0]])


def _test_records(root: Path, pids: list[int]) -> list[ImageRecord]:
    records = [
        record
        for spectrum, modality in TEST_FOLDERS.items()
        for pid in pids
        for camera in CAMERAS
        for record in folder_records(
            root, f"{spectrum}/cam{camera}/{pid:04d}", pid, camera, modality
        )
    ]
    check_seen(records, pids, f"{root}/test_vis or test_nir")
    return records


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """Counts the images, and compares the test folders with the lists of test images."""
    splits = load(root)
    result = ListCheck([splits], count_images(splits))
    for name, folder in TEST_LISTS.items():
        if (splits.root / name).is_file():
            result.problems += _test_list_problems(splits, name, folder)
        else:
            result.notes.append(f"no {name} to compare the images of {folder} with")
    return result


def _test_list_problems(splits: Splits, name: str, folder: str) -> Iterator[str]:
    """Messages if a list of test images and the folder that is scored hold different ones.

    The lists name another folder (``vis/0007/…`` for ``test_vis/cam1/0007/…``), so only identity
    and file name are compared.
    """
    try:
        lines = read_lines(splits.root / name)
    except DataError as error:
        yield f"{error}: copy it again"
        return
    paths = [PurePosixPath(line.rpartition(" ")[0].replace("\\", "/")) for line in lines]
    listed = {path.parts[-2:] for path in paths if path.name}
    held = {
        PurePosixPath(record.path).parts[-2:]
        for record in splits.test
        if record.path.startswith(f"{folder}/")
    }
    for first, second, what in (
        (listed, held, f"{name} lists {{}} images that {folder} has not"),
        (held, listed, f"{folder} has {{}} images that {name} does not list"),
    ):
        only = sorted(first - second)
        if only:
            shown = "/".join(only[0])
            yield f"{what.format(len(only))} of the identities of {TEST_IDS}, first: {shown}"


INFO = DatasetInfo(
    name="llcm",
    load=load,
    tree="""\
  ROOT/vis/<identity>/<identity>_c<camera>_<…>.jpg   ROOT/nir/<identity>/<…>.jpg   training
  ROOT/test_vis/cam1 … cam9/<identity>/<image>.jpg   ROOT/test_nir/…, without cam3
  ROOT/idx/train_vis.txt  train_nir.txt   lines: nir/0351/0351_c06_s200656_f4830_nir.jpg 0
  ROOT/idx/test_id.txt                    one comma-separated line""",
    where_to_get="LLCM is given on request, under an agreement: https://github.com/ZYK100/LLCM",
    published={
        "training identities": 713,
        "training visible images": 16_946,
        "training infrared images": 13_975,
        "test identities": 351,
        # Only the sum of these two, 15,846, is published; 46,767 images in all.
        "test visible images": 8_680,
        "test infrared images": 7_166,
    },
    image_folders=("vis/*", "nir/*", "test_vis/cam*/*", "test_nir/cam*/*"),
    test_cameras={Modality.VISIBLE: CAMERAS, Modality.INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)},
    check_lists=check_lists,
    related=("sysu", "orbench"),
)
