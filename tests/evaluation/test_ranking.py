"""Protocols that leave out the query's own camera, and drawn by the seeded rule, against a loop."""

import dataclasses
import random
import tracemalloc

import numpy as np
import pytest

from tests.evaluation.loops import assert_scores_equal, loop_trial
from vireid.errors import DataError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.evaluate import TrialScores, evaluate, evaluate_all, require_answerable
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, expand, with_draw
from vireid.evaluation.sorting import stable_order
from vireid.structures import FeatureSet

V2N, N2V = PROTOCOLS["llcm_v2n"], PROTOCOLS["llcm_n2v"]
MULTI, CSV = PROTOCOLS["llcm_n2v_multi"], PROTOCOLS["csv_v2i"]
SEEDED = with_draw(PROTOCOLS["sysu_all_single"], "seeded")

Row = tuple[int, int, int, float]  # modality, camera, identity, position on a line


def line(rows: list[Row]) -> FeatureSet:
    """Images on a line; paths in the order given."""
    return FeatureSet(
        features=np.array([[row[3]] for row in rows]),
        pids=np.array([row[2] for row in rows]),
        camids=np.array([row[1] for row in rows]),
        modality=np.array([row[0] for row in rows], dtype=np.uint8),
        paths=np.array(
            [f"{m}/c{cam}/{pid}/{k:04d}.jpg" for k, (m, cam, pid, _) in enumerate(rows)]
        ),
    )


def random_set(seed: int, *, tied: bool, cameras: tuple[int, ...] = (1, 2, 3)) -> FeatureSet:
    """Few identities, some absent from cameras, in shuffled order; whole numbers if ``tied``."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = [
        (modality, camera, pid, 0.0)
        for modality in (0, 1)
        for camera in cameras
        for pid in (3, 20, 100, 7)
        if rng.random() < 0.6
        for _ in range(int(rng.integers(1, 5)))
    ]
    features = line(rows)
    values = rng.standard_normal((len(rows), 4)) + 0.2 * features.pids[:, None]
    features = dataclasses.replace(features, features=np.sign(values) if tied else values)
    return features.subset(rng.permutation(len(rows)))


def loop_galleries(protocol: RetrievalProtocol, images: FeatureSet) -> list[list[int]]:
    """The ten seeded galleries, or the one of all images, as the documentation puts it."""
    rows = [r for r in range(len(images)) if images.modality[r] == protocol.gallery_modality]
    if protocol.gallery_cameras:
        rows = [r for r in rows if images.camids[r] in protocol.gallery_cameras]
    rows.sort(key=lambda r: images.paths[r])
    return [rows] if protocol.draw == "all" else loop_draws(images, rows)


def loop_draws(images: FeatureSet, rows: list[int]) -> list[list[int]]:
    """Ten seeded draws of one image per identity and camera, of rows in the order of paths."""
    galleries = []
    for trial in range(10):
        random.seed(trial)
        gallery = []
        for pid in sorted({int(images.pids[r]) for r in rows}):
            for camera in sorted({int(images.camids[r]) for r in rows}):
                folder = [r for r in rows if (images.pids[r], images.camids[r]) == (pid, camera)]
                if folder:
                    gallery.append(random.choice(folder))
        galleries.append(gallery)
    return galleries


def assert_equal(found: list[TrialScores], protocol: RetrievalProtocol, images: FeatureSet):
    sysu = protocol.name.startswith("sysu")
    queries = np.flatnonzero(images.modality == protocol.query_modality)
    if sysu:
        queries = queries[np.isin(images.camids[queries], (3, 6))]
    unit = "image" if protocol.name.startswith("csv") else "identity"
    for trial, gallery in zip(found, loop_galleries(protocol, images), strict=True):
        rules = {"unit": unit, "own_camera": not sysu, "same_room": sysu}
        assert_scores_equal(trial, loop_trial(images, queries.tolist(), gallery, **rules))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["llcm_v2n", "llcm_n2v", "csv_v2i", "csv_i2v"])
def test_own_camera_protocols_equal_a_plain_loop(name: str, seed: int, tied: bool):
    images = random_set(seed, tied=tied)
    found = evaluate(PROTOCOLS[name], images, metric="euclidean")
    assert found[0].num_gallery < 40
    assert_equal(found, PROTOCOLS[name], images)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_drawn_queries_search_every_visible_image(seed: int, tied: bool):
    images = random_set(seed, tied=tied)
    both = evaluate_all([MULTI, N2V], images, metric="euclidean")
    by_path = sorted(range(len(images)), key=lambda r: images.paths[r])
    gallery = [r for r in by_path if images.modality[r] == 0]
    draws = loop_draws(images, [r for r in by_path if images.modality[r] == 1])
    rules = {"unit": "identity", "own_camera": True}
    for trial, queries in zip(both["llcm_n2v_multi"], draws, strict=True):
        assert_scores_equal(trial, loop_trial(images, queries, gallery, **rules))
    # the galleries of the opposite direction are its queries
    opposite = evaluate(V2N, images, metric="euclidean")
    for trial, other in zip(both["llcm_n2v_multi"], opposite, strict=True):
        assert trial.num_query == other.num_gallery
    require_answerable(MULTI, images)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["sysu_all_single", "sysu_indoor_single"])
def test_seeded_sysu_equals_a_plain_loop(name: str, seed: int, tied: bool):
    protocol = with_draw(PROTOCOLS[name], "seeded")
    images = random_set(seed, tied=tied, cameras=(1, 2, 3, 4, 5, 6))
    infrared = np.isin(images.camids, (3, 6)) == (images.modality == 1)
    images = images.subset(infrared)
    assert_equal(evaluate(protocol, images, metric="euclidean"), protocol, images)


def test_protocols_scored_together_equal_those_scored_alone():
    images = random_set(1, tied=True)
    protocols = expand(["llcm", "csv", "regdb"])
    together = evaluate_all(protocols, images)
    assert list(together) == [protocol.name for protocol in protocols]
    for protocol in protocols:
        for one, other in zip(together[protocol.name], evaluate(protocol, images), strict=True):
            assert_scores_equal(one, other, tolerance=0)


def test_long_galleries_use_wider_counters():
    """65,536 candidates overflow 16 bits: the last of them is the match."""
    others = [(1, 2, 2, float(k)) for k in range(65_536)]
    images = line([(0, 1, 1, 0.0), *others, (1, 2, 1, 1e6)])
    (trial,) = evaluate(CSV, images, metric="euclidean")
    assert trial.metrics["mAP"] == 1 / 65_537


def test_curve_is_as_long_as_the_shortest_list_of_any_query():
    """Identity 1's second query loses two gallery images to its own camera, the others none."""
    gallery = [(1, 1, 1, 5.0), (1, 1, 1, 6.0), (1, 2, 1, 7.0), (1, 2, 2, 8.0), (1, 3, 3, 9.0)]
    images = line([(0, 5, 1, 0.0), (0, 1, 1, 0.0), *gallery])
    (trial,) = evaluate(CSV, images, metric="euclidean")
    assert (len(trial.cmc), trial.num_gallery) == (3, 5)
    assert trial.metrics["mAP"] == 1.0


def test_only_the_own_identity_of_the_own_camera_is_left_out():
    # camera 1 holds another identity's image, which stays, and the query's own, which goes
    images = line([(0, 1, 1, 0.0), (1, 1, 1, 1.0), (1, 1, 2, 2.0), (1, 2, 1, 3.0)])
    (trial,) = evaluate(CSV, images, metric="euclidean")
    assert (trial.metrics["rank1"], trial.metrics["mAP"], trial.cmc.tolist()) == (0, 0.5, [0, 1])


@pytest.mark.parametrize("protocol", [V2N, CSV], ids=lambda p: p.name)
def test_a_set_whose_matches_are_all_of_the_own_camera_cannot_be_scored(
    protocol: RetrievalProtocol,
):
    images = line([(0, 1, 1, 3.0), (1, 1, 1, 1.0), (1, 2, 2, 2.0)])
    for score in (evaluate, require_answerable):
        with pytest.raises(DataError, match=f"{protocol.name}: no query has a true match"):
            score(protocol, images)


def test_direction_is_what_the_name_says():
    # visible: one image per camera; near-infrared: three, of which one is drawn
    images = line(
        [(0, c, 1, 3.0) for c in (1, 2)] + [(1, c, 1, 1.0) for c in (1, 2) for _ in range(3)]
    )
    (v2n, *_), (n2v, *_) = evaluate(V2N, images), evaluate(N2V, images)
    assert (v2n.num_query, v2n.num_gallery) == (2, 2)
    assert (n2v.num_query, n2v.num_gallery) == (6, 2)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [5, 17, 33])
def test_equal_rows_tie_wherever_they_stand(metric: str, count: int):
    rng = np.random.default_rng(count)
    queries = rng.standard_normal((7, 301)).astype(np.float32)
    gallery = np.repeat(rng.standard_normal((3, 301)).astype(np.float32), count, axis=0)
    gallery = gallery[rng.permutation(len(gallery))]
    distances = distance_rows(metric, queries, gallery)(np.arange(7))
    assert all(len(np.unique(row)) == 3 for row in distances)


def test_order_is_stable_where_it_matters():
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.integers(0, 5, (20, 300)), rng.random((20, 300))])
    expected = np.argsort(distances, axis=1, kind="stable")
    np.testing.assert_array_equal(stable_order(distances), expected)


def test_the_global_generator_is_left_alone():
    random.seed(5)
    before = random.getstate()
    evaluate(V2N, random_set(0, tied=False))
    assert random.getstate() == before


def test_an_identity_of_very_many_images_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch):
    """As where all distractors bear one number: a table of its length for every identity would."""
    count = 3000
    pids = np.concatenate([np.arange(count), np.zeros(count, int), [5]])
    images = FeatureSet(
        np.random.default_rng(0).standard_normal((len(pids), 4)).astype(np.float32),
        pids,
        np.ones(len(pids), int),
        np.array([0] * (2 * count) + [1], dtype=np.uint8),
        np.array([f"{k}.jpg" for k in range(len(pids))]),
    )
    for name in ("csv_i2v", "llcm_n2v"):
        protocol = dataclasses.replace(PROTOCOLS[name], draw="all", shots=0, gallery_trials=1)
        images = dataclasses.replace(images, camids=images.camids + (images.modality == 1))
        tracemalloc.start()
        evaluate(protocol, images)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8e6  # the table would have 3,000 × 3,001 places of eight bytes
