"""The layouts besides plain SYSU-MM01, and what all share: processes, cleaning up, the tool."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vireid.cli import make_synthetic
from vireid.config import load_config
from vireid.data.build import build_splits
from vireid.data.datasets import DATASETS, regdb, sysu
from vireid.errors import DataError
from vireid.runs.rendered_data import prepare_data, synthetic_root
from vireid.structures import Modality
from vireid.synthetic.writers import LAYOUTS, common, vehicles, write_sheet, write_sysu_counts
from vireid.synthetic.writers import processes as work
from vireid.synthetic.writers.counts import read_counts, read_split

SMALL = {"train_ids": 5, "test_ids": 3, "images_per_camera": 2, "size": (32, 16), "seed": 7}
ROOT = Path(__file__).resolve().parents[2]
REAL_COUNTS = ROOT.parent / "shared/sysu_mm01/rand_perm_cam.mat"


def digests(root: Path) -> dict[str, str]:
    """Everything but .mat files, whose header holds the time they were written."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".mat"
    }


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("layouts")
    for layout, write in LAYOUTS.items():
        write(parent / layout, **SMALL)
    return {layout: parent / layout for layout in LAYOUTS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_seeds_write_equal_bytes_whatever_the_processes(
    sets: dict[str, Path], layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = digests(sets[layout])
    LAYOUTS[layout](tmp_path / "again", **SMALL)
    assert digests(tmp_path / "again") == expected
    monkeypatch.setattr(work, "BATCH", 9)
    LAYOUTS[layout](tmp_path / "shared", **SMALL, workers=3)
    assert digests(tmp_path / "shared") == expected
    LAYOUTS[layout](tmp_path / "other", **{**SMALL, "seed": 8})
    other = digests(tmp_path / "other")
    pictures = {k: value for k, value in expected.items() if not k.endswith(("txt", "csv"))}
    assert not set(other.values()) & set(pictures.values())


def test_regdb_is_read_back(sets: dict[str, Path]):
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


def test_regdb_names_and_lines_are_the_real_sets(sets: dict[str, Path]):
    lines = (sets["regdb"] / "idx/train_thermal_3.txt").read_text().splitlines()
    name = re.compile(r"Thermal/(\d+)/(fe)?male_(front|back)_t_\d{5}_\1\.bmp \d+")
    assert len(lines) == 10 and all(name.fullmatch(line) for line in lines)
    assert [int(line.split()[1]) for line in lines] == [0, 1, 2, 3, 4] * 2
    with Image.open(sets["regdb"] / lines[0].split()[0]) as image:
        assert (image.format, image.mode, image.size) == ("BMP", "RGB", (16, 32))
    for folder in (sets["regdb"] / "Visible").iterdir():
        sides = {path.name.split("_v_")[0] for path in folder.iterdir()}
        assert len(sides) == 1  # an identity is seen from one side


def test_regdb_has_ten_images_unless_told_otherwise(tmp_path: Path):
    LAYOUTS["regdb"](tmp_path / "set", train_ids=1, test_ids=1, size=(32, 16), seed=0)
    assert len(list((tmp_path / "set/Visible/2").iterdir())) == 10
    assert len(list((tmp_path / "set/Thermal/2").iterdir())) == 10


def test_llcm_lists_agree_with_its_files(sets: dict[str, Path]):
    root = sets["llcm"]
    test_ids = {int(pid) for pid in (root / "idx/test_id.txt").read_text().split(",")}
    assert len(test_ids) == 3
    name = re.compile(r"(vis|nir)/(\d{4})/\2_c(0[1-9])_s\d{6}_f\d+_\1\.jpg")
    for kind in ("vis", "nir"):
        listed = {}
        for part, n_ids in (("train", 5), ("test", 3)):
            lines = (root / f"idx/{part}_{kind}.txt").read_text().splitlines()
            found = {line.split()[0]: int(line.split()[1]) for line in lines}
            matches = {path: name.fullmatch(path) for path in found}
            assert all(matches.values()) and len(found) == len(lines)
            pids = {path: int(match.group(2)) for path, match in matches.items()}
            assert (set(pids.values()) == test_ids) == (part == "test")
            labels = {(pids[path], label) for path, label in found.items()}
            assert sorted(label for _, label in labels) == list(range(n_ids))
            listed |= {path: (pids[path], int(matches[path].group(3))) for path in found}
        files = {p.relative_to(root).as_posix() for p in (root / kind).rglob("*.jpg")}
        assert files == set(listed)
        assert set(Counter(listed.values()).values()) == {2}
        copies = {p.relative_to(root).as_posix(): p for p in root.glob(f"test_{kind}/*/*/*.jpg")}
        expected = {
            f"test_{kind}/cam{cam}/{pid:04d}/{Path(path).name}": path
            for path, (pid, cam) in listed.items()
            if pid in test_ids
        }
        assert set(copies) == set(expected)
        assert all(copies[c].read_bytes() == (root / o).read_bytes() for c, o in expected.items())


def test_llcm_identities_are_seen_by_several_cameras_and_never_by_camera_3_at_night(
    sets: dict[str, Path],
):
    root = sets["llcm"]
    for folder in (root / "vis").iterdir():
        cams = {path.name[5:8] for path in folder.iterdir()}
        night = {path.name[5:8] for path in (root / "nir" / folder.name).iterdir()}
        assert 4 <= len(cams) <= 9 and night == cams - {"c03"}
    assert not (root / "test_nir/cam3").exists()


def fake_counts(folder: Path) -> Path:
    """Permutations of 6 identities: 3 lacks visible images, 5 lacks cameras 1 and 2."""
    cells = np.empty((6, 1), object)
    for camera in range(1, 7):
        column = np.empty((6 if camera in (3, 4) else 5, 1), object)
        for row in range(len(column)):
            pid = row + 1
            images = pid % 3 + camera % 2 + 1
            if (pid == 3 and camera not in (3, 6)) or (pid == 5 and camera in (1, 2)):
                images = 0
            column[row, 0] = np.tile(np.arange(1, images + 1, dtype=np.uint8), (10, 1))
        cells[camera - 1, 0] = column
    savemat(folder / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    return folder / "rand_perm_cam.mat"


def test_counts_are_kept_to_the_image(tmp_path: Path):
    path = fake_counts(tmp_path)
    (tmp_path / "train_id.txt").write_text("1,6\n")
    savemat(tmp_path / "test_id.mat", {"id": np.array([[4, 5]])})
    write_sysu_counts(tmp_path / "set", counts=path, size=(32, 16), seed=0)
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


def test_without_lists_identities_of_both_modalities_are_shared_out(tmp_path: Path):
    split = read_split(tmp_path, read_counts(fake_counts(tmp_path)))
    assert split == {"train": [1, 2, 4], "val": [5], "test": [6]}
    (tmp_path / "train_id.txt").write_text("1\n")
    with pytest.raises(DataError, match="no test_id"):
        read_split(tmp_path, read_counts(tmp_path / "rand_perm_cam.mat"))


def test_a_file_of_another_kind_is_named(tmp_path: Path):
    (tmp_path / "x.mat").write_text("nothing")
    with pytest.raises(DataError, match=r"x\.mat is no MATLAB file"):
        write_sysu_counts(tmp_path / "set", counts=tmp_path / "x.mat", size=(32, 16), seed=0)
    with pytest.raises(DataError, match=r"y\.mat cannot be read"):
        write_sysu_counts(tmp_path / "set", counts=tmp_path / "y.mat", size=(32, 16), seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["x.mat"]


@pytest.mark.skipif(not REAL_COUNTS.is_file(), reason="needs SYSU-MM01's permutations")
def test_published_counts_follow_from_the_published_permutations():
    counts = read_counts(REAL_COUNTS)
    split = read_split(REAL_COUNTS.parent, counts)
    assert {name: len(pids) for name, pids in split.items()} == {
        "train": 296,
        "val": 99,
        "test": 96,
    }

    def images(pids: list[int], modality: Modality) -> int:
        cameras = {3, 6} if modality is Modality.INFRARED else {1, 2, 4, 5}
        return sum(n for (cam, pid), n in counts.items() if pid in set(pids) and cam in cameras)

    training = split["train"] + split["val"]
    assert images(training, Modality.VISIBLE) == 22258
    assert images(training, Modality.INFRARED) == 11909
    assert images(split["test"], Modality.VISIBLE) == 6775
    assert images(split["test"], Modality.INFRARED) == 3803
    assert sum(counts.values()) == 45863


def test_contact_sheet_shows_every_layout(sets: dict[str, Path], tmp_path: Path):
    for layout, root in sets.items():
        write_sheet(root, layout, tmp_path / f"{layout}.png")
        sheet = np.asarray(Image.open(tmp_path / f"{layout}.png").convert("RGB"))
        cell = 96 if layout in ("veri", "vehicleid") else 128
        assert sheet.shape[0] == 14 + 6 * cell and sheet.shape[1] > 600
        assert sheet[14:].std() > 30


def test_tool_makes_a_set_and_its_sheet(tmp_path: Path):
    numbers = ["--train-ids", "2", "--test-ids", "1", "--images-per-camera", "1"]
    arguments = ["--layout", "regdb", "--out", str(tmp_path / "set"), *numbers]
    arguments += ["--size", "32", "16", "--sheet", str(tmp_path / "figures/sheet.png")]
    assert make_synthetic.main(arguments) == 0
    assert len(list((tmp_path / "set").rglob("*.bmp"))) == 6
    assert (tmp_path / "figures/sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layout", "regdb", "--counts", "x.mat"], "choose ['sysu']"),
        (["--layout", "sysu", "--counts", "x.mat", "--train-ids", "2"], "leave --train-ids out"),
        (["--layout", "llcm", "--workers", "-1"], "workers=-1"),
    ],
)
def test_tool_explains_what_does_not_go_together(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert make_synthetic.main([*arguments, "--out", str(tmp_path / "set")]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "phrase"),
    [
        ("rand_perm_cam.mat", None, "rand_perm_cam.mat cannot be read (No such file"),
        ("rand_perm_cam.mat", b"nothing", "rand_perm_cam.mat is no MATLAB file of level 5"),
        ("test_id.txt", b"one,two", "test_id.txt must hold one comma-separated line"),
        ("test_id.mat", b"nothing", "test_id.mat is no MATLAB file of level 5"),
    ],
)
def test_counts_that_cannot_be_read_are_data_that_are_missing(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    phrase: str,
    capsys: pytest.CaptureFixture[str],
):
    path = fake_counts(tmp_path)
    path.with_name(name).unlink(missing_ok=True)
    if content is not None:
        path.with_name(name).write_bytes(content)
    arguments = ["--layout", "sysu", "--counts", str(path), "--out", str(tmp_path / "set")]
    assert make_synthetic.main(arguments) == 3
    assert f"{tmp_path / phrase}" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_options_render_a_set_of_any_layout_that_has_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for layout in sorted(set(LAYOUTS) & set(DATASETS)):
        numbers = {"TRAIN_IDS": 3, "TEST_IDS": 3, "IMAGES_PER_CAMERA": 2, "SIZE": [32, 32]}
        options = [f"DATA.DATASET={layout}", "DATA.SYNTHETIC.ENABLED=true"]
        options += [f"DATA.SYNTHETIC.{name}={value}" for name, value in numbers.items()]
        words = [word for option in options for word in option.split("=")]
        cfg = load_config(None, words, environment={})
        cfg.merge_from_list(["DATA.ROOT", str(synthetic_root(cfg))])
        prepare_data(cfg)
        splits = build_splits(cfg)
        assert len(splits.train_pids) == 3 and len({r.pid for r in splits.test}) == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_failing_picture_leaves_nothing(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "render", interrupt)
    monkeypatch.setattr(vehicles, "render_vehicle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        LAYOUTS[layout](tmp_path / "set", **SMALL)
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
def test_a_stopped_tool_leaves_no_process_behind(tmp_path: Path, number: int, code: int):
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
