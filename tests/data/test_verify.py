from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from tests.data.test_readers import WRITE, every_set
from tests.helpers import (
    records_of,
    sysu_record,
    write_image,
    write_llcm,
    write_permutations,
    write_regdb,
    write_sysu,
    write_text,
)
from vireid.data.datasets import DATASETS
from vireid.data.datasets.sysu import INFO, count_by_protocol, permutation_problems
from vireid.data.verify import Count, DataCheck, check_dataset, inspect_images, one_sided
from vireid.utils.threads import threaded_map

OFFICIAL = Path(__file__).resolve().parents[2].parent / "shared/sysu_mm01"


def found(report: DataCheck) -> dict[str, int]:
    return {count.name: count.found for count in report.counts}


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official split files are not at hand")
def test_published_counts_of_sysu_follow_from_its_official_files():
    cameras = loadmat(OFFICIAL / "rand_perm_cam.mat")["rand_perm_cam"].ravel()
    pids = loadmat(OFFICIAL / "test_id.mat")["id"].ravel().tolist()
    images = {
        (camera, pid): cell.shape[1]
        for camera, cells in enumerate(cameras, start=1)
        for pid, cell in enumerate(cells.ravel(), start=1)
        if pid in pids and cell.size
    }
    test = [sysu_record(c, p, n) for (c, p), count in images.items() for n in range(count)]
    counts = count_by_protocol(test)
    assert counts == {name: INFO.published[name] for name in counts}
    assert counts["queries answerable indoors"] == 2208
    assert len(test) == INFO.published["test visible images"] + counts["queries"]
    assert list(permutation_problems(OFFICIAL / "rand_perm_cam.mat", test)) == []


def test_queries_and_galleries_of_sysu_by_hand():
    """Identity 1 is in cameras 1 and 3; 2 in 2, 3 and 6; 3 in 4 and 6."""
    images = {(1, 1): 12, (3, 1): 2, (2, 2): 3, (3, 2): 5, (6, 2): 7, (4, 3): 1, (6, 3): 9}
    test = [sysu_record(c, p, n) for (c, p), count in images.items() for n in range(count)]
    assert count_by_protocol(test) == {
        "queries": 23,
        "queries answerable indoors": 2 + 7,  # camera 3 does not see camera 2
        "gallery all-search single-shot": 3,
        "gallery all-search multi-shot": 10 + 3 + 1,
        "gallery indoor single-shot": 2,
        "gallery indoor multi-shot": 10 + 3,
    }


def test_a_complete_set_has_no_fault(tmp_path, monkeypatch):
    root = write_llcm(tmp_path / "l")
    published = dict.fromkeys(("training identities", "test identities"), 2)
    published |= {
        f"{part} {m} images": 2 for part in ("training", "test") for m in ("visible", "infrared")
    }
    monkeypatch.setitem(DATASETS, "llcm", replace(DATASETS["llcm"], published=published))
    report = check_dataset("llcm", root)
    assert [(c.expected, c.found) for c in report.counts] == [(2, 2)] * 6
    assert (report.faults, report.images.opened, report.images.unreadable) == (0, 8, ())


@every_set
def test_reduced_compares_nothing_with_what_was_published(tmp_path, name):
    root = WRITE[name](tmp_path / "set")
    report = check_dataset(name, root, reduced=True)
    assert report.faults == 0
    assert all(count.expected is None for count in report.counts)
    whole = check_dataset(name, root)
    assert whole.faults == sum(c.differs for c in whole.counts) + len(whole.problems) > 0


def test_counts_of_a_small_sysu(tmp_path):
    report = check_dataset("sysu", write_sysu(tmp_path / "s"))
    assert Count("training identities", 3, 395) in report.counts
    assert Count("test infrared images", 2, 3803) in report.counts
    assert Count("gallery indoor multi-shot", 2, 1120) in report.counts
    assert "rand_perm_cam.mat" in report.notes[0]
    assert (len(report.counts), report.faults) == (12, 12)


def test_permutations_of_other_folders_are_a_problem(tmp_path):
    root = write_sysu(tmp_path / "s")
    images = {(camera, 305): 1 for camera in range(1, 7)}
    path = write_permutations(root / "exp/rand_perm_cam.mat", images)
    assert check_dataset("sysu", root, reduced=True).faults == 0
    write_image(root / "cam4/0305/0002.jpg")
    assert check_dataset("sysu", root, reduced=True).problems == (
        f"{path} does not fit 1 of 6 test folders; the first is camera 4, identity 305: "
        "2 images on disk, 1 in the file",
    )
    path.write_bytes(b"x")
    (problem,) = check_dataset("sysu", root, reduced=True).problems
    assert problem.startswith(f"{path} is not a MATLAB")


def test_all_ten_splits_of_regdb_are_read_and_shown_once_where_they_agree(tmp_path):
    root = write_regdb(tmp_path / "r", {t: ([t, 11], [12]) for t in range(1, 11)})
    counts = found(check_dataset("regdb", root))
    parts = ("identities", "visible images", "infrared images")
    expected = {f"training {part}, each split": 2 for part in parts}
    expected |= {f"test {part}, each split": 1 for part in parts}
    assert counts == {"splits": 10, "identities": 12} | expected


def test_a_split_of_regdb_that_differs_is_named(tmp_path):
    root = write_regdb(tmp_path / "r", {1: ([1], [2]), 2: ([1, 3], [2])})
    counts = found(check_dataset("regdb", root, reduced=True))
    assert counts["training identities, split 1"] == 1
    assert counts["training identities, split 2"] == 2
    assert counts["test identities, each split"] == 1
    assert "test identities, split 1" not in counts


def test_missing_splits_of_regdb_are_a_problem_unless_reduced(tmp_path):
    root = write_regdb(tmp_path / "r")  # splits 1 and 2
    problems = check_dataset("regdb", root).problems
    assert len(problems) == 8
    assert problems[0].startswith("split 3: ") and "idx/train_visible_3.txt" in problems[0]
    assert check_dataset("regdb", root, reduced=True).problems == ()
    (root / "idx/test_thermal_2.txt").unlink()
    (problem,) = check_dataset("regdb", root, reduced=True).problems
    assert problem.startswith(f"split 2: {root} lacks idx/test_thermal_2.txt")


def write_csv(root: Path, *rows: str) -> None:
    for row in rows:
        write_image(root / row.partition(",")[0])
    write_text(root / "dataset.csv", "\n".join(["path,pid,modality,split", *rows]))


def test_a_csv_set_is_compared_with_nothing_and_needs_both_modalities(tmp_path):
    write_csv(
        *(tmp_path, "a.jpg,1,rgb,train", "b.jpg,1,ir,train", "c.jpg,2,ir,test"),
        *("d.jpg,3,rgb,train", "e.jpg,3,ir,train"),
    )
    report = check_dataset("csv", tmp_path)
    assert all(count.expected is None for count in report.counts)
    assert report.problems == ("no visible image in the test split",)
    assert report.notes == ("1 identity has infrared images only: 2",)


def test_identities_of_one_modality_are_named_and_the_first_twenty_shown():
    records = records_of({3: (1, 1), 9: (2, 0), 5: (0, 1), 4: (1, 0)})
    assert list(one_sided(records)) == [
        "2 identities have visible images only: 4, 9",
        "1 identity has infrared images only: 5",
    ]
    (many,) = one_sided(records_of({**dict.fromkeys(range(30), (1, 0)), 99: (1, 1)}))
    assert many.startswith("30 identities") and many.endswith("18, 19 …")


def test_kinds_of_images_are_counted(tmp_path):
    palette = Image.new("P", (8, 16))
    palette.putpalette([1, 2, 3])
    modes = {"a.png": "L", "b.png": "1", "c.png": "RGBA", "d.png": "I;16", "e.jpg": "CMYK"}
    images = {name: Image.new(mode, (8, 16)) for name, mode in modes.items()}
    images |= {"f.bmp": palette, "g.jpg": Image.new("RGB", (8, 16))}
    for name, image in images.items():
        image.save(tmp_path / name)
    result = inspect_images(tmp_path, list(images))
    assert (result.opened, result.unreadable) == (7, ())
    single = ("16-bit or deeper", "CMYK", "with a palette", "with an alpha channel")
    assert result.kinds == {"one-channel": 2} | dict.fromkeys(single, 1)


def test_unreadable_images_are_listed_in_order_with_the_reason(tmp_path):
    root = write_sysu(tmp_path / "s")
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    truncated, broken = root / "cam2/0007/0001.jpg", root / "cam5/0305/0001.jpg"
    Image.fromarray(noise).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:900])
    broken.write_text("no image")
    report = check_dataset("sysu", root, reduced=True)
    assert report.faults == 2
    first, second = report.images.unreadable
    assert first.startswith(f"image {truncated} cannot be decoded")
    assert second.startswith(f"image {broken} cannot be decoded")


def test_threads_keep_the_order_and_stop_at_the_first_error():
    squares, done = threaded_map(lambda n: n * n, range(20), doing="squares"), []
    assert list(squares) == [n * n for n in range(20)]

    def work(n: int) -> None:
        done.append(n)
        if n == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        list(threaded_map(work, range(100_000), doing="work"))
    assert len(done) < 100_000


def write_test_lists(root: Path, extra: str = "") -> None:
    """As the archive has them: the images of test_vis by their names under vis."""
    for kind in ("vis", "nir"):
        images = sorted((root / f"test_{kind}").rglob("*.jpg"))
        lines = [f"{kind}/{image.parent.name}/{image.name} 0\n" for image in images]
        write_text(root / f"idx/test_{kind}.txt", "".join(lines) + extra)


def test_lists_of_test_images_are_compared_with_the_folders(tmp_path):
    root = write_llcm(tmp_path / "l")
    absent = "no idx/test_nir.txt to compare the images of test_nir with"
    assert absent in check_dataset("llcm", root).notes
    write_test_lists(root)
    report = check_dataset("llcm", root, reduced=True)
    assert report.problems == () and not any("idx/test" in note for note in report.notes)
    gone, new = "0007/0007_c01_s1_f1_vis.jpg", "cam4/0020/0020_c04_s1_f1_nir.jpg"
    (root / "test_vis/cam1" / gone).unlink()
    write_image(root / "test_nir" / new)
    of = "of the identities of idx/test_id.txt, first:"
    assert check_dataset("llcm", root, reduced=True).problems == (
        f"idx/test_vis.txt lists 1 images that test_vis has not {of} {gone}",
        f"test_nir has 1 images that idx/test_nir.txt does not list {of} {new[5:]}",
    )


def test_an_unreadable_list_of_test_images_is_a_problem_of_its_own(tmp_path):
    root = write_llcm(tmp_path / "l")
    write_test_lists(root)
    (root / "idx/test_vis.txt").write_bytes(b"\xff\xfe")
    (problem,) = check_dataset("llcm", root, reduced=True).problems
    assert problem.startswith(f"cannot read {root}/idx/test_vis.txt: ")


def test_cameras_without_test_images_are_named(tmp_path):
    root = write_llcm(tmp_path / "l")
    (root / "test_vis/cam2").mkdir()
    notes = check_dataset("llcm", root, reduced=True).notes
    assert "no visible test image of camera 2, 3, 4, 5, 6, 7, 8, 9" in notes
    assert "no infrared test image of camera 1, 4, 5, 6, 7, 8, 9" in notes  # 3 has none
    root = write_sysu(tmp_path / "s", cameras=(1, 2, 3, 5, 6))
    notes = check_dataset("sysu", root, reduced=True).notes
    assert "no visible test image of camera 4" in notes
    assert not any("infrared test image" in note for note in notes)


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [("sysu", "cam2/0305"), ("regdb", "Thermal/3"), ("llcm", "test_vis/cam1/0007")],
)
def test_files_that_are_no_images_are_counted_and_the_first_is_named(tmp_path, dataset, folder):
    root = WRITE[dataset](tmp_path / "set")
    assert not any("ignored" in note for note in check_dataset(dataset, root, reduced=True).notes)
    for name in ("Thumbs.db", "._1.jpg", "1.gif"):
        (root / folder / name).write_bytes(b"x")
    (root / folder / "more").mkdir()
    report = check_dataset(dataset, root, reduced=True)
    skipped = f"1 image is skipped, in hidden or system files and folders: {folder}/._1.jpg"
    assert report.findings[-1] == skipped
    (note,) = (n for n in report.notes if "ignored" in n)
    assert note == (
        f"files among the images that are ignored: 2, the first: {folder}/1.gif (images end in "
        ".avif, .bmp, .heic, .heif, .jp2, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp)"
    )


def test_a_csv_set_ignores_nothing_that_it_lists(tmp_path):
    rows = ["i/a.tif,1,rgb,train", "i/b.tif,1,ir,train", "c.jpg,2,ir,test", "d.jpg,2,rgb,test"]
    write_csv(tmp_path, *rows, "e.jpg,3,rgb,train", "f.jpg,3,ir,train")
    assert check_dataset("csv", tmp_path).notes == ()
    write_text(tmp_path / "i/notes.txt", "")
    (note,) = check_dataset("csv", tmp_path).notes
    assert "ignored: 1, the first: i/notes.txt" in note
