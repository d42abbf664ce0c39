"""What is suspicious in a data set but no error: copies of a picture where none may be."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import write_image, write_sysu, write_text
from vireid.data import findings
from vireid.data.datasets import DATASETS
from vireid.data.images import ImageHeader, require_readable
from vireid.data.verify import check_dataset

ROWS = [
    f"{part}/{pid}{modality[0]}{n}.png,{pid},{modality},{part}"
    for part, pid in (("train", 1), ("train", 2), ("val", 3), ("test", 4), ("test", 5))
    for modality in ("visible", "infrared")
    for n in (1, 2)
]
PARTS = "the same picture is in two of the parts training, validation and test"
PEOPLE = "the same picture shows two identities"
MODALITIES = "the same picture is a visible and an infrared image"


def noise(path: Path, seed: int, **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, **options)


@pytest.fixture
def root(tmp_path) -> Path:
    """A CSV set of 20 different pictures, all in files of nearly the same length."""
    for seed, row in enumerate(ROWS):
        noise(tmp_path / row.partition(",")[0], seed)
    write_text(tmp_path / "dataset.csv", "\n".join(["path,pid,modality,split", *ROWS]))
    return tmp_path


def warnings(root: Path, split: str = "train") -> list[str]:
    """What training on the set would warn of."""
    splits = DATASETS["csv"].load(root, split=split)
    records = splits.train + splits.val + splits.test
    headers = require_readable(splits.root, [record.path for record in records])
    return findings.findings(findings.survey([splits], headers, (), {}))


def test_different_pictures_raise_no_suspicion(root):
    assert warnings(root) == []
    report = check_dataset("csv", root)
    assert (report.findings, report.notes, report.faults) == ((), (), 0)


@pytest.mark.parametrize(
    ("original", "copy", "expected"),
    [
        ("train/1v1", "test/4v1", [f"{PARTS}: 1 picture, such as test/4v1.png (test)", PEOPLE]),
        ("train/2i1", "val/3i2", [PARTS, PEOPLE]),
        ("val/3v1", "test/5i1", [PARTS, PEOPLE, MODALITIES]),
        ("train/1v1", "train/2v2", [f"{PEOPLE}: 1 picture, such as train/1v1.png (1) = train/2v2"]),
        ("test/4v1", "test/4i1", [f"{MODALITIES}: 1 picture, such as test/4i1.png = test/4v1.png"]),
        ("test/4v1", "test/5i1", [PEOPLE, MODALITIES]),
        ("test/4v1", "test/4v2", []),
    ],
)
def test_a_copy_is_named_by_what_is_wrong_with_it(root, original, copy, expected):
    shutil.copyfile(root / f"{original}.png", root / f"{copy}.png")
    found = warnings(root)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))
    report = check_dataset("csv", root)
    assert report.faults == 0
    # check_data reads the set as usual, with the validation rows in the training part
    assert report.findings == tuple(warnings(root, "train+val"))
    twice = [note for note in report.notes if "twice under one identity" in note]
    assert len(twice) == (not expected)


def test_pictures_are_counted_and_the_first_three_are_shown(root):
    for n, pid in ((1, 4), (2, 4), (1, 5), (2, 5)):
        shutil.copyfile(
            root / f"train/{1 if pid == 4 else 2}v{n}.png", root / f"test/{pid}v{n}.png"
        )
    (line, _) = warnings(root)
    assert line.startswith(f"{PARTS}: 4 pictures, such as ")
    assert line.count(" = ") == 3


def test_check_data_also_finds_a_copy_that_was_saved_again(root):
    """Equal pixels in files of other length."""
    with Image.open(root / "train/1v1.png") as image:
        image.save(root / "test/4v1.png", compress_level=0)
    assert warnings(root) == []
    assert [line.partition(":")[0] for line in check_dataset("csv", root).findings] == [
        PARTS,
        PEOPLE,
    ]


@pytest.mark.parametrize(
    "path",
    [
        "cam1/0001/.ipynb_checkpoints/0001-checkpoint.jpg",
        "cam2/.Trash-1000/files/deep/er/0001.JPG",
        "@eaDir/cam1/SYNOFILE_THUMB_M.jpg",
        "cam1/0001/@eaDir/0001.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "__MACOSX/cam1/0001/._0001.jpg",
        "cam6/0305/._0001.jpg",
        "cam3/#recycle/0001/0001.png",
        "cam4/0001/.thumbnails/normal/a.png",
        "$RECYCLE.BIN/S-1-5-21/a.jpg",
        "cam1/System Volume Information/a.jpg",
    ],
)
def test_hidden_images_are_skipped_and_named(tmp_path, path):
    root = write_sysu(tmp_path / ".cache/sysu")  # what lies above the set does not count
    whole = DATASETS["sysu"].load(root)
    write_image(root / path)
    write_text(root / ".git/HEAD", "")
    assert DATASETS["sysu"].load(root) == whole
    report = check_dataset("sysu", root, reduced=True)
    assert report.faults == 0
    assert report.findings[-1] == (
        f"1 image is skipped, in hidden or system files and folders: {path}"
    )


def test_a_folder_that_may_not_be_listed_ends_nothing(tmp_path, monkeypatch):
    """As ``lost+found`` for users, and folders that may only be entered."""
    root = write_sysu(tmp_path / "set")
    write_image(root / "cam1/.hidden/a.jpg")
    usual = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == root:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert findings.hidden_images(root, ["cam1/*"]) == ["cam1/.hidden/a.jpg"]


def test_a_csv_set_may_name_hidden_files(tmp_path):
    """Naming a file is not listing a folder."""
    rows = [row.replace("train/", ".kept/@eaDir/") for row in ROWS]
    for seed, row in enumerate(rows):
        noise(tmp_path / row.partition(",")[0], seed)
    write_text(tmp_path / "dataset.csv", "\n".join(["path,pid,modality,split", *rows]))
    report = check_dataset("csv", tmp_path)
    assert (report.images.opened, report.findings, report.faults) == (20, (), 0)


def test_few_files_are_read_to_their_end(root, monkeypatch):
    """Of 20 files, among them many of equal length, only the copies' content is compared."""
    read = []
    digest = findings._digest
    monkeypatch.setattr(
        findings, "_digest", lambda root, path: read.append(path) or digest(root, path)
    )
    shutil.copyfile(root / "train/1v1.png", root / "test/4v1.png")
    assert len(warnings(root)) == 2
    assert sorted(read) == ["test/4v1.png", "train/1v1.png"]


def test_an_equal_end_alone_is_no_copy(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 10 + bytes(findings.BLOCK))
    headers = [ImageHeader(name, "BMP", "RGB", 10 + findings.BLOCK, 0) for name in "ab"]
    assert findings.same_content(tmp_path, headers) == []
    shutil.copyfile(tmp_path / "a", tmp_path / "b")
    assert findings.same_content(tmp_path, headers) == [["a", "b"]]


def test_files_in_two_folders_are_compared_byte_for_byte(root, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(root / "train", other / "a")
    noise(other / "a/1v1.png", 99)  # another picture of nearly the same length under its name
    shutil.copy(root / "train/1v1.png", other / "copy.png")
    (other / "grown.png").write_bytes((root / "train/2v1.png").read_bytes() + b"\0")
    names = [path.name for path in (root / "train").iterdir()]
    others = ["grown.png", "copy.png", *(f"a/{name}" for name in names)]
    found = findings.shared_files(root, [f"train/{name}" for name in names], other, others)
    same = {f"a/{name}": f"train/{name}" for name in names if name != "1v1.png"}
    assert found == {**same, "copy.png": "train/1v1.png"}
    assert findings.shared_files(root, [], other, others) == {}
