import numpy as np

from benchmarks.honesty import FEATURES, colour_histogram, grey_pixels, hog, yardsticks
from vireid.data import regdb, sysu
from vireid.data.synthetic.layouts import write_regdb


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


def test_yardsticks_are_free_of_what_they_should_not_see():
    image = np.random.default_rng(0).integers(0, 200, (128, 64, 3)).astype(np.uint8)
    np.testing.assert_allclose(grey_pixels(image + 50), grey_pixels(image), atol=1e-9)
    histogram = colour_histogram(image)
    assert histogram.shape == (6 * 3 * 8,) and histogram.sum() == image.size


def test_scores_of_rendered_sets(tmp_path, tiny_sysu):
    write_regdb(tmp_path / "r", train_ids=2, test_ids=4, images_per_camera=2, size=(64, 32), seed=0)
    cases = {
        "sysu_all_single": sysu.load(tiny_sysu),
        "regdb_v2t": regdb.load(tmp_path / "r"),
        "regdb_t2v": regdb.load(tmp_path / "r"),
    }
    for protocol, splits in cases.items():
        found = yardsticks(splits, protocol)
        assert set(found) == {*FEATURES, "chance"}
        assert 0.1 < found["chance"]["rank1"] < 0.45  # one of four
