import re
from pathlib import Path

import pytest

from tests.helpers import write_image, write_llcm, write_text
from vireid.data.datasets import llcm
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Identities 1 and 351 train, 7 and 20 test."""
    return write_llcm(tmp_path / "LLCM")


def train(*pids: int) -> tuple[ImageRecord, ...]:
    """Visible images first; of cameras 1 and 6."""
    return tuple(
        ImageRecord(f"{kind}/{p:04d}/{p:04d}_c{camera:02d}_s200656_f4830_{kind}.jpg", p, camera, m)
        for kind, camera, m in (("vis", 1, Modality.VISIBLE), ("nir", 6, Modality.INFRARED))
        for p in pids
    )


def test(*pids: int) -> tuple[ImageRecord, ...]:
    """Visible images first; of cameras 1 and 2."""
    return tuple(
        ImageRecord(f"test_{k}/cam{c}/{p:04d}/{p:04d}_c{c:02d}_s1_f1_{k}.jpg", p, c, m)
        for k, c, m in (("vis", 1, Modality.VISIBLE), ("nir", 2, Modality.INFRARED))
        for p in pids
    )


test.__test__ = False


def test_identities_are_the_folders_numbers_and_cameras_come_from_the_names(root):
    splits = llcm.load(root)
    assert splits.train == train(1, 351)
    assert splits.test == test(7, 20)
    assert (splits.val, splits.split_trial, splits.gallery_permutations) == ((), None, None)


def test_test_images_come_by_spectrum_identity_camera_and_name(root):
    for name in ("cam9/0007/b.jpg", "cam9/0007/a.jpg", "cam1/0007/0001.jpg"):
        write_image(root / "test_vis" / name)
    found = [(r.path, r.camid) for r in llcm.load(root).test if r.pid == 7]
    assert found == [
        ("test_vis/cam1/0007/0001.jpg", 1),
        ("test_vis/cam1/0007/0007_c01_s1_f1_vis.jpg", 1),
        ("test_vis/cam9/0007/a.jpg", 9),
        ("test_vis/cam9/0007/b.jpg", 9),
        ("test_nir/cam2/0007/0007_c02_s1_f1_nir.jpg", 2),
    ]


def test_stray_files_and_unlisted_identities_are_passed_over(root):
    before = llcm.load(root)
    (root / "test_vis/cam1/0007/Thumbs.db").write_bytes(b"x")
    (root / "test_vis/cam1/0007/._a.jpg").write_bytes(b"x")
    write_image(root / "test_vis/cam1/0400/a.jpg")
    write_image(root / "vis/0400/0400_c01_x.jpg")
    assert llcm.load(root) == before


def test_test_identities_without_an_image_are_counted_and_named(root):
    (root / "idx/test_id.txt").write_text("7,20,21,22")
    phrase = "2 of 4 listed identities have no image under .*test_vis or test_nir"
    with pytest.raises(DataError, match=rf"{phrase}, the first are \[21, 22\]"):
        llcm.load(root)


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("rgb/0001/0001_c01_x.jpg 0", "expected '<vis|nir>/<identity>/<image> <label>'"),
        ("vis/0001/0001_01_x.jpg 0", "the file's name must hold the camera"),
        ("vis/0001/0001_c10_x.jpg 0", "got '0001_c10_x.jpg'"),
        ("vis/0001/0001_c00_x.jpg 0", "got '0001_c00_x.jpg'"),
    ],
)
def test_malformed_line_is_quoted_with_its_number(root, line, phrase):
    path = write_text(root / "idx/train_vis.txt", f"\n{line}\n")
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: ")) as error:
        llcm.load(root)
    assert phrase in str(error.value)


def test_published_counts_add_up_to_all_46767_images():
    published = llcm.INFO.published
    images = [count for name, count in published.items() if name.endswith("images")]
    assert sum(images) == 46_767
    assert published["training identities"] + published["test identities"] == 1_064
