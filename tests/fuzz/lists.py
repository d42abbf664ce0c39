"""Lists of images: CSV files, and the list files of the data sets, spoilt one at a time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz.mutate import encoded, mutate_bytes, mutate_text
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

Use = Callable[[], object]
CSV = "path,pid,camid,modality,split\n" + "".join(
    f"img/{part}{pid}{modality[0]}.png,{pid},{1 + (modality == 'infrared')},{modality},{part}\n"
    for part, pids in (("train", (1, 2)), ("val", (3,)), ("test", (4, 5)))
    for pid in pids
    for modality in ("visible", "infrared")
)
LONG_ID = "9" * 300  # longer than a file's name may be


def csv(folder: Path, random: Random) -> Use:
    """A set described by a CSV file."""
    return _spoilt("csv", ["dataset.csv"], folder, random)


def sysu(folder: Path, random: Random) -> Use:
    """SYSU-MM01's lists of identities."""
    names = [f"exp/{part}_id.txt" for part in ("train", "val", "test")]
    return _spoilt("sysu", names, folder, random)


def regdb(folder: Path, random: Random) -> Use:
    """RegDB's lists of images."""
    kinds = ("visible", "thermal")
    names = [f"idx/{part}_{kind}_1.txt" for part in ("train", "test") for kind in kinds]
    return _spoilt("regdb", names, folder, random)


def llcm(folder: Path, random: Random) -> Use:
    """LLCM's lists."""
    names = ["idx/train_vis.txt", "idx/train_nir.txt", "idx/test_id.txt"]
    return _spoilt("llcm", names, folder, random)


def veri(folder: Path, random: Random) -> Use:
    """VeRi-776's lists of names."""
    return _spoilt(
        "veri", [f"name_{part}.txt" for part in ("train", "query", "test")], folder, random
    )


def vehicleid(folder: Path, random: Random) -> Use:
    """VehicleID's lists."""
    parts = ("train_list", "test_list_800", "test_list_1600", "test_list_2400")
    return _spoilt("vehicleid", [f"train_test_split/{part}.txt" for part in parts], folder, random)


@cache
def corpus() -> Path:
    """Good trees of all layouts; removed when the process ends."""
    holder = tempfile.TemporaryDirectory(prefix="vireid_fuzz_")
    _HOLDERS.append(holder)
    root = Path(holder.name)
    write_sysu(root / "sysu", permutations=False)
    write_regdb(root / "regdb")
    write_llcm(root / "llcm")
    write_veri(root / "veri", lists=True)
    write_vehicleid(root / "vehicleid")
    for line in CSV.splitlines()[1:]:
        write_image(root / "csv" / line.split(",")[0])
    write_text(root / "csv/dataset.csv", CSV)
    return root


_HOLDERS: list[tempfile.TemporaryDirectory] = []


def _spoilt(dataset: str, names: Sequence[str], folder: Path, random: Random) -> Use:
    """A copy of a good tree with one list changed, which is loaded or checked.

    What can be loaded can also be told by a fingerprint: every file that it names is there.
    """
    root = folder / dataset
    shutil.copytree(corpus() / dataset, root, copy_function=_link)
    path = root / random.choice(names)
    path.write_bytes(_changed(path.read_text(), random))
    split, whole = random.choice(("train+val", "train")), random.randint(0, 1)

    def use() -> None:
        if whole:
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
        digits = [i for i, c in enumerate(text) if c.isdigit()]
        at = digits[random.randint(0, len(digits) - 1)]
        return (
            text[:at] + random.choice((LONG_ID, "9" * 5000, "9" * 25)) + text[at + 1 :]
        ).encode()
    return encoded(mutate_text(text, random), random)


def _link(source: str, target: str) -> None:
    """Images are shared; lists, which are changed, are not."""
    if source.endswith((".jpg", ".png", ".bmp")):
        Path(target).hardlink_to(source)
    else:
        shutil.copy(source, target)
