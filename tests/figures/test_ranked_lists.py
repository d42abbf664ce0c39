import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.figures.fit import assert_texts_fit, saved_figures
from tests.helpers import write_image
from vireid.engine.extract import labels_of
from vireid.errors import DataError, UsageError
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.ranked_lists import GalleryRanking, rank_gallery
from vireid.figures.image_rows import side_by_side
from vireid.figures.ranked_lists import (
    REMOVED,
    RIGHT,
    WRONG,
    cells_of,
    choose_queries,
    describe,
    draw_lists,
    explain_ranks,
)
from vireid.figures.style import DOUBLE
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits

# Infrared query of camera 3 at 0; visible images on a line, camera and identity.
VISIBLE = [(1, 8, 0.1), (2, 7, 0.2), (4, 7, 0.3), (5, 9, 0.4), (2, 9, 0.5), (1, 9, 0.6)]


def hand_made(queries: list[tuple[int, int, float]]) -> GalleryRanking:
    """SYSU's rules; the seeded draw takes all, one image for each identity and camera."""
    rows = [(*query, 1) for query in queries] + [(*image, 0) for image in VISIBLE]
    features = FeatureSet(
        np.array([[place] for _, _, place, _ in rows]),
        np.array([pid for _, pid, _, _ in rows]),
        np.array([camid for camid, _, _, _ in rows]),
        np.array([modality for _, _, _, modality in rows], dtype=np.uint8),
        np.array([f"cam{camid}/{pid}/{k}.jpg" for k, (camid, pid, _, _) in enumerate(rows)]),
    )
    protocol = with_draw(PROTOCOLS["sysu_all_single"], "seeded")
    return rank_gallery(protocol, features, metric="euclidean")


def texts_of(found: GalleryRanking, top: int) -> list[list[str] | None]:
    cells = cells_of(found.ranked_list(0), found, Path(), top)
    return [cell and list(cell.text) for cell in cells]


def test_frames_and_words_are_the_evaluators():
    found = hand_made([(3, 7, 0.0)])
    one = found.ranked_list(0)
    cells = cells_of(one, found, Path("root"), 6)
    expected = [None, WRONG, REMOVED, RIGHT, WRONG, REMOVED, WRONG]
    assert [cell.mark for cell in cells] == expected
    assert cells[1].path == Path("root/cam1/8/1.jpg")
    assert texts_of(found, 6) == [
        ["query", "infrared", "id 7", "cam 3"],
        ["rank 1", "id rank 1", "id 8", "cam 1"],
        ["left out", "", "id 7", "cam 2"],
        ["rank 2", "id rank 2", "id 7", "cam 4"],
        ["rank 3", "id rank 3", "id 9", "cam 5"],
        ["left out", "", "id 9", "cam 2"],
        ["rank 4", "id rank 3", "id 9", "cam 1"],
    ]
    assert (one.precision, one.first) == (0.5, 2)
    assert describe(one, found) == (
        "cam3/7/0.jpg (identity 7, camera 3): AP 0.500, first true match: rank 2, id rank 2"
    )


def test_image_and_identity_ranks_differ_and_the_first_match_is_always_shown():
    found = hand_made([(6, 9, 0.0)])  # three images of two other identities are nearer
    assert "first true match: rank 4, id rank 3" in describe(found.ranked_list(0), found)
    assert found.ranked_list(0).identity_ranks().tolist() == [1, 2, 2, 3, 3, 3]
    last = ["rank 4", "id rank 3", "id 9", "cam 5"]
    assert texts_of(found, 2)[3:] == [None, last]
    assert texts_of(found, 3)[4:] == [None, last]
    assert texts_of(found, 4)[4:] == [last]


def test_where_the_cmc_counts_images_there_is_one_rank():
    found = hand_made([(6, 9, 0.0)])
    found = replace(found, protocol=replace(found.protocol, cmc_unit="image"))
    assert texts_of(found, 1)[1] == ["rank 1", "id 8", "cam 1"]
    assert describe(found.ranked_list(0), found).endswith("first true match: rank 4")
    assert "id rank" not in explain_ranks(found)


def test_identities_and_cameras_are_called_by_their_names():
    found = replace(
        hand_made([(3, 7, 0.0)]), identities={7: "anna", 8: "0008"}, cameras={3: "gate"}
    )
    texts = [text[-2:] for text in texts_of(found, 3)]
    assert texts[:3] == [["id anna", "cam gate"], ["id 8", "cam 1"], ["id anna", "cam 2"]]
    assert "(identity anna, camera gate)" in describe(found.ranked_list(0), found)
    assert choose_queries(found, names=["anna"]) == choose_queries(found, names=["7"]) == [0]


def test_camera_6_sees_what_camera_3_does_not():
    found = hand_made([(6, 7, 0.0)])
    one = found.ranked_list(0)
    cells = cells_of(one, found, Path(), 3)
    assert [cell.mark for cell in cells] == [None, WRONG, RIGHT, RIGHT]
    assert one.precision == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_worst_come_first_by_either_measure():
    # 7: ranks 2 and 3; 9: ranks 4, 5 and 6, behind identities 8 and 7; 8: the last of all
    found = hand_made([(6, 7, 0.0), (6, 9, 0.0), (6, 8, 1.0), (6, 555, 0.0)])
    precision, first = found.precision.round(3).tolist(), found.first.tolist()
    assert precision == [0.583, 0.383, 0.167, 0.0] and first == [2, 3, 3, 0]
    assert choose_queries(found, worst="ap", count=3) == [2, 1, 0]
    assert choose_queries(found, worst="first", count=2) == [2, 1]
    assert choose_queries(found, names=["9", "cam6/7/0.jpg", "555"]) == [1, 0, 3]
    assert "no true match" in describe(found.ranked_list(3), found)


def test_random_queries_are_answerable_and_follow_the_seed():
    found = hand_made([(6, pid, 0.0) for pid in (7, 555, 8, 9, 7, 8, 9)])
    draws = {tuple(choose_queries(found, count=3, seed=seed)) for seed in range(20)}
    assert len(draws) > 5 and all(1 not in drawn for drawn in draws)
    assert choose_queries(found, count=3, seed=4) == choose_queries(found, count=3, seed=4)


def test_queries_that_are_not_there_are_refused_and_those_named_twice_are_shown_once():
    found = hand_made([(6, 7, 0.0), (6, 555, 0.0)])
    assert choose_queries(found, names=["7", "7", str(found.features.paths[0])]) == [0]
    with pytest.raises(DataError, match="no query '8'"):
        choose_queries(found, names=["8"])
    for count in (0, 2):
        with pytest.raises(UsageError, match="1 queries with a match"):
            choose_queries(found, count=count)
    unanswered = dataclasses.replace(found, first=np.zeros_like(found.first))
    with pytest.raises(DataError, match="no query has a true match"):
        choose_queries(unanswered, count=1)


def written(found: GalleryRanking, root: Path) -> Path:
    for path in found.features.paths:
        write_image(root / str(path), (160, 40))
    return root


def test_the_picture_shows_every_name_and_the_same_twice(tmp_path):
    found = hand_made([(3, 7, 0.0), (6, 9, 0.0)])
    lists, root = [found.ranked_list(0), found.ranked_list(1)], written(found, tmp_path / "data")
    for name in ("a.svg", "b.svg"):
        draw_lists(lists, found, root, tmp_path / name, top=6, title="some protocol")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for words in ("✓ rank 2", "✗ rank 1", "– left out", "id rank 2", "cam 5", "AP 0.500"):
        assert f"<!-- {words}" in text
    assert text.count("<!-- cam ") == text.count("<image") == 2 * 7


def test_missing_images_and_short_galleries_are_named(tmp_path):
    found = hand_made([(3, 7, 0.0)])
    with pytest.raises(UsageError, match="this gallery holds 6"):
        draw_lists([found.ranked_list(0)], found, tmp_path, tmp_path / "a.png", top=7, title="")
    root = written(found, tmp_path / "data")
    (root / "cam1/8/1.jpg").unlink()
    with pytest.raises(DataError, match=r"cam1/8/1\.jpg does not exist"):
        draw_lists([found.ranked_list(0)], found, root, tmp_path / "a.png", top=6, title="")
    assert not (tmp_path / "a.png").exists()


LONG = "a_person_with_a_very_long_name_who-is_known_by_it_to_the_end"


@pytest.mark.parametrize(("top", "count", "size"), [(1, 2, (8, 24)), (10, 1, (90, 30)), (50, 1, 0)])
def test_nothing_is_cut_off_and_no_text_covers_another(tmp_path, monkeypatch, top, count, size):
    images = [(1 + k % 2, 8 + k % 9, 0.1 * k) for k in range(60)]
    monkeypatch.setattr(f"{__name__}.VISIBLE", [*images, (4, 7, 9.0)])
    features = hand_made([(6, 7, 0.0)] * count).features
    paths = features.paths.astype("U300")
    paths[0] = f"{LONG}/{LONG}/{LONG}.jpg"
    rules = replace(PROTOCOLS["val_i2v"], cmc_unit="identity")
    found = rank_gallery(rules, replace(features, paths=paths), metric="euclidean")
    found = replace(found, identities={8: LONG, 7: "x" * 300}, cameras={2: "north gate 12"})
    sizes = [size] if size else [(30, 60), (60, 30)]
    for k, path in enumerate(found.features.paths):
        write_image(tmp_path / str(path), sizes[k % len(sizes)])
    lists = [found.ranked_list(position) for position in range(count)]
    with saved_figures() as figures:
        draw_lists(lists, found, tmp_path, tmp_path / "a.png", top=top, title=LONG * 4)
    assert_texts_fit(figures[0])


def test_tracks_are_strips_of_three_frames_spread_over_the_track(tmp_path):
    lengths = {"a": 9, "b": 2, "c": 9}  # of the tracks of a query and of its gallery
    tracks = [
        ImageRecord(f"{name}/0.jpg", pid, pid, modality, frames=frames, track=number)
        for number, (name, pid, modality) in enumerate(
            [("a", 1, Modality.INFRARED), ("b", 2, Modality.VISIBLE), ("c", 1, Modality.VISIBLE)], 1
        )
        for frames in [tuple(f"{name}/{n}.jpg" for n in range(lengths[name]))]
    ]
    features = replace(labels_of(tracks), features=np.array([[0.0], [0.1], [0.2]]))
    protocol = replace(PROTOCOLS["vcm_i2v"], drops_own_camera=False)
    found = rank_gallery(protocol, features, metric="euclidean")
    found = found.of_set(Splits(tmp_path, (), (), tuple(tracks)))
    cells = cells_of(found.ranked_list(0), found, Path(), 2)
    shown = [[path.as_posix() for path in (cell.path, *cell.more)] for cell in cells]
    thirds = ["a/1.jpg", "a/4.jpg", "a/7.jpg"]
    assert shown == [thirds, ["b/0.jpg", "b/1.jpg"], [one.replace("a", "c") for one in thirds]]
    assert [cell.mark for cell in cells] == [None, WRONG, RIGHT]
    assert explain_ranks(found) == "rank: counts tracks, as the CMC of this protocol does"
    for track in tracks:
        for path in track.frames:
            write_image(tmp_path / path, (40, 20))
    draw_lists([found.ranked_list(0)], found, tmp_path, tmp_path / "ranks.png")
    with Image.open(tmp_path / "ranks.png") as picture:
        assert picture.width == round(DOUBLE * 200)  # strips are not squeezed into one column


def test_a_strip_has_the_height_of_its_first_picture():
    sizes = [(20, 40), (40, 40), (20, 80)]
    colors = ["red", "lime", "blue"]
    strip = side_by_side([Image.new("RGB", s, c) for s, c in zip(sizes, colors, strict=True)])
    assert strip.size == (20 + 1 + 40 + 1 + 10, 40)
    places = [0, 19, 20, 21, 60, 61, 62, 71]
    names = {(255, 0, 0): "r", (0, 255, 0): "g", (0, 0, 255): "b", (255, 255, 255): " "}
    assert "".join(names[strip.getpixel((x, 20))] for x in places) == "rr gg bb"
