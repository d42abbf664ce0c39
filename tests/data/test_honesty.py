from dataclasses import replace

import numpy as np
import pytest

from benchmarks.honesty import (
    FEATURES,
    baseline_scores,
    by_viewpoint,
    colour_histogram,
    grey_pixels,
    hog,
    main,
    saved_features,
)
from vireid.data.datasets import regdb, sysu, veri
from vireid.engine.extract import labels_of
from vireid.errors import DataError
from vireid.evaluation.feature_files import write_features
from vireid.structures import Role
from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers import write_set
from vireid.synthetic.writers.vehicles import read_viewpoints


def test_hog_of_an_edge_votes_for_its_direction_in_its_cells():
    image = np.zeros((128, 64, 3), np.uint8)
    image[:, 36:] = 90  # the brightness changes to the right, in columns 35 and 36 of cell 4
    blocks = hog(image).reshape(15, 7, 4, 9)
    active = blocks.sum(axis=(0, 2, 3)) > 0
    assert active.tolist() == [False, False, False, True, True, False, False]
    # A gradient at 0 degrees lies between the last and the first of nine unsigned bins.
    share = blocks.sum(axis=(0, 1, 2)) / blocks.sum()
    np.testing.assert_allclose(share[[0, 8]], 0.5, atol=1e-9)
    np.testing.assert_allclose(hog(255 - image), hog(image), atol=1e-9)  # unsigned
    assert not np.allclose(hog(image.transpose(1, 0, 2).repeat(2, 0)[:128, :64]), hog(image))


def test_simple_features_are_free_of_what_they_should_not_see():
    image = np.random.default_rng(0).integers(0, 200, (128, 64, 3)).astype(np.uint8)
    np.testing.assert_allclose(grey_pixels(image + 50), grey_pixels(image), atol=1e-9)
    histogram = colour_histogram(image)
    assert histogram.shape == (6 * 3 * 8,) and histogram.sum() == image.size


def test_scores_are_shown_by_viewpoint_difference(tmp_path):
    write_set("veri", tmp_path / "v", train_ids=1, test_ids=4, size=(48, 48), seed=0)
    splits = veri.load(tmp_path / "v")
    sides = {p: VIEWPOINTS.index(side) for p, side in read_viewpoints(tmp_path / "v").items()}
    images = [record for record in splits.test if record.role is Role.GALLERY]
    queries = dict.fromkeys(range(5), 0)
    for query in images:
        turns = {
            min((sides[query.path] - sides[r.path]) % 8, (sides[r.path] - sides[query.path]) % 8)
            for r in images
            if r.pid == query.pid and r.camid != query.camid
        }
        for turn in turns:
            queries[turn] += 1
    turns = by_viewpoint(splits, np.random.default_rng(0).standard_normal((len(images), 8)))
    assert [number for _, _, number in turns] == list(queries.values())
    assert all(0 <= rank1 <= 1 and 0 < mean <= 1 for rank1, mean, _ in turns)
    # Features that know the vehicle find every match at once, whatever the turn.
    knowing = by_viewpoint(splits, np.eye(1000)[[record.pid for record in images]])
    assert all(turn[:2] == (1.0, 1.0) for turn in knowing if turn[2])


def test_saved_features_are_joined_by_path(tmp_path):
    write_set("veri", tmp_path, train_ids=2, test_ids=2, images_per_camera=1, size=(32, 32), seed=0)
    records = veri.load(tmp_path).test
    labels = labels_of(records)
    values = np.arange(len(records), dtype=np.float32)[:, None]
    backwards = replace(labels, features=values).subset(np.arange(len(records))[::-1])
    write_features(tmp_path / "f.npz", backwards)
    np.testing.assert_array_equal(saved_features(tmp_path / "f.npz", records), values)
    write_features(tmp_path / "f.npz", backwards.subset(np.arange(1)))
    with pytest.raises(DataError, match="has no features of"):
        saved_features(tmp_path / "f.npz", records)


def test_mistakes_are_one_line(tmp_path, tiny_sysu, capsys):
    missing = ["--features", str(tmp_path / "gone.npz")]
    assert main(["--layout", "sysu", "--root", str(tiny_sysu), *missing]) == 2
    assert "--features needs viewpoints.csv" in capsys.readouterr().err
    write_set("veri", tmp_path, train_ids=1, test_ids=2, images_per_camera=1, size=(32, 32), seed=0)
    assert main(["--layout", "veri", "--root", str(tmp_path), *missing]) == 3
    assert "gone.npz" in capsys.readouterr().err
    assert main(["--layout", "veri", "--root", str(tmp_path / "no")]) == 3


def test_scores_of_rendered_sets(tmp_path, tiny_sysu):
    write_set(
        "regdb", tmp_path / "r", train_ids=2, test_ids=4, images_per_camera=2, size=(64, 32), seed=0
    )
    cases = {
        "sysu_all_single": sysu.load(tiny_sysu),
        "regdb_v2t": regdb.load(tmp_path / "r"),
        "regdb_t2v": regdb.load(tmp_path / "r"),
    }
    for protocol, splits in cases.items():
        found = baseline_scores(splits, protocol)
        assert set(found) == {*FEATURES, "chance"}
        assert 0.1 < found["chance"]["rank1"] < 0.45  # one of four
