import re
import shutil
from pathlib import Path

import pytest

from tests.helpers import VERI_NAMES, write_image, write_text, write_veri
from vireid.data.datasets import veri
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality, Role


def record(path: str, pid: int, camera: int, role: Role) -> ImageRecord:
    return ImageRecord(path, pid, camera, Modality.VISIBLE, role)


TRAIN = (
    record("image_train/0002_c001_00000010_0.jpg", 2, 1, Role.BOTH),
    record("image_train/0002_c020_00000020_1.jpg", 2, 20, Role.BOTH),
    record("image_train/0007_c003_1_0.jpg", 7, 3, Role.BOTH),
)
TEST = (
    record("image_query/0005_c002_00000030_0.jpg", 5, 2, Role.QUERY),
    record("image_test/0005_c002_00000030_0.jpg", 5, 2, Role.GALLERY),
    record("image_test/0005_c004_00000040_0.jpg", 5, 4, Role.GALLERY),
    record("image_test/0009_c004_5_2.jpg", 9, 4, Role.GALLERY),
)


@pytest.fixture(params=[True, False], ids=["lists", "folders"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write_veri(tmp_path / "VeRi", lists=request.param)


def test_names_tell_vehicle_and_camera_and_folders_the_role(root):
    splits = veri.load(root)
    assert (splits.train, splits.val, splits.test) == (TRAIN, (), TEST)
    assert splits.split_trial is None and splits.gallery_permutations is None


def test_a_list_decides_which_images_count(tmp_path):
    root = write_veri(tmp_path / "VeRi", lists=True)
    write_image(root / "image_train/0002_c005_00000090_0.jpg")
    (root / "image_test/Thumbs.db").write_bytes(b"x")
    assert veri.load(root).train == TRAIN
    report = check_dataset("veri", root, reduced=True)
    assert report.faults == 0 and report.images.opened == 7
    (extra, *_) = [note for note in report.notes if "does not list" in note]
    assert extra.startswith("1 images that name_train.txt does not list are not read")
    assert extra.endswith("0002_c005_00000090_0.jpg")
    (root / "name_train.txt").unlink()
    assert len(veri.load(root).train) == 4
    assert (
        "no name_train.txt: every image of image_train counts" in check_dataset("veri", root).notes
    )


@pytest.mark.parametrize("folder", VERI_NAMES)
def test_an_empty_folder_is_named(tmp_path, folder):
    root = write_veri(tmp_path / "VeRi", lists=False)
    shutil.rmtree(root / folder)
    (root / folder).mkdir()
    with pytest.raises(DataError, match=f"{folder} holds no image"):
        veri.load(root)


@pytest.mark.parametrize(
    "name",
    ["2_1.jpg", "0002_c000_1_0.jpg", "0002_c021_1_0.jpg", "-1_c001_1.jpg", "x_c001_1.jpg", "c1"],
)
@pytest.mark.parametrize("lists", [True, False])
def test_a_name_that_does_not_tell_is_quoted(tmp_path, name, lists):
    names = {**VERI_NAMES, "image_test": [*VERI_NAMES["image_test"], name]}
    if not lists and "." not in name:
        pytest.skip("no image's name: passed over")
    root = write_veri(tmp_path / "VeRi", {**names, "image_test": []}, lists=False)
    for one in names["image_test"]:
        write_image(root / "image_test" / one) if "." in one else None
    if lists:
        write_text(root / "name_test.txt", "\n".join(names["image_test"]))
    where = "name_test.txt, line 4" if lists else "image_test"
    with pytest.raises(DataError, match=rf"{where}: .*c001 to c020\), got {re.escape(repr(name))}"):
        veri.load(root)


def test_check_counts_queries_and_gallery_apart(tmp_path):
    report = check_dataset("veri", write_veri(tmp_path / "VeRi", lists=True))
    counts = {count.name: (count.found, count.expected) for count in report.counts}
    assert counts == {
        "training identities": (2, 576),
        "training images": (3, 37_778),
        "test identities": (2, 200),
        "queries": (1, 1_678),
        "gallery images": (3, 11_579),
    }
    assert report.faults == 5 and report.problems == ()
    assert not any("infrared" in note for note in report.notes)
    (absent,) = [note for note in report.notes if "camera" in note]
    assert absent.startswith("no visible test image of camera 1, 3, 5, 6")


def test_check_names_queries_without_a_match(tmp_path):
    names = {**VERI_NAMES, "image_test": ["0005_c002_00000030_0.jpg", "0009_c004_5_2.jpg"]}
    notes = check_dataset(
        "veri", write_veri(tmp_path / "VeRi", names, lists=True), reduced=True
    ).notes
    assert any(note.startswith("1 queries have no image of their vehicle in an") for note in notes)
