"""The layouts on disk, and what all share: processes, cleaning up, the tool."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from tests.helpers import write_permutations
from vireid.cli import make_synthetic
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.data.datasets import DATASETS, regdb, sysu, vehicleid, veri
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.runs.rendered_data import prepare_data, synthetic_root
from vireid.structures import Modality, Role
from vireid.synthetic import RENDERER_VERSION
from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers import LAYOUTS, pictures, write_set
from vireid.synthetic.writers.sysu import draw_permutations, read_counts, read_split
from vireid.synthetic.writers.vehicles import read_viewpoints

SMALL = {"train_ids": 5, "test_ids": 3, "images_per_camera": 2, "size": (32, 16), "seed": 7}
OF_IMAGES = [name for name in LAYOUTS if name not in ("vcm", "bupt")]  # those are of tracks
ROOT = Path(__file__).resolve().parents[2]
REAL_COUNTS = ROOT.parent / "shared/sysu_mm01/rand_perm_cam.mat"


def digests(root: Path) -> dict[str, str]:
    """By path; of .mat files without their header, which holds the time they were written."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(
            path.read_bytes()[116 if path.suffix == ".mat" else 0 :]
        ).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("layouts")
    for layout in OF_IMAGES:
        write_set(layout, parent / layout, **SMALL)
    return {layout: parent / layout for layout in OF_IMAGES}


@pytest.mark.parametrize("layout", OF_IMAGES)
def test_equal_seeds_write_equal_bytes_whatever_the_processes(sets, layout, tmp_path, monkeypatch):
    expected = digests(sets[layout])
    monkeypatch.setattr(pictures, "BATCH", 9)
    write_set(layout, tmp_path / "shared", **SMALL, workers=3)
    assert digests(tmp_path / "shared") == expected
    write_set(layout, tmp_path / "other", **{**SMALL, "seed": 8})
    other = digests(tmp_path / "other")
    images = {path: value for path, value in expected.items() if path.endswith(("jpg", "bmp"))}
    assert len(images) > 30 and not set(other.values()) & set(images.values())


@pytest.mark.parametrize(
    ("layout", "more", "kept"),
    [("sysu", {"images_per_camera": 3}, "*/*/*.jpg"), ("veri", {"test_ids": 5}, "image_t*n/*.jpg")],
)
def test_a_picture_does_not_depend_on_the_others(sets, layout, more, kept, tmp_path):
    write_set(layout, tmp_path, **{**SMALL, **more})
    first = [path.relative_to(sets[layout]) for path in sets[layout].glob(kept)]
    assert len(first) > 30
    assert all((tmp_path / p).read_bytes() == (sets[layout] / p).read_bytes() for p in first)


def test_parameters_are_written(sets):
    for layout, root in sets.items():
        expected = {**SMALL, "size": [32, 16], "layout": layout}
        expected["renderer_version"] = RENDERER_VERSION
        assert json.loads((root / "synthetic.json").read_text()) == expected


def test_sysu_has_the_real_sets_paths(sets):
    root = sets["sysu"]
    present = {c: sorted(path.name for path in (root / f"cam{c}").iterdir()) for c in range(1, 7)}
    assert all(present[c] == [f"{pid:04d}" for pid in range(1, 9)] for c in (3, 4, 5, 6))
    assert present[1] == present[2]
    assert len(present[1]) == 2 + 1 + 2  # 60 %, at least half, of 4, 1 and 3
    expected = {
        f"cam{c}/{pid}/{n:04d}.jpg" for c, pids in present.items() for pid in pids for n in (1, 2)
    }
    expected |= {f"exp/{name}_id.txt" for name in ("train", "val", "test", "available")}
    expected |= {"exp/rand_perm_cam.mat", "synthetic.json"}
    assert set(digests(root)) == expected
    lines = {path.stem: path.read_text() for path in (root / "exp").glob("*.txt")}
    assert lines == {
        "train_id": "1,2,3,4\n",
        "val_id": "5\n",  # one in four of 5
        "test_id": "6,7,8\n",
        "available_id": "1,2,3,4,5,6,7,8\n",
    }
    with Image.open(root / "cam4/0001/0001.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (16, 32))
    for path in (root / "cam3").rglob("*.jpg"):  # near infrared is grey but for JPEG's rounding
        assert np.ptp(np.asarray(Image.open(path)), axis=2).max() <= 1


def test_sysu_permutations_match_the_files(sets):
    cells = loadmat(sets["sysu"] / "exp/rand_perm_cam.mat")["rand_perm_cam"]
    assert cells.shape == (6, 1)
    for camera in range(1, 7):
        column = cells[camera - 1, 0]
        assert column.shape == (8, 1)
        for pid, matrix in enumerate(column[:, 0], start=1):
            files = len(list((sets["sysu"] / f"cam{camera}/{pid:04d}").glob("*.jpg")))
            assert np.issubdtype(matrix.dtype, np.integer)
            expected = np.tile(np.arange(1, files + 1), (10, 1))
            np.testing.assert_array_equal(np.sort(matrix, axis=1), expected)


def test_sysu_permutations_differ_between_trials():
    matrix = draw_permutations(dict.fromkeys([(c, 1) for c in range(1, 7)], 300), 0)[2, 0][0, 0]
    assert len({tuple(row) for row in matrix}) == 10
    assert matrix.max() == 300  # does not wrap in eight bits


def test_regdb_is_read_back(sets):
    halves = set()
    for trial in range(1, 11):
        splits = regdb.load(sets["regdb"], split_trial=trial)
        pids = splits.train_pids
        assert len(pids) == 5 and {r.pid for r in splits.test} == set(range(1, 9)) - set(pids)
        for records, n_ids in ((splits.train, 5), (splits.test, 3)):
            counts = Counter((r.pid, r.modality) for r in records)
            assert len(counts) == 2 * n_ids and set(counts.values()) == {2}
        halves.add(pids)
    assert len(halves) >= 8


def test_regdb_names_and_lines_are_the_real_sets(sets):
    lines = (sets["regdb"] / "idx/train_thermal_3.txt").read_text().splitlines()
    name = re.compile(r"Thermal/(\d+)/(fe)?male_(front|back)_t_\d{5}_\1\.bmp \d+")
    assert len(lines) == 10 and all(name.fullmatch(line) for line in lines)
    assert [int(line.split()[1]) for line in lines] == [0, 1, 2, 3, 4] * 2
    with Image.open(sets["regdb"] / lines[0].split()[0]) as image:
        assert (image.format, image.mode, image.size) == ("BMP", "RGB", (16, 32))
    for folder in (sets["regdb"] / "Visible").iterdir():
        sides = {path.name.split("_v_")[0] for path in folder.iterdir()}
        assert len(sides) == 1  # an identity is seen from one side


def test_layouts_have_a_usual_number_of_images(tmp_path):
    usual = {name: LAYOUTS[name].images for name in OF_IMAGES}
    expected = {"sysu": 6, "regdb": 10, "llcm": 4, "orbench": 4, "folder": 4}
    assert usual == {**expected, "veri": 2, "vehicleid": 2}
    write_set("sysu", tmp_path, train_ids=1, test_ids=1, size=(32, 16), seed=0)
    assert len(list(tmp_path.rglob("*.jpg"))) == 2 * 6 * 6
    assert (tmp_path / "exp/val_id.txt").read_text() == "\n"


@pytest.mark.parametrize("kind", ["vis", "nir"])
def test_llcm_lists_agree_with_its_files(sets, kind):
    root = sets["llcm"]
    test_ids = {int(pid) for pid in (root / "idx/test_id.txt").read_text().split(",")}
    assert len(test_ids) == 3
    name = re.compile(r"(vis|nir)/(\d{4})/\2_c(0[1-9])_s\d{6}_f\d+_\1\.jpg")
    places: dict[str, tuple[int, int]] = {}  # path → identity and camera
    for part, n_ids in (("train", 5), ("test", 3)):
        lines = (root / f"idx/{part}_{kind}.txt").read_text().splitlines()
        label_of = {}
        for path, label in (line.split() for line in lines):
            assert path not in places
            _, pid, camera = name.fullmatch(path).groups()
            places[path] = int(pid), int(camera)
            assert label_of.setdefault(int(pid), int(label)) == int(label)
        assert sorted(label_of.values()) == list(range(n_ids))
        assert (set(label_of) == test_ids) == (part == "test")
    assert {p.relative_to(root).as_posix() for p in (root / kind).rglob("*.jpg")} == set(places)
    assert set(Counter(places.values()).values()) == {2}
    copies = {
        root / f"test_{kind}/cam{camera}/{pid:04d}/{Path(path).name}": root / path
        for path, (pid, camera) in places.items()
        if pid in test_ids
    }
    assert set(root.glob(f"test_{kind}/*/*/*.jpg")) == set(copies)
    assert all(copy.read_bytes() == original.read_bytes() for copy, original in copies.items())


def test_llcm_identities_are_seen_by_several_cameras_and_never_by_camera_3_at_night(sets):
    root = sets["llcm"]
    for folder in (root / "vis").iterdir():
        cams = {path.name[5:8] for path in folder.iterdir()}
        night = {path.name[5:8] for path in (root / "nir" / folder.name).iterdir()}
        assert 4 <= len(cams) <= 9 and night == cams - {"c03"}
    assert not (root / "test_nir/cam3").exists()


def test_orbench_lists_name_visible_and_near_infrared_images(sets):
    root = sets["orbench"]
    train = json.loads((root / "train_annos.json").read_text())
    lists = json.loads((root / "test_gallery_and_queries.json").read_text())
    assert {
        len(row) for name in ("RGB_GALLERY", "NIR", "CP", "SK", "TEXT") for row in lists[name]
    } == {2}
    folders = {row["id"]: row["file_path"].split("/")[1] for row in train}
    assert sorted(folders) == [1, 2, 3, 4, 5]
    assert folders != {label: f"{label:04d}" for label in folders}  # the folder's number is another
    tested = {pid for pid, _ in lists["NIR"]}
    assert len(tested) == 3 and not {f"{pid:04d}" for pid in tested} & set(folders.values())
    visible = [row["file_path"] for row in train] + [path for _, path in lists["RGB_GALLERY"]]
    infrared = [
        path
        for pid in folders.values()
        for path in (f"nir/{pid}/c{c}_000{n}.jpg" for c in (3, 6) for n in (1, 2))
    ]
    infrared += [path for _, path in lists["NIR"]]
    drawn = [f"{kind}/{pid:04d}/0001.jpg" for kind in ("cp", "sk") for pid in range(1, 9)]
    found = [path.relative_to(root).as_posix() for path in root.rglob("*.jpg")]
    assert sorted(visible + infrared + drawn) == sorted(found)
    captions = {row["id"]: row["caption"] for row in train}
    assert len(set(captions.values())) == 5  # one for each person
    assert all(
        re.fullmatch(r"A person in .+ and [a-z -]+\b.*\.", text) for text in captions.values()
    )


def test_veri_is_read_back_with_its_names(sets):
    root = sets["veri"]
    splits = veri.load(root)
    assert splits.train_pids == (1, 2, 3, 4, 5)
    assert {r.pid for r in splits.test} == {6, 7, 8}
    name = re.compile(r"image_(train|query|test)/\d{4}_c0(0[1-9]|1\d|20)_\d{8}_\d\.jpg")
    assert all(name.fullmatch(record.path) for record in splits.train + splits.test)
    gallery = {r.path for r in splits.test if r.role is Role.GALLERY}
    queries = [r for r in splits.test if r.role is Role.QUERY]
    places = Counter((r.pid, r.camid) for r in splits.test if r.role is Role.GALLERY)
    assert set(places.values()) == {2}
    assert Counter((r.pid, r.camid) for r in queries) == Counter(dict.fromkeys(places, 1))
    for query in queries:  # each repeats an image of the gallery
        twin = query.path.replace("image_query", "image_test")
        assert twin in gallery and (root / twin).read_bytes() == (root / query.path).read_bytes()


def test_vehicleid_is_read_back_with_lists_that_hold_thirds(sets):
    splits = vehicleid.load(sets["vehicleid"])
    assert splits.train_pids == (1, 2, 3, 4, 5)
    assert set(Counter(r.pid for r in splits.train + splits.test).values()) == {8}
    smallest = {r.pid: r.test_list for r in splits.test}
    assert smallest == {6: 800, 7: 1600, 8: 2400}
    numbers = sorted(int(Path(r.path).stem) for r in splits.train + splits.test)
    assert numbers == list(range(1, 65))
    ordered = [r.pid for r in sorted(splits.train, key=lambda r: r.path)]
    assert ordered != sorted(ordered)  # numbers do not follow the vehicles


@pytest.mark.parametrize("layout", sorted(set(OF_IMAGES) & set(DATASETS)))
def test_a_rendered_set_has_no_fault(sets, layout):
    report = check_dataset(layout, sets[layout], reduced=True)
    assert report.faults == 0 and not any("quer" in note for note in report.notes)


@pytest.mark.parametrize("layout", ["veri", "vehicleid"])
def test_sides_of_all_images_are_written_beside_them(sets, layout):
    root = sets[layout]
    sides = read_viewpoints(root)
    assert set(sides) == {p.relative_to(root).as_posix() for p in root.rglob("*.jpg")}
    assert set(sides.values()) <= set(VIEWPOINTS)
    rows = [line.split(",") for line in (root / "viewpoints.csv").read_text().splitlines()]
    assert rows[0] == ["path", "pid", "viewpoint"] and len({pid for _, pid, _ in rows[1:]}) == 8


def fake_counts(folder: Path) -> Path:
    """Permutations of 6 identities: 3 lacks visible images, 5 lacks cameras 1 and 2."""
    images = {(c, pid): pid % 3 + c % 2 + 1 for c in range(1, 7) for pid in range(1, 6)}
    images |= {(3, 6): 2, (4, 6): 1} | {(c, 3): 0 for c in (1, 2, 4, 5)} | {(1, 5): 0, (2, 5): 0}
    return write_permutations(folder / "rand_perm_cam.mat", images)


def test_counts_are_kept_to_the_image(tmp_path):
    path = fake_counts(tmp_path)
    (tmp_path / "train_id.txt").write_text("1,6\n")
    savemat(tmp_path / "test_id.mat", {"id": np.array([[4, 5]])})
    write_set("sysu", tmp_path / "set", counts=path, size=(32, 16), seed=0)
    expected = {
        f"cam{camera}/{pid:04d}/{n:04d}.jpg"
        for (camera, pid), images in read_counts(path).items()
        for n in range(1, images + 1)
    }
    found = {p.relative_to(tmp_path / "set").as_posix() for p in tmp_path.glob("set/cam*/*/*")}
    assert found == expected and len(expected) > 50
    assert (tmp_path / "set/exp/rand_perm_cam.mat").read_bytes() == path.read_bytes()
    splits = sysu.load(tmp_path / "set", split="train")
    assert splits.train_pids == (1, 6)
    assert {r.pid for r in splits.val} == {2}  # 3 has no visible image
    assert {r.pid for r in splits.test} == {4, 5}


def test_without_lists_identities_of_both_modalities_are_shared_out(tmp_path):
    split = read_split(tmp_path, read_counts(fake_counts(tmp_path)))
    assert split == {"train": [1, 2, 4], "val": [5], "test": [6]}
    (tmp_path / "train_id.txt").write_text("1\n")
    with pytest.raises(DataError, match="no test_id"):
        read_split(tmp_path, read_counts(tmp_path / "rand_perm_cam.mat"))


@pytest.mark.skipif(not REAL_COUNTS.is_file(), reason="needs SYSU-MM01's permutations")
def test_published_counts_follow_from_the_published_permutations():
    counts = read_counts(REAL_COUNTS)
    split = read_split(REAL_COUNTS.parent, counts)
    sizes = {name: len(pids) for name, pids in split.items()}
    assert sizes == {"train": 296, "val": 99, "test": 96}

    def images(pids: list[int], modality: Modality) -> int:
        cameras = {3, 6} if modality is Modality.INFRARED else {1, 2, 4, 5}
        return sum(n for (cam, pid), n in counts.items() if pid in set(pids) and cam in cameras)

    training = split["train"] + split["val"]
    assert [images(training, modality) for modality in Modality] == [22258, 11909]
    assert [images(split["test"], modality) for modality in Modality] == [6775, 3803]
    assert sum(counts.values()) == 45863


@pytest.mark.parametrize(
    ("layout", "images", "options", "size"),
    [("regdb", 2 * 4, ["--size", "32", "16"], (16, 32)), ("vehicleid", 4 * 4, [], (128, 128))],
)
def test_tool_makes_a_set_and_its_sheet(tmp_path, layout, images, options, size):
    numbers = ["--train-ids", "1", "--test-ids", "3", "--images-per-camera", "1"]
    arguments = ["--layout", layout, "--out", str(tmp_path / "set"), *numbers, *options]
    assert make_synthetic.main([*arguments, "--sheet", str(tmp_path / "figures/sheet.jpg")]) == 0
    found = [*(tmp_path / "set").rglob("*.bmp"), *(tmp_path / "set").rglob("*.jpg")]
    assert len(found) == images and Image.open(found[0]).size == size
    with Image.open(tmp_path / "figures/sheet.jpg") as sheet:
        assert sheet.width == 1400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("regdb --counts x.mat", "choose ['sysu']"),
        ("sysu --counts x.mat --train-ids 2", "leave --train-ids out"),
        ("llcm --workers -1", "workers=-1"),
    ],
)
def test_tool_explains_what_does_not_go_together(tmp_path, arguments, message, capsys):
    words = ["--out", str(tmp_path / "set"), "--layout", *arguments.split()]
    assert make_synthetic.main(words) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "phrase"),
    [
        ("rand_perm_cam.mat", None, "rand_perm_cam.mat cannot be read (No such file"),
        ("rand_perm_cam.mat", b"nothing", "rand_perm_cam.mat is not a MATLAB level 5 file"),
        ("test_id.txt", b"one,two", "test_id.txt must hold one comma-separated line"),
        ("test_id.mat", b"nothing", "test_id.mat is not a MATLAB level 5 file"),
    ],
)
def test_counts_that_cannot_be_read_are_data_that_are_missing(
    tmp_path, name, content, phrase, capsys
):
    path = fake_counts(tmp_path)
    path.with_name(name).unlink(missing_ok=True)
    if content is not None:
        path.with_name(name).write_bytes(content)
    arguments = ["--layout", "sysu", "--counts", str(path), "--out", str(tmp_path / "set")]
    assert make_synthetic.main(arguments) == 3
    assert f"{tmp_path / phrase}" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_options_render_a_set_of_any_layout_that_has_a_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = {"TRAIN_IDS": 3, "TEST_IDS": 3, "IMAGES_PER_CAMERA": 2, "SIZE": [32, 32]}
    pairs = [(f"DATA.SYNTHETIC.{name}", str(n)) for name, n in {**numbers, "ENABLED": True}.items()]
    for layout in sorted(set(OF_IMAGES) & set(DATASETS)):
        words = ["DATA.DATASET", layout, *(word for pair in pairs for word in pair)]
        cfg = load_config(None, words, environment={})
        cfg.merge_from_list(["DATA.ROOT", str(synthetic_root(cfg))])
        prepare_data(cfg)
        splits = build_splits(cfg)
        assert len(splits.train_pids) == 3 and len({r.pid for r in splits.test}) == 3


@pytest.mark.parametrize(
    ("layout", "place", "name"),
    [
        *[("sysu", pictures, "render_person"), ("veri", pictures, "render_vehicle")],
        *[("llcm", shutil, "copyfile"), ("regdb", Path, "write_bytes")],
    ],
)
def test_interrupted_writing_leaves_nothing(layout, place, name, tmp_path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_set(layout, tmp_path / "set", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_existing_set_is_left_alone(sets):
    before = digests(sets["sysu"])
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_set("sysu", sets["sysu"], **SMALL)
    assert digests(sets["sysu"]) == before


@pytest.mark.parametrize(
    ("layout", "name", "value", "message"),
    [
        ("sysu", "train_ids", 0, "train_ids=0 is out of range: give"),
        ("sysu", "train_ids", 9999, "train_ids \\+ test_ids=10002 .* ask for"),
        ("sysu", "test_ids", -1, "test_ids=-1 is out of range: give"),
        ("vehicleid", "test_ids", 2, "test_ids=2 is out of range: give .* number from 3 to 9999"),
        ("sysu", "images_per_camera", 10000, "images_per_camera=10000 is out of range: give"),
        ("sysu", "seed", -1, "seed=-1 is out of range: give"),
        ("sysu", "size", (64,), r"size=\(64,\) .* give"),
        ("sysu", "size", (8, 32), r"size \(height\)=8 .* give"),
        ("sysu", "size", (64, 2.5), r"size \(width\)=2.5 .* give"),
    ],
)
def test_bad_argument_is_named(tmp_path, layout, name, value, message):
    with pytest.raises(ValueError, match=message):
        write_set(layout, tmp_path / "set", **{**SMALL, name: value})
    assert list(tmp_path.iterdir()) == []


def processes_of_group(group: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_stopped_tool_leaves_no_process_behind(tmp_path, number, code):
    command = [sys.executable, str(ROOT / "tools/make_synthetic.py"), "--layout", "sysu"]
    command += ["--out", str(tmp_path / "set"), "--train-ids", "900", "--workers", "2"]
    tool = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".set.partial-*/cam*/*/*.jpg")):
            assert time.monotonic() < deadline and tool.poll() is None
            time.sleep(0.1)
        assert len(processes_of_group(tool.pid)) >= 3
        os.kill(tool.pid, number)
        assert tool.wait(timeout=120) == code  # on a busy machine
        deadline = time.monotonic() + 60
        while processes_of_group(tool.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of_group(tool.pid) == []
        if number != signal.SIGKILL:
            assert list(tmp_path.iterdir()) == []
    finally:
        if processes_of_group(tool.pid):
            os.killpg(tool.pid, signal.SIGKILL)
        tool.stderr.close()
