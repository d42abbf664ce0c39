"""What all readers of published data sets have in common."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import (
    VEHICLEID_LISTS,
    write_bupt,
    write_llcm,
    write_orbench,
    write_regdb,
    write_sysu,
    write_text,
    write_vcm,
    write_vehicleid,
    write_veri,
)
from vireid.data.datasets import DATASETS
from vireid.errors import DataError

WRITE: dict[str, Callable[[Path], Path]] = {
    "sysu": write_sysu,
    "regdb": write_regdb,
    "llcm": write_llcm,
    "vcm": write_vcm,
    "bupt": write_bupt,
    "veri": partial(write_veri, lists=True),
    "vehicleid": write_vehicleid,
    "orbench": write_orbench,
}
LISTS = {
    "regdb": "idx/train_thermal_1.txt",
    "llcm": "idx/train_nir.txt",
    "veri": "name_train.txt",
    "vehicleid": "train_test_split/train_list.txt",
}
every_set = pytest.mark.parametrize("name", WRITE)
every_list = pytest.mark.parametrize("name", LISTS)


def write_ids(name: str, root: Path, train: Sequence[int], test: Sequence[int]) -> Path:
    """A set with these training and test identities."""
    match name:
        case "sysu":
            return write_sysu(root, {"train": train, "val": [], "test": test})
        case "regdb":
            return write_regdb(root, {1: (train, test)})
        case "llcm":
            return write_llcm(root, (train, test))
        case "orbench":
            return write_orbench(root, (train, test))
        case "vcm":
            parts = {"train": train, "test": test}
            rows = {p: [(pid, m, 1, 12) for pid in parts[p] for m in (1, 2)] for p in parts}
            return write_vcm(root, rows, queries=[1])
        case "bupt":
            parts = {"train": train, "query": test, "gallery": test}
            lists = {p: [f"{pid} RGB/IR W4 1" for pid in parts[p]] for p in parts}
            return write_bupt(root, lists)
        case "veri":
            parts = {"train": train, "query": test, "test": test}
            names = {f"image_{p}": [f"{pid:04d}_c001_1_0.jpg" for pid in parts[p]] for p in parts}
            return write_veri(root, names, lists=True)
    lists = {part: {pid: [900 + pid] for pid in test} for part in VEHICLEID_LISTS}
    return write_vehicleid(root, lists | {"train_list": {pid: [pid] for pid in train}})


def message(name: str, root: Path) -> str:
    with pytest.raises(DataError) as error:
        DATASETS[name].load(root)
    return str(error.value)


@every_set
@pytest.mark.parametrize("folder", ["cam3_webcam/cam6/0007", "a _c03_ /行人", "Thermal/a.jpg"])
def test_the_roots_name_decides_nothing(tmp_path, name, folder):
    plain, other = (DATASETS[name].load(WRITE[name](tmp_path / f)) for f in ("plain", folder))
    assert (plain.train, plain.val, plain.test) == (other.train, other.val, other.test)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("kind", ["", "gone", "file"])
def test_a_root_that_is_no_folder_shows_the_tree_and_where_to_get_it(tmp_path, name, kind):
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as error:
        DATASETS[name].load(str(tmp_path / kind) if kind else "")
    reasons = {"": "set DATA.ROOT or VIREID_DATA", "gone": "is nothing there", "file": "is a file"}
    assert reasons[kind] in str(error.value)
    assert DATASETS[name].tree in str(error.value)
    assert DATASETS[name].where_to_get in str(error.value)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("sysu", part) for part in ("cam4", "exp/train_id.txt", "exp/test_id.txt")),
        *(("regdb", part) for part in ("Visible", "Thermal", "idx/test_thermal_1.txt")),
        *(("llcm", part) for part in ("vis", "test_nir", "idx/train_vis.txt", "idx/test_id.txt")),
        *(("veri", part) for part in ("image_train", "image_query", "image_test")),
        *(("vcm", part) for part in ("Train", "info/test_name.txt", "info/query_IDX.txt")),
        *(("bupt", part) for part in ("DATA", "data_paths.json", "gallery.txt")),
        ("vehicleid", "image"),
        ("vehicleid", "train_test_split/test_list_1600.txt"),
        *(("orbench", part) for part in ("vis", "nir", "train_annos.json")),
    ],
)
def test_a_missing_part_is_named_with_what_was_found_and_the_tree(tmp_path, name, part):
    root = WRITE[name](tmp_path / "set")
    path = root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = message(name, root)
    assert said.startswith(f"{root} lacks {part}; found: ") and DATASETS[name].tree in said


@every_set
def test_identities_that_train_and_test_are_refused(tmp_path, name):
    said = message(name, write_ids(name, tmp_path / "set", [1, 2], [2, 3]))
    assert said.endswith("training and test identities overlap: [2]")


@pytest.mark.parametrize("name", [*LISTS, "orbench"])
def test_every_fifth_training_identity_is_held_out_on_request(tmp_path, name):
    root = write_ids(name, tmp_path / "set", [11, 2, 30, 4, 5, 60, 7, 8, 9, 10], [99])
    whole, apart = (DATASETS[name].load(root, split=split) for split in ("train+val", "train"))
    assert {r.pid for r in apart.val} == {8, 60}  # fifth and tenth of 2 4 5 7 8 9 10 11 30 60
    assert apart.train_pids == (2, 4, 5, 7, 9, 10, 11, 30)
    assert whole.val == () and apart.test == whole.test
    assert sorted(apart.train + apart.val, key=repr) == sorted(whole.train, key=repr)


@every_list
def test_lists_may_have_a_byte_order_mark_windows_ends_and_blank_lines(tmp_path, name):
    root = WRITE[name](tmp_path / "set")
    before, path = DATASETS[name].load(root), root / LISTS[name]
    text = "\ufeff" + path.read_text().replace("\n", "\r\n") + "  \r\n\r\n"
    path.write_bytes(text.encode())
    assert DATASETS[name].load(root) == before


@every_list
@pytest.mark.parametrize(
    ("content", "phrase"),
    [(b"", "lists no image"), (b"\n \n", "lists no image"), (b"\xff", "read")],
)
def test_a_list_without_images_is_named(tmp_path, name, content, phrase):
    root = WRITE[name](tmp_path / "set")
    (root / LISTS[name]).write_bytes(content)
    assert phrase in message(name, root) and str(root / LISTS[name]) in message(name, root)


@every_list
def test_images_that_are_listed_twice_or_missing_are_counted_and_named(tmp_path, name):
    root = WRITE[name](tmp_path / "set")
    path, (*_, last) = root / LISTS[name], DATASETS[name].load(root).train
    text = path.read_text()
    path.write_text(text + text.splitlines()[-1])
    assert f"{path} lists 1 images more than once, the first: {last.path};" in message(name, root)
    path.write_text(text)
    (root / last.path).unlink()
    phrase = f"{LISTS[name]} lists 1 images that are not under {root}, the first: {last.path}"
    assert message(name, root) == phrase


@pytest.mark.parametrize("name", ["regdb", "llcm"])
def test_a_list_of_the_other_modality_is_refused(tmp_path, name):
    root = WRITE[name](tmp_path / "set")
    path = root / LISTS[name]
    other = path.with_name(path.name.replace("thermal", "visible").replace("nir", "vis"))
    write_text(path, other.read_text())
    assert "must list infrared images only, but lists V" in message(name, root).replace("vis/", "V")


@pytest.mark.parametrize(
    ("name", "there", "renamed"),
    [
        ("sysu", "cam3", "Cam3"),
        ("sysu", "exp/test_id.txt", "exp/Test_ID.txt"),
        ("sysu", "exp/val_id.txt", "exp/val_id.TXT"),
        ("sysu", "exp", "EXP"),
        ("regdb", "Thermal", "thermal"),
        ("regdb", "Visible/1/v_1.bmp", "Visible/1/V_1.BMP"),
        ("llcm", "nir", "NIR"),
        ("llcm", "test_vis", "Test_vis"),
        ("vcm", "Test", "test"),
        ("vcm", "Train/0001/ir/D2/1.jpg", "Train/0001/ir/D2/1.JPG"),
        ("bupt", "DATA/7/IR", "DATA/7/ir"),
        ("bupt", "train_auxiliary.txt", "Train_auxiliary.txt"),
        ("veri", "image_query", "image_Query"),
        ("veri", "name_train.txt", "Name_train.txt"),
        ("vehicleid", "image", "Image"),
        ("vehicleid", "image/0000011.jpg", "image/0000011.JPG"),
        ("orbench", "train_annos.json", "Train_annos.json"),
        ("orbench", "vis/0005/vis_1.jpg", "vis/0005/VIS_1.jpg"),
    ],
)
def test_a_part_of_other_letter_case_is_named(tmp_path, name, there, renamed):
    """Also lists without which the set would silently be another one."""
    root = WRITE[name](tmp_path / "set")
    (root / there).rename(root / renamed)
    said = message(name, root)
    assert f"{root / renamed}" in said
    assert "exists, which differs in letter case only: rename it" in said


def test_a_root_of_other_letter_case_is_named(tmp_path):
    root = WRITE["regdb"](tmp_path / "RegDB")
    assert f"{root} exists, which differs in letter case only" in message(
        "regdb", tmp_path / "regdb"
    )
