import re
import shutil
from pathlib import Path

import pytest

from tests.helpers import VCM_TRACKS, write_text, write_vcm
from vireid.data.datasets import vcm
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import Modality, Role

TRAIN, TEST = "info/track_train_info.txt", "info/track_test_info.txt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vcm(tmp_path_factory.mktemp("vcm") / "VCM")


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """Its lists are this test's own; its frames are shared."""
    for part in ("Train", "Test"):
        (tmp_path / part).symlink_to(whole / part)
    shutil.copytree(whole / "info", tmp_path / "info")
    return tmp_path


def change(root: Path, name: str, line: int, text: str) -> None:
    lines = (root / name).read_text().splitlines()
    lines[line - 1] = text
    write_text(root / name, "\n".join(lines) + "\n")


def message(root: Path) -> str:
    with pytest.raises(DataError) as error:
        vcm.load(root)
    return str(error.value)


def test_tracks_are_rows_of_names_and_short_ones_are_left_out(root):
    splits = vcm.load(root)
    found = [(r.track, r.pid, r.camid, r.modality, len(r.frames)) for r in splits.train]
    assert found == [
        (1, 1, 2, Modality.INFRARED, 13),
        (2, 1, 3, Modality.VISIBLE, 12),
        (4, 2, 2, Modality.INFRARED, 12),
        (5, 2, 4, Modality.VISIBLE, 12),
    ]
    assert splits.train[1].frames == tuple(f"Train/0001/rgb/D3/{n}.jpg" for n in range(1, 13))
    assert splits.train[1].path == "Train/0001/rgb/D3/1.jpg"
    assert {r.role for r in splits.train} == {Role.BOTH}
    assert splits.notes == tuple(
        f"left out of {name} as shorter than 12 frames: 1 of 5 tracks" for name in (TRAIN, TEST)
    )


def test_listed_rows_are_queries_and_all_others_the_gallery(root):
    found = [(r.track, r.pid, r.modality, r.role) for r in vcm.load(root).test]
    assert found == [
        (1, 503, Modality.VISIBLE, Role.GALLERY),
        (2, 503, Modality.INFRARED, Role.QUERY),
        (3, 504, Modality.INFRARED, Role.QUERY),
        (5, 504, Modality.VISIBLE, Role.GALLERY),
    ]


def test_identities_that_lose_every_track_are_named(tmp_path):
    rows = [*VCM_TRACKS["train"], (9, 1, 1, 11), (9, 2, 1, 2)]
    splits = vcm.load(write_vcm(tmp_path, {**VCM_TRACKS, "train": rows}))
    assert splits.notes[0].endswith("frames: 3 of 7 tracks, and with them identities [9]")


def test_every_fifth_training_identity_is_held_out_on_request(tmp_path):
    rows = [(pid, kind, 1, 12) for pid in (4, 2, 30, 5, 11, 7) for kind in (1, 2)]
    root = write_vcm(tmp_path, {**VCM_TRACKS, "train": rows})
    splits = vcm.load(root, split="train")
    assert splits.train_pids == (2, 4, 5, 7, 30)
    assert [(r.pid, r.modality) for r in splits.val] == [(11, m) for m in reversed(Modality)]
    assert vcm.load(root).val == ()


def test_lists_of_windows_read_the_same(root):
    before = vcm.load(root)
    for path in (root / "info").iterdir():
        path.write_bytes(("\ufeff" + path.read_text().replace("\n", "\r\n") + "\r\n").encode())
    write_text(root / "info/query_IDX.txt", "2\n3 4")
    assert vcm.load(root) == before


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("1 1 13 0001", "expected five numbers, '<modality> <start> <end> <identity> <camera>'"),
        ("1 1 13 0001 2 7", "expected five numbers"),
        ("1 1 13.0 0001 2", "got '1 1 13.0 0001 2'"),
        ("1 -1 13 0001 2", "expected five numbers"),
        ("", "expected five numbers"),
        ("3 1 13 0001 2", "the modality is 1 (ir) or 2 (rgb), got 3"),
        ("1 0 13 0001 2", "which has rows 1 to 60, got 0 to 13"),
        ("1 14 13 0001 2", "got 14 to 13"),
        ("1 1 61 0001 2", "got 1 to 61"),
        ("1 1 13 0001 13", "the camera is a number from 1 to 12, got 13"),
        ("1 1 13 0001 0", "the camera is a number from 1 to 12, got 0"),
    ],
)
def test_a_malformed_track_is_quoted_with_its_line(root, line, phrase):
    change(root, TRAIN, 1, line)
    assert message(root).startswith(f"{root / TRAIN}, line 1: ") and phrase in message(root)


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("2 1 13 0001 2", "identity 1, camera 2, visible"),
        ("1 1 13 0007 2", "identity 7, camera 2, infrared"),
        ("1 1 13 0001 5", "identity 1, camera 5, infrared"),
        ("1 1 14 0001 2", "identity 1, camera 2, infrared"),
    ],
)
def test_a_track_of_other_frames_than_it_says_is_refused(root, line, who):
    change(root, TRAIN, 1, line)
    row, name = (14, "0001M2D3T1F1.jpg") if " 14 " in line else (1, "0001M1D2T1F1.jpg")
    names = root / "info/train_name.txt"
    start = f"{names}, line {row}: {name} is in the track of {TRAIN}, line 1, which is of {who}: "
    assert message(root).startswith(start)


@pytest.mark.parametrize(
    "name",
    [
        "0001M1D2T1.jpg",
        "0001M1D2T1F",
        "a001M1D2T1F1.jpg",
        "",
        "0001M1D2T1F../1.jpg",
        "M1D2T1F1.jpg",
    ],
)
def test_a_name_that_is_none_is_quoted_with_its_line(root, name):
    change(root, "info/train_name.txt", 3, name)
    where = f"{root / 'info/train_name.txt'}, line 3: expected a name as 0001M2D3T1F1.jpg"
    assert message(root).startswith(where) and f"got {name!r}" in message(root)


def test_a_frame_is_in_one_track(root):
    change(root, TRAIN, 3, "2 25 36 0001 3")
    assert f"{root / TRAIN}, lines 2 and 3: row 25 of info/train_name.txt is in both" in message(
        root
    )
    change(root, TRAIN, 3, "2 14 25 0001 3")
    assert "lines 2 and 3: row 14" in message(root)


@pytest.mark.parametrize(
    ("rows", "phrase"),
    [
        ("0 2", "numbers from 1 to 5, got '0'"),
        ("6", "numbers from 1 to 5, got '6'"),
        ("2 x", "got 'x'"),
        ("2,3", "got '2,3'"),
        (" \n", "numbers from 1 to 5; it is empty"),
        ("2 3 2", "lists row 2 more than once"),
    ],
)
def test_wrong_rows_of_queries_are_refused(root, rows, phrase):
    write_text(root / "info/query_IDX.txt", rows)
    assert str(root / "info/query_IDX.txt") in message(root) and phrase in message(root)


@pytest.mark.parametrize("name", ["train_name", "track_test_info", "query_IDX"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_a_list_that_is_missing_empty_or_no_text_is_named(root, name, content):
    path = root / f"info/{name}.txt"
    path.unlink() if content is None else path.write_bytes(content)
    said = message(root)
    assert ("lacks " if content is None else "is empty" if not content else "cannot read") in said
    assert f"info/{name}.txt" in said


def test_absent_frames_are_counted_and_the_first_is_named(tmp_path):
    root = write_vcm(tmp_path)
    (root / "Train/0002/ir/D2/12.jpg").unlink()
    (root / "Train/0001/rgb/D3/13.jpg").unlink()  # of a track that is left out
    shutil.rmtree(root / "Test/0504/rgb")
    assert message(root) == (
        f"15 frames of 2 of 8 tracks not found under {root}, the first: Train/0002/ir/D2/12.jpg of "
        f"the track of {TRAIN}, line 4: is the data set complete?"
    )
    (root / "Test/0503/ir").rename(root / "Test/0503/IR")
    (root / "Train/0002/ir/D2/11.jpg").rename(root / "Train/0002/ir/D2/12.jpg")
    (root / "Train/0002/ir/D2/11.JPG").touch()
    assert "11.JPG exists, which differs in letter case only" in message(root)


def test_a_link_that_leads_to_itself_is_one_absent_frame(tmp_path):
    frame = write_vcm(tmp_path) / "Train/0002/ir/D2/12.jpg"
    frame.unlink()
    frame.symlink_to(frame.name)
    assert message(tmp_path).startswith(
        f"1 frame of 1 of 8 tracks not found under {tmp_path}, the first: Train/0002/ir/D2/12.jpg "
    )


def test_only_short_tracks_are_no_data_set(tmp_path):
    rows = [(1, 1, 1, 11), (1, 2, 1, 5)]
    said = message(write_vcm(tmp_path, {**VCM_TRACKS, "train": rows}))
    assert said.startswith(f"every track of {tmp_path / TRAIN} has fewer than 12 frames")


def test_check_counts_before_and_after_and_opens_every_frame(root):
    names = root / "info/test_name.txt"
    write_text(names, names.read_text() + "0999M1D1T1F1.jpg\n")
    write_text(root / "info/query_IDX.txt", "1 2 3 4")
    report = check_dataset("vcm", root)
    counts = {count.name: (count.found, count.expected) for count in report.counts}
    assert counts["training tracks listed"] == (5, 11_061)
    assert counts["training tracks"] == (4, 9_751) and counts["training frames"] == (49, 224_757)
    assert counts["training visible frames"] == (24, 126_543)
    assert counts["query tracks listed"] == (4, 5_159) and counts["query tracks"] == (3, 4_584)
    assert counts["gallery tracks"] == (1, 5_099) and counts["gallery frames"] == (14, 118_137)
    assert report.images.opened == 49 + 50 and report.images.unreadable == ()
    assert "rows of info/test_name.txt that are in no track: 1" in report.notes
    other = "queries that are not infrared and count in no protocol: 1, the first is row 1 of "
    assert other + TEST in report.notes


def test_a_damaged_frame_in_the_middle_of_a_track_is_found(tmp_path):
    root = write_vcm(tmp_path)
    (root / "Test/0504/rgb/D3/9.jpg").write_bytes(b"no image")
    (line,) = check_dataset("vcm", root, reduced=True).images.unreadable
    assert re.search(r"Test/0504/rgb/D3/9\.jpg cannot be decoded", line)


def test_published_counts_add_up():
    counts = vcm.INFO.published
    assert counts["training identities"] + counts["test identities"] == 927
    listed = ("training tracks listed", "query tracks listed", "gallery tracks listed")
    assert sum(counts[name] for name in listed) == 21_863
    for what in ("tracks", "frames"):
        both = counts[f"training visible {what}"] + counts[f"training infrared {what}"]
        assert both == counts[f"training {what}"]
