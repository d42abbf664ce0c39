"""Rendered tracks: how a walk looks from frame to frame, and the layouts of sets of tracks."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic.test_writers import digests
from vireid.config import load_config
from vireid.data.datasets import DATASETS
from vireid.data.verify import check_dataset
from vireid.errors import UsageError
from vireid.figures.contact_sheet import contact_sheet
from vireid.runs.rendered_data import prepare_data, synthetic_root
from vireid.synthetic.cameras import INFRARED, Camera, paired_cameras
from vireid.synthetic.pedestrians.track import Obstacle, Track, draw_track
from vireid.synthetic.writers import LAYOUTS, Shot, pictures, write_set

SMALL = {"train_ids": 2, "test_ids": 2, "images_per_camera": 12, "size": (32, 16), "seed": 7}
LAYOUTS_OF_TRACKS = ("vcm", "bupt")


@pytest.fixture(scope="module")
def cameras() -> dict[int, Camera]:
    return paired_cameras(np.random.default_rng(0), 2)


@pytest.fixture(scope="module")
def walks(cameras) -> list[Track]:
    return [draw_track(cameras[1], np.random.default_rng([1, k])) for k in range(300)]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("tracks")
    for layout in LAYOUTS_OF_TRACKS:
        write_set(layout, parent / layout, **SMALL)
    return {layout: parent / layout for layout in LAYOUTS_OF_TRACKS}


def test_an_obstacle_is_where_it_is_by_hand():
    post = Obstacle("post", first=3, frames=4, every=10, place=0.9, backwards=False)
    expected = [None, None, 0.125, 0.375, 0.625, 0.875, *[None] * 6, 0.125]
    assert [post.at(frame) for frame in range(1, 14)] == expected
    back = Obstacle("crossing", first=3, frames=4, every=10, place=0.9, backwards=True)
    assert [back.at(frame) for frame in (2, 3, 6, 7)] == [None, 0.875, 0.125, None]
    low = Obstacle("low", first=3, frames=4, every=10, place=0.9, backwards=True)
    assert [low.at(frame) for frame in (2, 3, 6, 7)] == [None, 0.9, 0.9, None]
    assert Obstacle("none", 3, 4, 10, 0.9, False).at(3) is None


def test_a_walk_changes_smoothly_and_keeps_direction_light_and_scene(walks):
    for k, walk in enumerate(walks):
        views = [walk.view(frame, np.random.default_rng([k, frame])) for frame in range(1, 25)]
        phases = np.diff([view.phase for view in views])
        assert np.allclose(phases, walk.pace) and 1.0 < walk.pace < 1.4  # 4.5 to 6.5 frames a cycle
        assert len({view.exposure for view in views}) == len({view.shadow for view in views}) == 1
        assert max(abs(view.azimuth - walk.start.azimuth) for view in views) < 0.14
        for name, step, whole in (
            ("shift_x", 0.06, 0.1),
            ("shift_y", 0.06, 0.1),
            ("scale", 0.08, 0.15),
        ):
            values = np.array([getattr(view, name) for view in views])
            assert np.abs(np.diff(values)).max() < step and np.ptp(values) < whole
            assert np.ptp(values) > 0.01
        lefts = np.array([view.window[0] for view in views])
        assert np.abs(np.diff(lefts)).max() < 0.02 and 0 <= lefts.min() and lefts.max() <= 1


def test_some_frames_are_blurred_and_some_occluded(walks):
    views = [
        (walk, walk.view(frame, np.random.default_rng([k, frame])))
        for k, walk in enumerate(walks)
        for frame in range(1, 25)
    ]
    occluded = [view.occluder for _, view in views if view.occluder != "none"]
    assert 0.08 < len(occluded) / len(views) < 0.16
    assert set(occluded) == {"post", "low", "crossing"}
    blurred = [view.sharpness > 1.5 * walk.start.sharpness for walk, view in views]
    assert 0.07 < np.mean(blurred) < 0.13
    per_walk = np.reshape(blurred, (len(walks), -1)).sum(axis=1)
    assert per_walk.min() == 0 and per_walk.max() < 12  # averaging always has clear frames


def test_frames_of_a_track_look_alike_and_differ_from_another_track():
    studio = LAYOUTS["vcm"].studio(3, (64, 32))

    def frames(pid: int, camera: int, track: int) -> np.ndarray:
        shots = (Shot(pid, camera, k, "", track=track) for k in range(1, 9))
        return np.stack([studio.picture(shot).astype(float) for shot in shots])

    steps, jumps = [], []
    for pid in (1, 2, 3):
        for camera in (1, 1 + INFRARED):
            first, second = frames(pid, camera, 1), frames(pid, camera, 2)
            steps.append(np.abs(np.diff(first, axis=0)).mean())
            jumps.append(np.abs(first - second).mean())
            assert np.ptp(first, axis=3).max() == 0 or camera == 1
    assert np.median(jumps) > 1.5 * np.median(steps)
    assert np.array_equal(frames(1, 1, 1)[4], studio.picture(Shot(1, 1, 5, "", track=1)))


def test_equal_seeds_write_equal_bytes_whatever_the_processes(sets, tmp_path, monkeypatch):
    expected = digests(sets["bupt"])
    monkeypatch.setattr(pictures, "BATCH", 90)
    write_set("bupt", tmp_path / "shared", **SMALL, workers=2)
    assert digests(tmp_path / "shared") == expected


def test_vcm_lists_name_every_file_once(sets):
    root = sets["vcm"]
    files = {path.relative_to(root).as_posix() for path in root.glob("T*/*/*/*/*.jpg")}
    named = []
    for part in ("train", "test"):
        rows = [
            line.split() for line in (root / f"info/track_{part}_info.txt").read_text().splitlines()
        ]
        names = (root / f"info/{part}_name.txt").read_text().splitlines()
        assert all(len(row) == 5 and re.fullmatch(r"\d{4}", row[3]) for row in rows)
        ends = [int(row[2]) for row in rows]
        assert [int(row[1]) for row in rows] == [1, *(end + 1 for end in ends[:-1])]
        assert ends[-1] == len(names)
        for modality, start, end, pid, camera in rows:
            tracks = set()
            for name in names[int(start) - 1 : int(end)]:
                found = re.fullmatch(r"(\d{4})M([12])D(\d+)T(\d+)F(\d+)\.jpg", name).groups()
                assert found[:3] == (pid, modality, camera)
                tracks.add(found[3])
                folder = f"{part.title()}/{pid}/{'ir' if modality == '1' else 'rgb'}/D{camera}"
                named.append(f"{folder}/{found[4]}.jpg")
            assert len(tracks) == 1
    assert len(named) == len(set(named)) and set(named) == files


def test_vcm_queries_are_infrared_and_have_a_match_in_another_camera(sets):
    root = sets["vcm"]
    rows = [line.split() for line in (root / "info/track_test_info.txt").read_text().splitlines()]
    lengths = [int(end) - int(start) + 1 for _, start, end, _, _ in rows]
    assert {"0003", "0004"} == {row[3] for row in rows}
    queries = [int(line) for line in (root / "info/query_IDX.txt").read_text().split()]
    assert queries == [k for k, row in enumerate(rows, start=1) if row[0] == "1"]
    kept = [row for row, length in zip(rows, lengths, strict=True) if length >= 12]
    for row in (rows[k - 1] for k in queries):
        assert any(r[0] == "2" and r[3] == row[3] and r[4] != row[4] for r in kept)
    train = [line.split() for line in (root / "info/track_train_info.txt").read_text().splitlines()]
    lengths += [int(end) - int(start) + 1 for _, start, end, _, _ in train]
    short = [length for length in lengths if length < 12]
    assert short and min(short) >= 4 and max(lengths) <= 18
    places = Counter((row[3], row[0], row[4]) for row in rows + train)
    assert set(places.values()) == {1, 2, 3}
    seen = Counter((pid, modality) for pid, modality, _ in places)
    assert len(seen) == 8 and 2 <= min(seen.values()) <= max(seen.values()) <= 4


def read_bupt(root: Path, name: str) -> list[list[str]]:
    return [line.split(" ") for line in (root / f"{name}.txt").read_text().splitlines()]


def test_bupt_lists_and_paths_name_every_file(sets):
    root = sets["bupt"]
    paths = json.loads((root / "data_paths.json").read_text())
    named = []
    every = [
        (pid, modality, camera, track, found)
        for pid, modalities in paths.items()
        for modality, cameras in modalities.items()
        for camera, tracks in cameras.items()
        for track, found in tracks.items()
    ]
    for pid, modality, camera, track, found in every:
        assert 12 <= len(found) <= 18 and camera in "LS3 G25 CQ1 W4 TSG1 TSG2".split()
        stem = f"{pid}/{modality}/{camera}/{pid}_{modality}_{camera}_{track}_"
        frames = [int(path.removeprefix(stem).removesuffix(".jpg")) for path in found]
        assert frames == list(range(frames[0], frames[0] + len(found)))
        named += [f"DATA/{path}" for path in found]
    fake = {p.relative_to(root).as_posix() for p in root.glob("DATA/*/FakeIR/*/*.jpg")}
    assert fake and all(path.replace("FakeIR", "RGB") in named for path in fake)
    files = {p.relative_to(root).as_posix() for p in root.rglob("*.jpg")}
    assert len(named) == len(set(named)) and set(named) == files - fake
    listed = [row for name in ("train", "train_auxiliary") for row in read_bupt(root, name)]
    assert {row[1] for row in listed} == {"RGB/IR"}
    for pid, modality, camera, track in (
        listed + read_bupt(root, "query") + read_bupt(root, "gallery")
    ):
        assert all(track in paths[pid][kind][camera] for kind in modality.split("/"))


def test_bupt_has_one_query_per_identity_by_turns_and_all_else_in_the_gallery(sets):
    root = sets["bupt"]
    pids = {name: {row[0] for row in read_bupt(root, name)} for name in ("train", "gallery")}
    assert pids == {"train": {"1", "2"}, "gallery": {"3", "4"}}
    assert [(row[0], row[1]) for row in read_bupt(root, "query")] == [("3", "IR"), ("4", "RGB")]
    assert [row[0] for row in read_bupt(root, "train_auxiliary")] == ["5"]  # one track each
    gallery = [tuple(row) for row in read_bupt(root, "gallery")]
    for pid, _, camera, track in read_bupt(root, "query"):
        assert not {(pid, kind, camera, track) for kind in ("RGB", "IR")} & set(gallery)
        assert all(
            any(g[:2] == (pid, kind) and g[2] != camera for g in gallery) for kind in ("RGB", "IR")
        )
    both = Counter((pid, camera, track) for pid, _, camera, track in gallery)
    assert set(both.values()) == {2}


def test_bupt_pairs_show_the_same_moment(monkeypatch):
    """Both pictures of a pair are taken with one view, but for the exposure of their sensor."""
    views = []
    monkeypatch.setattr(pictures, "render_person", lambda *args: views.append((args[1], args[2])))
    studio = LAYOUTS["bupt"].studio(3, (64, 32))
    for index in (1, 2, 9):
        studio.picture(Shot(1, 2, index, "", track=1))
        studio.picture(Shot(1, 2 + INFRARED, index, "", track=1, aligned=2))
        (visible, first), (infrared, second) = views[-2:]
        assert (visible.spectrum, infrared.spectrum) == ("visible", "near_infrared")
        assert visible.pitch == infrared.pitch and first.exposure != second.exposure
        assert replace(second, exposure=first.exposure) == first
    assert len({view.exposure for _, view in views[1::2]}) == 1
    assert len({view.phase for _, view in views}) == 3


def test_tracks_too_short_for_readers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="images_per_camera=11 is out of range: give .* from 12"):
        write_set("vcm", tmp_path / "set", **{**SMALL, "images_per_camera": 11})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("layout", "dropped"), [("vcm", True), ("bupt", False)])
def test_a_rendered_set_of_tracks_is_read_without_a_fault(sets, layout, dropped):
    report = check_dataset(layout, sets[layout], reduced=True)
    assert report.faults == 0 and not report.findings
    assert any("left out" in note for note in report.notes) == dropped
    splits = DATASETS[layout].load(sets[layout])
    assert splits.train_pids == (1, 2) and {track.pid for track in splits.test} == {3, 4}
    assert all(12 <= len(track.frames) <= 18 for track in splits.train + splits.test)


def test_options_say_what_is_wrong_with_a_set_of_tracks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["DATA.DATASET", "vcm", "DATA.SYNTHETIC.ENABLED", "true"]  # six frames by default
    cfg = load_config(None, words, environment={})
    cfg.merge_from_list(["DATA.ROOT", str(synthetic_root(cfg))])
    with pytest.raises(UsageError, match="images_per_camera=6 is out of range: give .* from 12"):
        prepare_data(cfg)


def test_a_contact_sheet_shows_queries_whose_files_are_named_as_those_of_the_gallery(sets):
    splits = DATASETS["vcm"].load(sets["vcm"])
    sheet = contact_sheet(splits, "test", name="vcm", images=1)
    shown = [path for row in sheet.rows.values() for path in row if path]
    assert len(shown) == len({(r.pid, r.modality, r.camid) for r in splits.test}) >= 8
