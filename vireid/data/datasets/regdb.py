"""RegDB: 412 identities, visible and thermal camera side by side (Nguyen et al., Sensors 2017)."""

from pathlib import Path

from vireid.data.datasets.files import listed_path, make_splits, read_lists, require_root
from vireid.data.datasets.info import DatasetInfo, ListCheck, count_images
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.paths import expand, is_hidden

KINDS = {"visible": Modality.VISIBLE, "thermal": Modality.INFRARED}
FOLDERS = {"Visible": Modality.VISIBLE, "Thermal": Modality.INFRARED}
TRIALS = range(1, 11)


def load(root: str | Path, *, split: str = "train+val", split_trial: int = 1) -> Splits:
    """Reads one of the ten train/test splits; see ``vireid.data.datasets.info.Reader``."""
    lists = {
        part: {f"idx/{part}_{kind}_{split_trial}.txt": modality for kind, modality in KINDS.items()}
        for part in ("train", "test")
    }
    root = require_root(root, INFO, [*FOLDERS, *lists["train"], *lists["test"]])
    listed, test = (read_lists(root, names, _parse) for names in lists.values())
    return make_splits(root, listed, test, split, split_trial=split_trial)


def _parse(line: str, where: str) -> ImageRecord:
    """``Visible/285/male_back_v_05528_285.bmp 0``; the identity is the folder's number."""
    path = listed_path(line, FOLDERS, where)
    modality = FOLDERS[path.parts[0]]
    return ImageRecord(str(path), int(path.parts[1]), int(modality) + 1, modality)


def check_lists(root: str | Path, reduced: bool) -> ListCheck:
    """All ten splits; of a reduced set those that have a list."""
    splits: list[Splits] = []
    problems = []
    for trial in TRIALS:
        try:
            splits.append(load(root, split_trial=trial))
        except DataError as error:
            lists = expand(root) / "idx"
            if not lists.is_dir():
                raise
            if not reduced or any(
                not is_hidden(path.name) for path in lists.glob(f"*_{trial}.txt")
            ):
                problems.append(f"split {trial}: {error}")
    if not splits:
        raise DataError("\n".join(problems) or f"{root}/idx holds no list of any split")
    everyone = {r.pid for one in splits for r in one.train + one.test}
    found = {"splits": len(splits), "identities": len(everyone)}
    by_trial = {one.split_trial: count_images(one) for one in splits}
    for name, first in count_images(splits[0]).items():
        numbers = {f"{name}, split {trial}": counts[name] for trial, counts in by_trial.items()}
        agree = set(numbers.values()) == {first}
        found |= {f"{name}, each split": first} if agree else numbers
    return ListCheck(splits, found, problems)


INFO = DatasetInfo(
    name="regdb",
    load=load,
    tree="""\
  ROOT/Visible/<identity>/<image>.bmp   ROOT/Thermal/<identity>/<image>.bmp
  ROOT/idx/{train,test}_{visible,thermal}_{1..10}.txt   lines: Visible/285/male_back_v_1.bmp 0""",
    where_to_get="RegDB is given on request by its authors: http://dm.dongguk.edu/link.html",
    published={  # the first two of all splits together, the others of each
        "splits": 10,
        "identities": 412,
        "training identities": 206,
        "training visible images": 2_060,
        "training infrared images": 2_060,
        "test identities": 206,
        "test visible images": 2_060,
        "test infrared images": 2_060,
    },
    image_folders=("Visible/*", "Thermal/*"),
    check_lists=check_lists,
)
