"""Lists of images: CSV files, and the list files of the data sets, one of which changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from tests.fuzz.harness import Use, corpus
from tests.fuzz.mutate import TOO_LONG, encoded, mutate_bytes, mutate_text
from tests.helpers import (
    write_image,
    write_llcm,
    write_regdb,
    write_sysu,
    write_text,
    write_vehicleid,
    write_veri,
)
from vireid.cli import check_data
from vireid.data.datasets import DATASETS
from vireid.data.datasets.files import fingerprint

CSV = "path,pid,camid,modality,split\n" + "".join(
    f"img/{part}{pid}{modality[0]}.png,{pid},{1 + (modality == 'infrared')},{modality},{part}\n"
    for part, pids in (("train", (1, 2)), ("val", (3,)), ("test", (4, 5)))
    for pid in pids
    for modality in ("visible", "infrared")
)
# kind of input: (data set, pattern of its lists)
LISTS = {
    "CSV set": ("csv", "dataset.csv"),
    "SYSU-MM01 lists": ("sysu", "exp/*_id.txt"),
    "RegDB lists": ("regdb", "idx/*_1.txt"),
    "LLCM lists": ("llcm", "idx/*.txt"),
    "VeRi-776 lists": ("veri", "name_*.txt"),
    "VehicleID lists": ("vehicleid", "train_test_split/*.txt"),
}
LONG_ID = "9" * 300  # longer than a file's name may be


@corpus
def trees(root: Path) -> None:
    """Good trees of all layouts."""
    write_sysu(root / "sysu", permutations=False)
    write_regdb(root / "regdb")
    write_llcm(root / "llcm")
    write_veri(root / "veri", lists=True)
    write_vehicleid(root / "vehicleid")
    for line in CSV.splitlines()[1:]:
        write_image(root / "csv" / line.split(",")[0])
    write_text(root / "csv/dataset.csv", CSV)


def changed_list(kind: str, folder: Path, random: Random) -> Use:
    """A copy of a good tree with one list changed, which is loaded or checked.

    A data set that can be loaded also has a fingerprint: every file that it names exists.
    """
    dataset, pattern = LISTS[kind]
    root = folder / dataset
    shutil.copytree(trees() / dataset, root, copy_function=_link)
    path = random.choice(sorted(root.glob(pattern)))
    path.write_bytes(_changed(path.read_text(), random))
    split, checked = random.choice(("train+val", "train")), random.randint(0, 1)

    def use() -> None:
        if checked:
            check_data.check_dataset(dataset, root, reduced=True)
        splits = DATASETS[dataset].load(root, split=split)
        fingerprint(splits)
        assert all(0 <= r.pid < 2**63 for r in splits.train + splits.val + splits.test)

    return use


def _changed(text: str, random: Random) -> bytes:
    how = random.randint(0, 5)
    if how == 0:
        return mutate_bytes(text.encode(), random)
    if how == 1:  # a number becomes one that no system can hold
        at = random.choice([i for i, c in enumerate(text) if c.isdigit()])
        number = random.choice((LONG_ID, TOO_LONG, "9" * 25))
        return (text[:at] + number + text[at + 1 :]).encode()
    return encoded(mutate_text(text, random), random)


def _link(source: str, target: str) -> None:
    """Images are shared; lists, which change, are not."""
    if source.endswith((".jpg", ".png", ".bmp")):
        Path(target).hardlink_to(source)
    else:
        shutil.copy(source, target)
