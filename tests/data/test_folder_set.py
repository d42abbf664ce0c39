"""Folders of a user's own photos: how they are read, split and numbered; what messages say."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import write_image
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.data.datasets import folder_set
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import MODALITY_NAMES, ImageRecord, Modality, Splits

V, I = Modality.VISIBLE, Modality.INFRARED  # noqa: E741
NAMES = ("anna", "ben", "mei lin", "zoë", "7", "007")


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        write_image(root / path)
    return root


def people(names: Iterable[str], place: str = "", folders: Sequence[str] = ("visible", "infrared")):
    """One image of every name in every modality's folder."""
    return [f"{place}{folder}/{name}/1.jpg" for folder in folders for name in names]


def message(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        folder_set.load(root, **options)
    return str(error.value)


def names_in(splits: Splits, part: str) -> set[str]:
    return {splits.identities[record.pid] for record in getattr(splits, part)}


def test_folders_become_records(tmp_path):
    write(tmp_path, "visible/ben/b.JPG", "visible/ben/a.png", "infrared/ben/night/1.jpg")
    write(tmp_path, "visible/anna/1.tif")
    splits = folder_set.load(tmp_path, test_share=0.0)
    assert splits.train == (
        ImageRecord("visible/anna/1.tif", 1, 1, V),
        ImageRecord("visible/ben/a.png", 2, 1, V),
        ImageRecord("visible/ben/b.JPG", 2, 1, V),
        ImageRecord("infrared/ben/night/1.jpg", 2, 2, I),
    )
    assert (splits.root, splits.val, splits.test) == (tmp_path, (), ())
    assert splits.identities == {1: "anna", 2: "ben"}
    assert splits.cameras == {}


def test_parts_are_read_from_folders_where_there_are_any(tmp_path):
    parts = {"train": "ab", "Val": "c", "test": "de"}
    for part, names in parts.items():
        write(tmp_path, *people(names, f"{part}/"))
    whole, apart = (folder_set.load(tmp_path, split=s) for s in ("train+val", "train"))
    assert (names_in(whole, "train"), whole.val) == (set("abc"), ())
    assert [names_in(apart, part) for part in ("train", "val", "test")] == [
        *map(set, parts.values())
    ]
    assert apart.identities == whole.identities == dict(enumerate("abcde", start=1))


@pytest.mark.parametrize("name", [*MODALITY_NAMES, "Visible", "RGB", "Thermal"])
def test_a_modalitys_folder_has_any_of_its_names(tmp_path, name):
    modality = MODALITY_NAMES[name.lower()]
    write(tmp_path, f"{name}/x/1.jpg")
    (record,) = folder_set.load(tmp_path, test_share=1.0).test
    assert record == ImageRecord(f"{name}/x/1.jpg", 1, int(modality) + 1, modality)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (NAMES, [3, 4, 5, 6, 2, 1]),
        (["0003", "12"], [3, 12]),
        (["7", "007"], [2, 1]),  # two people
        (["0", "1"], [0, 1]),
        (["10", "9", "x"], [1, 2, 3]),
        (["id-1", "행인", "c3 (old)"], [2, 3, 1]),
    ],
)
def test_every_folder_is_an_identity_with_a_number_of_its_own(tmp_path, names, numbers):
    write(tmp_path, *people(names))
    splits = folder_set.load(tmp_path, test_share=0.0)
    assert splits.identities == dict(sorted(zip(numbers, names, strict=True)))
    for record in splits.train:
        assert record.path.split("/")[1] == splits.identities[record.pid]


def test_a_name_is_one_identity_in_both_unicode_forms(tmp_path):
    write(tmp_path, "visible/Zoe\u0308/1.jpg", "infrared/Zo\u00eb/1.jpg")
    splits = folder_set.load(tmp_path, test_share=1.0)
    assert [record.pid for record in splits.test] == [1, 1]
    assert splits.identities == {1: "Zo\u00eb"} and splits.notes == ()


@pytest.mark.parametrize(("count", "share", "test"), [(6, 0.5, 3), (5, 0.5, 2), (9, 0.2, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_identities_are_split_by_share_and_seed_whatever_their_order(
    tmp_path, count, share, test, seed
):
    names = [f"person {n}" for n in range(count)]
    options = {"test_share": share, "split_seed": seed}
    splits = folder_set.load(write(tmp_path / "a", *people(names)), **options)
    assert len(names_in(splits, "test")) == test
    assert names_in(splits, "train") == set(names) - names_in(splits, "test")
    again = folder_set.load(write(tmp_path / "b", *people(names[::-1])), **options)
    assert (again.train, again.test) == (splits.train, splits.test)


def test_another_seed_chooses_others(tmp_path):
    write(tmp_path, *people(map(str, range(8))))
    found = {frozenset(names_in(folder_set.load(tmp_path, split_seed=n), "test")) for n in range(9)}
    assert len(found) > 5


def test_a_new_identity_moves_at_most_one_other(tmp_path):
    write(tmp_path, *people(map(str, range(20))))
    before = names_in(folder_set.load(tmp_path), "test")
    write(tmp_path, *people(["someone new"]))
    after = names_in(folder_set.load(tmp_path), "test")
    assert len((before ^ after) - {"someone new"}) <= 1


@pytest.mark.parametrize(("share", "test"), [(0.0, 0), (0.01, 1), (0.99, 2), (1.0, 3)])
def test_one_identity_at_least_is_on_each_side_of_a_split(tmp_path, share, test):
    write(tmp_path, *people("abc"))
    splits = folder_set.load(tmp_path, test_share=share)
    assert (len(names_in(splits, "test")), len(names_in(splits, "train"))) == (test, 3 - test)


def test_identities_of_one_modality_are_split_by_themselves(tmp_path):
    write(tmp_path, *people("abcd"), *people("efgh", folders=["visible"]))
    for seed in range(5):
        splits = folder_set.load(tmp_path, split_seed=seed)
        assert len(names_in(splits, "test") & set("abcd")) == 2
        assert len(names_in(splits, "test") & set("efgh")) == 2


def test_every_fifth_identity_of_both_modalities_is_held_out(tmp_path):
    write(tmp_path, *people("bdfhjlnp", "train/"), *people("ace", "train/", ["visible"]))
    write(tmp_path, *people("z", "test/"))
    splits = folder_set.load(tmp_path, split="train")
    assert names_in(splits, "val") == {"j"}
    assert names_in(splits, "train") == set("abcdefhlnp")


@pytest.mark.parametrize(
    ("pattern", "cameras"),
    [
        (r"^(\w+)_", {"c1_a.jpg": "c1", "c2_a.jpg": "c2"}),  # of the file's name
        (r"^c(\d)_", {"c1_a.jpg": "1", "c2_a.jpg": "2"}),
        (r"/(east|west)/", {"c1_a.jpg": "east", "c2_a.jpg": "west"}),  # of the path
        (
            r"^(?:visible|infrared)/eric7/(?P<camera>[^/]+)/",
            {"c1_a.jpg": "east", "c2_a.jpg": "west"},
        ),
        (r"c(\d)", {"c1_a.jpg": "1", "c2_a.jpg": "2"}),  # not the one in eric7
    ],
)
def test_cameras_are_found_in_names_or_else_in_paths(tmp_path, pattern, cameras):
    write(tmp_path, "visible/eric7/east/c1_a.jpg", "infrared/eric7/west/c2_a.jpg")
    splits = folder_set.load(tmp_path, camera_pattern=pattern, test_share=1.0)
    assert {r.path.rpartition("/")[2]: splits.cameras[r.camid] for r in splits.test} == cameras
    assert [record.camid for record in splits.test] == [1, 2]


@pytest.mark.parametrize("pattern", [r"cam(\d)", r"^c(1)?_", "c(x*)1"])
def test_an_image_without_a_camera_is_named(tmp_path, pattern):
    write(tmp_path, "visible/x/c1_a.jpg", "infrared/x/c2_a.jpg")
    said = message(tmp_path, camera_pattern=pattern)
    assert f"DATA.CAMERA_PATTERN {pattern!r} finds no camera in " in said
    assert "of 2 images, the first: " in said and "/x/c" in said


def test_negative_names_are_junk(tmp_path):
    write(tmp_path, *people(["anna", "ben"]), "visible/-1/1.jpg", "infrared/-2/2.jpg")
    splits = folder_set.load(tmp_path)
    assert len({record.pid for record in splits.train} & {1, 2}) == 1
    assert {record.pid for record in splits.test} - {1, 2} == {-1, -2}
    assert splits.identities == {1: "anna", 2: "ben"}
    assert splits.notes == ("junk images (negative identities: -1, -2), which are in no list: 2",)
    parted = write(tmp_path / "parted", *people(["-1", "anna"], "train/"), *people("b", "test/"))
    splits = folder_set.load(parted)
    assert {record.pid for record in splits.train + splits.test} == {1, 2}
    assert [record.pid for record in splits.left_out] == [-1, -1]


def test_identity_0_is_a_distractor_beside_junk_and_else_a_person(tmp_path):
    write(tmp_path, *people(["0", "anna", "ben"]))
    assert folder_set.load(tmp_path).identities == {1: "0", 2: "anna", 3: "ben"}
    write(tmp_path, "visible/-1/1.jpg")
    splits = folder_set.load(tmp_path)
    assert splits.identities == {0: "0", 1: "anna", 2: "ben"}
    assert 0 not in splits.train_pids
    assert splits.notes[1].endswith("never searched for and train nothing: 2")


HIDDEN = (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".Trash-1000")


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_and_system_folders_are_no_identities_and_hold_no_images(tmp_path, name):
    write(tmp_path, *people("ab"), f"visible/{name}/1.jpg", f"visible/a/{name}/1.jpg")
    write(tmp_path, f"visible/a/x/{name}/y/1.jpg", f"{name}/visible/a/1.jpg", "visible/a/._1.jpg")
    splits = folder_set.load(tmp_path)
    assert len(splits.train + splits.test) == 4


@pytest.mark.parametrize(
    ("paths", "phrase"),
    [
        (
            ["anna/1.jpg", "ben/1.jpg"],
            "has no folder of a modality, but anna, ben: put the folders",
        ),
        (["visble/anna/1.jpg"], "(is 'visble' meant for one?)"),
        (["1.jpg", "2.png"], "holds 2 images directly, the first: 1.jpg"),
        (["anna/visible/1.jpg", "ben/visible/1.jpg"], "visible/anna, not anna/visible"),
        (["photos/visible/anna/1.jpg"], "set DATA.ROOT {root}/photos"),
        (["my photos/train/rgb/anna/1.jpg"], "set DATA.ROOT {root}/my photos"),
        (["visible/1.jpg"], "{root}/visible holds 1 images directly, the first: 1.jpg"),
        (["visible/a/1.jpg", "visible/x.png"], "visible/anna/x.png"),
        (["visible/a/1.jpg", "rgb/a/1.jpg"], "two folders of visible images, rgb and visible"),
        (["ir/a/1.jpg", "Thermal/a/1.jpg"], "two folders of infrared images, Thermal and ir"),
        (["visible/a/1.jpg", "Visible/a/1.jpg"], "two folders of visible images"),
        (["train/visible/a/1.jpg", "visible/b/1.jpg"], "has both train/ and visible/"),
        (
            ["train/visible/a/1.jpg", "Train/visible/b/1.jpg"],
            "Train, train: put all of it into one",
        ),
        (["train/anna/1.jpg"], "{root}/train has no folder of a modality, but anna"),
        (["visible/a/notes.txt"], "holds no image by its name; the endings found are .txt"),
        (["visible/.hidden/1.jpg"], "holds no image"),
    ],
)
def test_what_is_in_the_wrong_place_is_named_with_the_remedy(tmp_path, paths, phrase):
    for path in paths:
        if path.endswith(".txt"):
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).touch()
        else:
            write_image(tmp_path / path)
    said = message(tmp_path)
    assert said.startswith(str(tmp_path)) and phrase.format(root=tmp_path) in said


def test_an_empty_folder_shows_the_tree(tmp_path):
    said = message(tmp_path)
    assert said == f"{tmp_path} has no folder of a modality; found: nothing\nexpected:\n" + (
        folder_set.INFO.tree
    )


def test_an_identity_that_trains_and_tests_is_named(tmp_path):
    write(tmp_path, *people(["anna", "ben"], "train/"), *people(["ben", "cleo"], "test/"))
    assert message(tmp_path) == f"{tmp_path}: training and test identities overlap: ['ben']"
    shutil.rmtree(tmp_path)
    write(tmp_path, *people(["0001", "-1"], "train/"), *people(["0001", "-1"], "test/"))
    assert message(tmp_path) == f"{tmp_path}: training and test identities overlap: [1]"


def test_what_is_passed_over_is_noted(tmp_path):
    write(tmp_path, *people(["a", "Anna", "anna", "b"]), "visible/onlyrgb/1.jpg", "depth/a/1.jpg")
    (tmp_path / "visible/empty").mkdir()
    notes = check_dataset("folder", tmp_path).notes
    assert notes[:4] == (
        "folders that are not read: 1, depth",
        "identity folders without an image: 1, visible/empty",
        "identity names that are nearly the same: 'Anna', 'anna'; they count as 2 different ones",
        "1 identity has visible images only: onlyrgb",
    )


def config(root: Path, *overrides: str):
    words = ["DATA.DATASET", "folder", "DATA.ROOT", str(root), *overrides]
    return load_config(None, words, environment={})


def test_options_reach_the_reader(tmp_path):
    write(tmp_path, *people("abcdefgh"))
    words = ["DATA.TEST_SHARE", "0.25", "DATA.SPLIT_SEED", "3", "DATA.CAMERA_PATTERN", r"(\d)\.jpg"]
    splits = build_splits(config(tmp_path, *words))
    direct = folder_set.load(tmp_path, test_share=0.25, split_seed=3, camera_pattern=r"(\d)\.jpg")
    assert (splits.train, splits.test) == (direct.train, direct.test)
    assert len(names_in(splits, "test")) == 2 and {r.camid for r in splits.test} == {1}


@pytest.mark.parametrize("layout", ["test/", ""])
def test_a_set_with_test_images_only_is_checked_and_not_trained(tmp_path, layout):
    write(tmp_path, *people("ab", layout))
    share = ["DATA.TEST_SHARE", "1"]
    cfg = config(tmp_path, *share)
    assert len(build_splits(cfg, parts=("test",)).test) == 4
    with pytest.raises(DataError, match="holds test images only") as error:
        build_splits(cfg)
    assert "\n" not in str(error.value)
    report = check_dataset("folder", tmp_path, options=cfg.DATA)
    assert report.faults == 0
    assert report.notes[0].startswith("no training images: a trained model can be scored")


def test_a_set_that_is_too_small_to_train_is_noted(tmp_path):
    for names, noted in (("ab", True), ("abcd", False)):
        report = check_dataset("folder", write(tmp_path / names, *people(names)))
        assert any("one identity trains" in note for note in report.notes) is noted


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (people("ab", "train/"), "no visible image in the test split"),
        (people("abcd", folders=["rgb"]), "no infrared image in the train split"),
    ],
)
def test_a_set_without_test_images_or_a_modality_is_refused(tmp_path, paths, problem):
    write(tmp_path, *paths)
    with pytest.raises(DataError, match=f"{problem}|holds training images only: some"):
        build_splits(config(tmp_path))
    assert problem in check_dataset("folder", tmp_path).problems


def test_hidden_images_are_named(tmp_path):
    write(tmp_path, *people(["anna", "ben"]))
    write(tmp_path, "visible/anna/day/.Trash-1000/a.jpg", "@eaDir/b.jpg", "infrared/.c/d/e.png")
    report = check_dataset("folder", tmp_path)
    assert report.findings[-1] == (
        "3 images are skipped, in hidden or system files and folders: @eaDir/b.jpg, "
        "infrared/.c/d/e.png, visible/anna/day/.Trash-1000/a.jpg"
    )


@pytest.mark.parametrize("link", ["visible/anna/b.jpg", "infrared/clara", "train", "visible/ben/x"])
def test_a_link_to_nothing_is_an_error(tmp_path, link):
    """A part of the data may be missing."""
    write(tmp_path, *people(["anna", "ben"]))
    (tmp_path / link).symlink_to(tmp_path / "moved")
    assert f"{tmp_path / link} cannot be read; it is a link to {tmp_path / 'moved'}" in message(
        tmp_path
    )


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    outside = tmp_path / "photos"
    write(outside, "anna/1.jpg", "anna/2.jpg", "anna/ir/1.jpg")
    root = tmp_path / "set"
    write(root, *people(["ben"]))
    (root / "visible/anna").symlink_to(outside / "anna")
    (root / "infrared/anna").symlink_to(outside / "anna/ir")
    (outside / "anna/again").symlink_to(outside / "anna")
    (root / "visible/ben/up").symlink_to(root)
    splits = folder_set.load(root)
    paths = {record.path for record in splits.train + splits.test}
    assert {path for path in paths if "anna" in path} == {
        "visible/anna/1.jpg",
        "visible/anna/2.jpg",
        "visible/anna/ir/1.jpg",
        "infrared/anna/1.jpg",
    }


def test_a_picture_of_two_people_is_named_with_their_names(tmp_path):
    write(tmp_path, *people(["anna"], folders=["visible"]), *people(["007"], folders=["infrared"]))
    report = check_dataset("folder", tmp_path)
    people_line = "the same picture shows two identities: 1 picture, such as"
    both = "infrared/007/1.jpg (007) = visible/anna/1.jpg (anna)"
    assert f"{people_line} {both}" in report.findings
