import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import write_image
from vireid.errors import DataError, UsageError
from vireid.evaluation.protocols import PROTOCOLS, with_draw
from vireid.evaluation.ranked_lists import GalleryRanking, rank_gallery
from vireid.figures.ranked_lists import (
    REMOVED,
    RIGHT,
    WRONG,
    cells_of,
    choose_queries,
    describe,
    draw_lists,
)
from vireid.structures import FeatureSet

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


def test_frames_and_words_are_the_evaluators():
    found = hand_made([(3, 7, 0.0)])
    one = found.ranked_list(0)
    cells = cells_of(one, found, Path("root"), 6)
    expected = [None, WRONG, REMOVED, RIGHT, WRONG, REMOVED, WRONG]
    assert [cell.mark for cell in cells] == expected
    assert cells[1].path == Path("root/cam1/8/1.jpg")
    assert [cell.text for cell in cells[:4]] == [
        ("infrared", "camera 3"),
        ("1 id 8", "camera 1"),
        ("id 7", "camera 2"),
        ("2 id 7", "camera 4"),
    ]
    assert (one.precision, one.first) == (0.5, 2)
    assert describe(one, found) == (
        "cam3/7/0.jpg (identity 7, camera 3): AP 0.500, first match at rank 2, counted in "
        "identities"
    )


def test_identities_and_cameras_are_called_by_their_names():
    found = replace(
        hand_made([(3, 7, 0.0)]), identities={7: "anna", 8: "0008"}, cameras={3: "gate"}
    )
    one = found.ranked_list(0)
    texts = [cell.text for cell in cells_of(one, found, Path(), 3)]
    assert texts[:3] == [
        ("infrared", "camera gate"),
        ("1 id 8", "camera 1"),
        ("id anna", "camera 2"),
    ]
    assert "(identity anna, camera gate)" in describe(one, found)
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
    assert "no match" in describe(found.ranked_list(3), found)


def test_random_queries_are_answerable_and_follow_the_seed():
    found = hand_made([(6, pid, 0.0) for pid in (7, 555, 8, 9, 7, 8, 9)])
    draws = {tuple(choose_queries(found, count=3, seed=seed)) for seed in range(20)}
    assert len(draws) > 5 and all(1 not in drawn for drawn in draws)
    assert choose_queries(found, count=3, seed=4) == choose_queries(found, count=3, seed=4)


def test_queries_that_are_not_there_are_refused():
    found = hand_made([(6, 7, 0.0), (6, 555, 0.0)])
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
    for words in ("✓ 2 id 7", "✗ 1 id 8", "– id 7", "camera 5", "infrared", "AP 0.500"):
        assert words in text
    assert text.count("<!-- camera") == 2 * 7


def test_missing_images_and_short_galleries_are_named(tmp_path):
    found = hand_made([(3, 7, 0.0)])
    with pytest.raises(UsageError, match="this gallery holds 6"):
        draw_lists([found.ranked_list(0)], found, tmp_path, tmp_path / "a.png", top=7, title="")
    root = written(found, tmp_path / "data")
    (root / "cam1/8/1.jpg").unlink()
    with pytest.raises(DataError, match=r"cam1/8/1\.jpg does not exist"):
        draw_lists([found.ranked_list(0)], found, root, tmp_path / "a.png", top=6, title="")
    assert not (tmp_path / "a.png").exists()
