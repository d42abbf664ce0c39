import re
from pathlib import Path

import pytest

from tests.helpers import VEHICLEID_LISTS, write_image, write_text, write_vehicleid
from vireid.data.datasets import vehicleid
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_vehicleid(tmp_path / "VehicleID_V1.0")


def record(number: int, pid: int, test_list: int = 0) -> ImageRecord:
    path, camera = f"image/{number:07d}.jpg", number + 1
    return ImageRecord(path, pid, camera, Modality.VISIBLE, test_list=test_list)


def test_lists_tell_vehicles_and_the_smallest_list_is_kept(root):
    splits = vehicleid.load(root)
    assert splits.train == (record(11, 3), record(12, 3), record(0, 4))
    assert splits.test == (
        record(21, 7, 800),
        record(22, 7, 800),
        record(31, 9, 1600),
        record(41, 5, 2400),
        record(42, 5, 2400),
    )
    assert splits.val == ()


def test_every_image_is_a_camera_of_its_own(root):
    splits = vehicleid.load(root)
    images = splits.train + splits.test
    assert len({r.camid for r in images}) == len(images) and min(r.camid for r in images) == 1


@pytest.mark.parametrize(
    "line", ["21", "0000021 7 1", "x 7", "0000021,7", "0000021 -7", "0000021 ٧", "image/21.jpg 7"]
)
def test_a_line_that_does_not_parse_is_quoted(root, line):
    path = root / "train_test_split/test_list_800.txt"
    write_text(path, path.read_text() + line + "\n")
    message = rf"test_list_800.txt, line 3: expected .*got {re.escape(repr(line))}"
    with pytest.raises(DataError, match=message):
        vehicleid.load(root)


@pytest.mark.parametrize(
    ("name", "text", "phrase"),
    [
        ("train_list", "0000011 3\n0000011 4\n", "lists 1 images more than once"),
        ("test_list_1600", "0000031 9\n", "vehicle 7 has 0 images in it, 2 in a smaller"),
        ("test_list_2400", "0000021 7\n0000022 7\n", "vehicle 9 has 0 images in it, 1 in a sm"),
        ("test_list_1600", "0000021 7\n0000031 9\n", "vehicle 7 has 1 images in it, 2"),
        ("test_list_1600", "0000021 8\n0000022 7\n", "shows vehicle 8, but .*800.txt says 7"),
    ],
)
def test_what_a_list_gets_wrong_is_named(root, name, text, phrase):
    write_text(root / f"train_test_split/{name}.txt", text)
    with pytest.raises(DataError, match=phrase):
        vehicleid.load(root)


def test_check_finds_a_list_that_its_protocol_cannot_use(tmp_path):
    lists = {**VEHICLEID_LISTS, "test_list_1600": VEHICLEID_LISTS["test_list_800"]}
    report = check_dataset("vehicleid", write_vehicleid(tmp_path / "v", lists), reduced=True)
    (problem,) = report.problems
    assert problem.startswith("test list 1600 holds no image that a shorter list has not")


def test_check_counts_every_list(root):
    write_image(root / "image/0000777.jpg")  # of no list, as many of the real set
    (root / "image/Thumbs.db").write_bytes(b"x")
    report = check_dataset("vehicleid", root, reduced=True)
    assert report.faults == 0 and report.images.opened == 8
    assert {count.name: count.found for count in report.counts} == {
        "training identities": 2,
        "training images": 3,
        "test identities": 3,
        "test images": 5,
        "test list 800 identities": 1,
        "test list 800 images": 2,
        "test list 1600 identities": 2,
        "test list 1600 images": 3,
        "test list 2400 identities": 3,
        "test list 2400 images": 5,
    }
    single, again, ignored, _ = report.notes
    assert single.startswith("test list 1600: 1 vehicles have one image only")
    assert again.startswith("test list 2400: 1 vehicles") and "Thumbs.db" in ignored
    published = {count.name: count.expected for count in check_dataset("vehicleid", root).counts}
    assert published["training images"] == 113_346 and published["training identities"] == 13_164
    assert [published[f"test list {n} identities"] for n in (800, 1600, 2400)] == [800, 1600, 2400]
    assert published["test list 2400 images"] == 19_777
