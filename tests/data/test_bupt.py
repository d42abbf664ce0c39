import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import BUPT_LISTS, write_bupt, write_text
from vireid.config import load_config
from vireid.data.datasets import DATASETS, bupt
from vireid.data.datasets.files import fingerprint
from vireid.data.verify import check_dataset
from vireid.errors import DataError
from vireid.structures import Modality, Role

V, T = Modality.VISIBLE, Modality.INFRARED


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bupt(tmp_path_factory.mktemp("bupt") / "BUPTCampus")


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """Its lists are this test's own; its frames are shared."""
    for path in whole.iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
        else:
            shutil.copy(path, tmp_path)
    return tmp_path


def message(root: Path) -> str:
    with pytest.raises(DataError) as error:
        bupt.load(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def set_entry(root: Path, value: Any, *keys: str) -> None:
    """Changes what ``data_paths.json`` holds at a place."""
    content = json.loads((root / "data_paths.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    write_text(root / "data_paths.json", json.dumps(content))


def test_a_line_of_both_modalities_is_two_tracks(root):
    splits = bupt.load(root)
    found = [(r.track, r.pid, r.camid, r.modality) for r in splits.train]
    assert found == [
        *((1, 7, 1, T), (2, 7, 1, V), (3, 7, 2, T), (4, 7, 2, V)),
        *((5, 20, 4, T), (6, 20, 4, V), (7, 20, 5, T), (8, 20, 5, V)),
    ]
    assert splits.train[6].frames == tuple(
        f"DATA/20/IR/TSG1/20_IR_TSG1_2_{n}.jpg" for n in (8535, 8536, 8537)
    )
    assert splits.cameras == {1: "LS3", 2: "G25", 3: "CQ1", 4: "W4", 5: "TSG1", 6: "TSG2"}


def test_queries_come_first_and_a_track_of_both_lists_once(root):
    lists = {**BUPT_LISTS, "query": ["101 IR LS3 1", "102 RGB LS3 1"]}
    for name, lines in lists.items():
        write_text(root / f"{name}.txt", "\n".join(lines))
    found = [(r.pid, r.camid, r.modality, r.role, r.track) for r in bupt.load(root).test]
    assert found == [
        (101, 1, T, Role.QUERY, 9),
        (101, 2, T, Role.GALLERY, 11),
        (101, 2, V, Role.GALLERY, 12),
        (102, 1, T, Role.GALLERY, 13),
        (102, 1, V, Role.BOTH, 10),
        (102, 1, T, Role.GALLERY, 14),
        (102, 1, V, Role.GALLERY, 15),
    ]


def test_auxiliary_identities_train_on_request(root):
    data = load_config(None, ["DATA.AUXILIARY", "true"], environment={}).DATA
    assert DATASETS["bupt"].read(root, data).train_pids == (3, 7, 20)
    assert bupt.load(root).train_pids == (7, 20)
    (root / "train_auxiliary.txt").unlink()
    assert bupt.load(root).train_pids == (7, 20)
    with pytest.raises(DataError, match="DATA.AUXILIARY true trains on the tracks of train_aux"):
        DATASETS["bupt"].read(root, data)


def test_every_fifth_identity_but_no_auxiliary_one_is_held_out_on_request(tmp_path):
    pids = (11, 2, 30, 4, 5)
    lists = {**BUPT_LISTS, "train": [f"{pid} RGB/IR W4 1" for pid in pids]}
    splits = bupt.load(write_bupt(tmp_path, lists, frames=1), split="train", auxiliary=True)
    assert splits.train_pids == (2, 3, 4, 5, 11) and {r.pid for r in splits.val} == {30}


def test_lists_of_windows_read_the_same(root):
    before = bupt.load(root)
    for path in root.glob("*.*"):
        path.write_bytes(("\ufeff" + path.read_text().replace("\n", "\r\n") + "\r\n").encode())
    assert bupt.load(root) == before


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("7 RGB/IR LS3", "expected '<identity> <RGB|IR|RGB/IR> <camera> <track>', got '7 RGB/IR"),
        ("7 RGB/IR LS3 1 1", "expected '<identity>"),
        ("x RGB/IR LS3 1", "got 'x RGB/IR LS3 1'"),
        ("7 FakeIR LS3 1", "unknown modality 'FakeIR'; choose one of RGB/IR, RGB, IR"),
        ("7 RGB/IR LS4 1", "unknown camera 'LS4'; choose one of LS3, G25, CQ1, W4, TSG1, TSG2"),
        (
            "7 RGB/IR LS3 9",
            "track 7 IR LS3 9 is not in data_paths.json, which has no '9' in 7 IR LS3",
        ),
        ("8 RGB/IR LS3 1", "track 8 IR LS3 1 is not in data_paths.json, which has no '8'"),
        ("7 RGB LS3 1", "track 7 RGB LS3 1 is listed already"),
    ],
)
def test_a_malformed_line_is_quoted_with_its_number(root, line, phrase):
    write_text(root / "train.txt", f"7 RGB/IR LS3 1\n\n{line}\n")
    said = message(root)
    assert said.startswith(f"{root / 'train.txt'}, line 3: ") and phrase in said


@pytest.mark.parametrize("name", ["train", "train_auxiliary", "query", "gallery"])
@pytest.mark.parametrize(("content", "phrase"), [(b"", "no track"), (b"\xff\xfe", "cannot read")])
def test_a_list_without_tracks_is_named(root, name, content, phrase):
    (root / f"{name}.txt").write_bytes(content)
    assert phrase in message(root) and f"{name}.txt" in message(root)


@pytest.mark.parametrize(
    "text", ["", "{", '{"7": {"IR"', "\ud800", "[" * 100_000, "nan", '{"7": 1' + "0" * 5000 + "}"]
)
def test_a_file_that_is_no_json_is_named(root, text):
    path = root / "data_paths.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert message(root).startswith(f"cannot read {path}: ")


@pytest.mark.parametrize(
    ("text", "kind"), [("[]", "list"), ("NaN", "float"), ("null", "NoneType"), ('"a"', "str")]
)
def test_json_of_another_kind_is_refused(root, text, kind):
    write_text(root / "data_paths.json", text)
    said = message(root)
    assert said.startswith(f"{root / 'data_paths.json'} must hold {{identity: {{RGB|IR: {{camera:")
    assert f"but it is {'an empty list' if text == '[]' else f'of the kind {kind}'}" in said


@pytest.mark.parametrize(
    ("keys", "value", "phrase"),
    [
        (("7",), ["IR"], "the entry of 7 is of the kind list"),
        (("7", "IR"), "LS3", "the entry of 7 IR is of the kind str"),
        (("7", "IR", "LS3"), ["7/IR/LS3/1.jpg"], "the entry of 7 IR LS3 is of the kind list"),
        (("7", "IR", "LS3", "1"), {}, "the entry of 7 IR LS3 1 is of the kind dict"),
        (("7", "IR", "LS3", "1"), [], "the entry of 7 IR LS3 1 is an empty list"),
        (("7", "IR", "LS3", "1"), "7/IR/LS3/1.jpg", "is of the kind str"),
    ],
)
def test_json_of_another_shape_is_refused(root, keys, value, phrase):
    set_entry(root, value, *keys)
    assert phrase in message(root) and str(root / "data_paths.json") in message(root)


@pytest.mark.parametrize(
    "frame",
    [
        "/etc/7/IR/LS3/1.jpg",
        "../7/IR/LS3/1.jpg",
        "7/IR/LS3/../../../../a.jpg",
        "7/IR/LS3/a/b.jpg",
        "7/IR/LS3/..",
        "7/IR/LS3/a\\b.jpg",
        "7/RGB/LS3/7_RGB_LS3_1_8535.jpg",
        "DATA/7/IR/LS3/7_IR_LS3_1_8535.jpg",
        "7/IR/LS3/",
        "7/IR/LS3/a\0.jpg",
        "7/IR/LS3/\ud800.jpg",
        1.5,
        None,
        ["7/IR/LS3/1.jpg"],
    ],
)
def test_a_frame_outside_of_its_tracks_folder_is_refused(root, frame):
    set_entry(root, ["7/IR/LS3/7_IR_LS3_1_8535.jpg", frame], "7", "IR", "LS3", "1")
    start = f"{root / 'data_paths.json'}, track 7 IR LS3 1: a frame is 7/IR/LS3/<image>.jpg, got "
    assert message(root) == f"{start}{frame!r}"


def test_absent_frames_are_counted_and_the_first_is_named(tmp_path):
    root = write_bupt(tmp_path)
    (root / "DATA/20/IR/W4/20_IR_W4_1_8536.jpg").unlink()
    shutil.rmtree(root / "DATA/102/RGB/LS3")
    assert message(root) == (
        f"7 frames of 3 of 18 tracks not found under {root}, the first: "
        "DATA/20/IR/W4/20_IR_W4_1_8536.jpg of the track of train.txt, line 3: is the data set "
        "complete?"
    )


def test_frames_of_two_tracks_are_noted(root):
    frames = [f"7/IR/LS3/7_IR_LS3_1_{n}.jpg" for n in (8535, 8536, 8535)]
    set_entry(root, frames, "7", "IR", "LS3", "1")
    (note,) = bupt.load(root).notes
    assert note.startswith("frames that are in two tracks, or in one of them twice: 1, such as ")


def test_check_counts_tracks_and_opens_every_frame(root):
    report = check_dataset("bupt", root)
    counts = {count.name: (count.found, count.expected) for count in report.counts}
    assert counts["training tracks"] == (8, 7_148) and counts["training frames"] == (24, 796_138)
    assert counts["auxiliary identities"] == (1, 930)
    assert counts["query visible tracks"] == (1, 540)
    assert counts["query infrared tracks"] == (1, 536)
    assert counts["gallery infrared tracks"] == (3, 2_422)
    assert report.images.opened == 3 * (8 + 2 + 2 + 6)
    (root / "train_auxiliary.txt").unlink()
    report = check_dataset("bupt", root, reduced=True)
    assert report.images.opened == 3 * (8 + 2 + 6)
    assert "no train_auxiliary.txt: DATA.AUXILIARY true needs it" in report.notes


def test_published_counts_add_up():
    counts = bupt.INFO.published
    assert sum(counts[f"{part} identities"] for part in ("training", "auxiliary", "test")) == 3_080
    for part in ("training", "query", "gallery"):
        for what in ("tracks", "frames"):
            both = counts[f"{part} visible {what}"] + counts[f"{part} infrared {what}"]
            assert both == counts[f"{part} {what}"]
    assert (counts["training tracks"], counts["training frames"]) == (7_148, 796_138)
    assert (counts["gallery tracks"], counts["gallery frames"]) == (4_844, 597_542)


def test_a_change_of_the_lists_or_of_a_track_changes_the_fingerprint(tmp_path):
    root = write_bupt(tmp_path)
    before = fingerprint(bupt.load(root))
    assert fingerprint(bupt.load(root, split="train")) == before
    path = root / "DATA/7/IR/LS3/7_IR_LS3_1_8537.jpg"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    assert fingerprint(bupt.load(root)) != before
    path.write_bytes(content)
    assert fingerprint(bupt.load(root)) == before
    set_entry(root, [f"7/IR/LS3/7_IR_LS3_1_{n}.jpg" for n in (8535, 8537)], "7", "IR", "LS3", "1")
    assert fingerprint(bupt.load(root)) != before


def test_damage_is_found_in_every_frame_and_copies_within_a_track_are_none(tmp_path):
    root = write_bupt(tmp_path)
    folder = root / "DATA/7/IR/LS3"
    shutil.copy(folder / "7_IR_LS3_1_8535.jpg", folder / "7_IR_LS3_1_8536.jpg")
    damaged = root / "DATA/101/RGB/G25/101_RGB_G25_1_8536.jpg"
    damaged.write_bytes(b"no image")
    report = check_dataset("bupt", root, reduced=True)
    (line,) = report.images.unreadable
    assert re.search(rf"{damaged} cannot be decoded", line)
    assert not any("the same picture" in one for one in (*report.findings, *report.notes))
    shutil.copy(folder / "7_IR_LS3_1_8537.jpg", damaged)
    (line,) = [one for one in check_dataset("bupt", root).findings if "two of the parts" in one]
    assert "DATA/101/RGB/G25/101_RGB_G25_1_8536.jpg (test)" in line
    assert "DATA/7/IR/LS3/7_IR_LS3_1_8537.jpg (training)" in line


@pytest.mark.parametrize("name", ["train.txt", "train_auxiliary.txt", "data_paths.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_never_waited_for(root: Path, name: str, make):
    (root / name).unlink()
    make(root / name)
    assert "is not a file" in message(root) and name in message(root)


def test_tracks_that_no_list_names_are_noted(root: Path):
    path = root / "data_paths.json"
    content = json.loads(path.read_text())
    (pid, kinds), *_ = content.items()
    (kind, cameras), *_ = kinds.items()
    (camera, tracks), *_ = cameras.items()
    tracks["99"] = []
    content["9999"] = 7  # no list names it: its content is not looked at
    path.write_text(json.dumps(content))
    (note,) = (note for note in bupt.load(root).notes if "no list names" in note)
    assert "not read: 1 of " in note and note.endswith(f"{pid} {kind} {camera} 99")
