import shutil
from pathlib import Path

import pytest

from tests.helpers import sysu_record, write_image, write_sysu
from vireid.data.datasets import sysu
from vireid.errors import DataError
from vireid.structures import Modality


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Identities 1 and 7 train, 12 validates, 305 tests; one image in each of six cameras."""
    return write_sysu(tmp_path / "SYSU-MM01")


def all_cameras(*pids: int) -> tuple:
    return tuple(sysu_record(camera, pid) for pid in pids for camera in range(1, 7))


def test_a_record_holds_path_identity_camera_and_spectrum(root):
    (first, _, third, _, _, sixth) = sysu.load(root).test
    assert (first.path, first.pid, first.camid) == ("cam1/0305/0001.jpg", 305, 1)
    assert first.modality is Modality.VISIBLE
    assert (third.path, third.pid, third.camid) == ("cam3/0305/0001.jpg", 305, 3)
    assert third.modality is Modality.INFRARED
    assert sixth.modality is Modality.INFRARED


def test_validation_identities_train_unless_they_are_kept_apart(root):
    whole, apart = sysu.load(root), sysu.load(root, split="train")
    assert (whole.train, whole.val) == (all_cameras(1, 7, 12), ())
    assert (apart.train, apart.val) == (all_cameras(1, 7), all_cameras(12))
    assert whole.test == apart.test == all_cameras(305)
    assert whole.gallery_permutations is None and whole.split_trial is None
    (root / "exp" / "val_id.txt").unlink()  # not needed then
    assert sysu.load(root).train == all_cameras(1, 7)


def test_identities_and_images_come_in_ascending_order_whatever_the_lists_order(tmp_path):
    ids = {"train": [10, 9], "val": [2], "test": [30, 4]}
    splits = sysu.load(write_sysu(tmp_path / "sysu", ids, cameras=[1, 3], images=2))
    for records, pids in [(splits.train, (2, 9, 10)), (splits.test, (4, 30))]:
        assert records == tuple(
            sysu_record(camera, pid, number)
            for pid in pids
            for camera in (1, 3)
            for number in (1, 2)
        )


def test_what_is_no_image_of_a_listed_identity_is_passed_over(root):
    before = sysu.load(root)
    for name in ("0001/Thumbs.db", "0001/._0001.jpg", "0001/.0002.jpg", ".DS_Store", "Thumbs.db"):
        (root / "cam1" / name).write_bytes(b"x")
    for folder in ("cam1_video_1/0001", "cam2_video_1/0305", "cam7/0001", "cam1/0400"):
        write_image(root / folder / "0001.jpg")  # no camera's folder, or of no list
    assert sysu.load(root) == before


@pytest.mark.parametrize("name", ["0002.JPG", "a-b.png", "0002.jpeg"])
def test_images_keep_their_names_whatever_their_form(root, name):
    write_image(root / "cam2" / "0305" / name)
    of_camera = [r for r in sysu.load(root).test if r.camid == 2]
    assert [r.path for r in of_camera] == ["cam2/0305/0001.jpg", f"cam2/0305/{name}"]


def test_root_may_be_text_and_its_home_is_expanded(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    assert sysu.load("~/SYSU-MM01") == sysu.load(root)


@pytest.mark.parametrize("text", ["1,7", "1,7\n", " 1, 7 ,\r\n", "1\n7\n", "7,1,7"])
def test_identity_lists_are_read_with_any_spacing(root, text):
    (root / "exp" / "train_id.txt").write_bytes(text.encode())
    assert sysu.load(root, split="train").train == all_cameras(1, 7)


@pytest.mark.parametrize("name", ["exp/rand_perm_cam.mat", "rand_perm_cam.mat"])
def test_published_gallery_draw_is_found_in_either_place(tmp_path, name):
    root = write_sysu(tmp_path / "sysu", permutations=True)
    if name != "exp/rand_perm_cam.mat":
        shutil.move(root / "exp/rand_perm_cam.mat", root / name)
    assert sysu.load(root).gallery_permutations == root / name


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_validation_identities_cannot_be_kept_apart_without_their_list(root, content):
    path = root / "exp" / "val_id.txt"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="copy it there or use DATA.SPLIT train\\+val") as error:
        sysu.load(root, split="train")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("part", "split", "first"),
    [("train", "train+val", "training"), ("val", "train+val", "training"), ("val", "train", "val")],
)
def test_identity_in_two_parts_is_refused(root, part, split, first):
    (root / "exp" / f"{part}_id.txt").write_text("305")
    with pytest.raises(DataError, match=rf"{first}\w* and test identities overlap: \[305\]"):
        sysu.load(root, split=split)


def test_identity_that_trains_and_validates_is_refused_when_kept_apart(root):
    (root / "exp" / "val_id.txt").write_text("7,12")
    with pytest.raises(DataError, match="training and validation identities overlap: \\[7\\]"):
        sysu.load(root, split="train")
    assert sysu.load(root).train == all_cameras(1, 7, 12)  # together they are one set


def test_listed_identities_without_an_image_are_counted_and_named(root):
    (root / "exp" / "test_id.txt").write_text("305,306,307")
    phrase = "2 of 3 listed identities have no image under .*cam6, the first are"
    with pytest.raises(DataError, match=rf"{phrase} \[306, 307\]"):
        sysu.load(root)


@pytest.mark.parametrize("content", [b"1,x", b"1 7", b"1.5", b"1,\xff"])
def test_malformed_list_is_named(root, content):
    (root / "exp" / "train_id.txt").write_bytes(content)
    phrase = "train_id.txt must hold one comma-separated line of identity numbers"
    with pytest.raises(DataError, match=phrase):
        sysu.load(root)
