"""Protocols whose queries and gallery are of one modality, against plain loops over queries."""

import dataclasses
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from tests.evaluation.loops import assert_scores_equal, loop_trial
from vireid.errors import DataError
from vireid.evaluation.evaluate import (
    TrialScores,
    evaluate,
    evaluate_all,
    evaluate_reranked,
    require_answerable,
)
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol, expand
from vireid.evaluation.query_gallery import require_complete
from vireid.evaluation.ranked_lists import rank_gallery
from vireid.evaluation.results import describe, summarise
from vireid.structures import FeatureSet, Modality

VERI, VAL = PROTOCOLS["veri"], PROTOCOLS["val_v2v"]
LISTS = (800, 1600, 2400)


def vehicles(seed: int, *, tied: bool = False, ids: int = 9) -> FeatureSet:
    """Vehicles of a few images in four cameras, roles of all three kinds, lists by vehicle."""
    rng = np.random.default_rng(seed)
    pids = np.concatenate(
        [np.full(rng.integers(1, 9), pid) for pid in rng.choice(500, ids, replace=False)]
    )
    values = rng.standard_normal((len(pids), 5)) + 0.004 * pids[:, None]
    smallest = dict(zip(sorted(set(pids.tolist())), LISTS * ids, strict=False))
    images = FeatureSet(
        features=np.sign(values).round() if tied else values,
        pids=pids,
        camids=rng.integers(1, 5, len(pids)),
        modality=np.zeros(len(pids), dtype=np.uint8),
        paths=np.array([f"image/{k:07d}.jpg" for k in rng.permutation(len(pids))]),
        role=rng.integers(0, 3, len(pids)).astype(np.uint8),
        test_list=np.array([smallest[pid] for pid in pids.tolist()]),
    )
    return images.subset(rng.permutation(len(pids)))


def loop_scores(
    images: FeatureSet, queries: list[int], gallery: list[int], *, own_camera: bool
) -> TrialScores:
    gallery = sorted(gallery, key=lambda row: images.paths[row])
    return loop_trial(images, queries, gallery, unit="image", own_camera=own_camera)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_veri_equals_a_plain_loop(seed: int, tied: bool):
    images = vehicles(seed, tied=tied)
    queries = [row for row in range(len(images)) if images.role[row] in (0, 1)]
    gallery = [row for row in range(len(images)) if images.role[row] in (0, 2)]
    (trial,) = evaluate(VERI, images, metric="euclidean")
    expected = loop_scores(images, queries, gallery, own_camera=True)
    assert_scores_equal(trial, expected)
    assert expected.num_query < len(images) > expected.num_gallery


@pytest.mark.parametrize("seed", range(3))
def test_validation_searches_all_images_but_never_a_query_itself(seed: int):
    images = dataclasses.replace(vehicles(seed), role=None, test_list=None)
    rows = list(range(len(images)))
    (trial,) = evaluate(VAL, images, metric="euclidean")
    assert_scores_equal(trial, loop_scores(images, rows, rows, own_camera=True))
    own = dataclasses.replace(images, camids=np.arange(1, len(images) + 1))  # as VehicleID's
    (trial,) = evaluate(VAL, own, metric="euclidean")
    assert_scores_equal(trial, loop_scores(own, rows, rows, own_camera=True))
    found = rank_gallery(VAL, own)
    for position, query in enumerate(found.queries):
        one = found.ranked_list(position)
        assert one.gallery[one.removed].tolist() == [query]


def loop_draws(images: FeatureSet, size: int) -> list[list[int]]:
    """As the documentation puts it."""
    listed = [row for row in range(len(images)) if images.test_list[row] <= size]
    galleries = []
    for trial in range(10):
        generator = np.random.default_rng(trial)
        gallery = []
        for pid in sorted({int(images.pids[row]) for row in listed}):
            rows = sorted(
                (row for row in listed if images.pids[row] == pid), key=lambda r: images.paths[r]
            )
            gallery.append(int(generator.choice(rows)))
        galleries.append(gallery)
    return galleries


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("size", LISTS)
def test_vehicleid_equals_a_plain_loop_over_its_draws(size: int, tied: bool):
    images = vehicles(size, tied=tied, ids=12)
    trials = evaluate(PROTOCOLS[f"vehicleid_{size}"], images, metric="euclidean")
    galleries = loop_draws(images, size)
    assert len(trials) == len(galleries) == 10
    for trial, gallery in zip(trials, galleries, strict=True):
        listed = [row for row in range(len(images)) if images.test_list[row] <= size]
        queries = [row for row in listed if row not in gallery]
        by_pid = sorted(gallery, key=lambda row: images.pids[row])
        plain = dataclasses.replace(images, paths=_in_order(images, by_pid))
        expected = loop_scores(plain, queries, gallery, own_camera=False)
        assert_scores_equal(trial, expected)
        assert expected.num_gallery == 4 * LISTS.index(size) + 4
        assert expected.num_valid_query == expected.num_query == len(listed) - len(gallery)


def _in_order(images: FeatureSet, gallery: list[int]) -> np.ndarray:
    """Paths that sort as the gallery does, which decides ties: identity, then camera."""
    paths = np.array([f"z{k:04d}" for k in range(len(images))])
    paths[gallery] = [f"a{k:04d}" for k in range(len(gallery))]
    return paths


def test_lists_are_nested_and_draws_of_one_list_share_nothing_with_others():
    images = vehicles(5, ids=12)
    together = evaluate_all(expand(["vehicleid"]), images)
    assert list(together) == [f"vehicleid_{size}" for size in LISTS]
    for name, trials in together.items():
        for one, other in zip(trials, evaluate(PROTOCOLS[name], images), strict=True):
            assert one.metrics == other.metrics and one.num_query == other.num_query
    sizes = [trials[0].num_gallery for trials in together.values()]
    assert sizes == [4, 8, 12]
    beside = dataclasses.replace(images, test_list=np.where(images.test_list == 800, 0, 2400))
    (trial, *_) = evaluate(PROTOCOLS["vehicleid_2400"], beside)
    assert trial.num_gallery == 8  # what no list holds is not searched


def test_reranked_trials_have_the_same_parties():
    images = vehicles(6, ids=12)
    for name in ("vehicleid_1600", "veri", "val_v2v"):
        plain, again = evaluate(PROTOCOLS[name], images), evaluate_reranked(PROTOCOLS[name], images)
        for one, other in zip(plain, again, strict=True):
            counts = one.num_query, one.num_valid_query, one.num_gallery
            assert counts == (other.num_query, other.num_valid_query, other.num_gallery)


def test_ranked_lists_tell_the_scores_of_every_draw():
    images = vehicles(7, ids=12)
    protocol = PROTOCOLS["vehicleid_2400"]
    trials = evaluate(protocol, images)
    for trial in (1, 10):
        found = rank_gallery(protocol, images, trial=trial)
        assert not set(found.queries.tolist()) & set(found.gallery.tolist())
        metrics = trials[trial - 1].metrics
        assert len(found.queries) == trials[trial - 1].num_query
        assert found.precision.mean() == pytest.approx(metrics["mAP"])
        assert (found.first == 1).mean() == pytest.approx(metrics["rank1"])


PROGRAM = """
import json, random, sys
import numpy as np
from tests.evaluation.test_vehicles import draws
random.seed(int(sys.argv[1])); np.random.seed(int(sys.argv[1]))
print(json.dumps(draws(int(sys.argv[1]))))
"""


def draws(shuffle: int) -> list[list[str]]:
    """Paths of the ten galleries, with the images in another order."""
    images = vehicles(11, ids=12)
    images = images.subset(np.random.default_rng(shuffle).permutation(len(images)))
    protocol = PROTOCOLS["vehicleid_1600"]
    return [
        images.paths[rank_gallery(protocol, images, trial=trial).gallery].tolist()
        for trial in range(1, 11)
    ]


def test_draws_are_the_same_on_every_process_and_leave_generators_alone():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    expected = draws(0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert len({tuple(gallery) for gallery in expected}) > 5  # ten draws, not one
    for seed in (3, 4):
        command = [sys.executable, "-c", PROGRAM, str(seed)]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(found.stdout) == expected


@pytest.mark.parametrize(
    ("name", "column", "phrase"),
    [
        ("veri", "role", r"veri needs an array 'role' \(0 both, 1 query, 2 gallery\)"),
        ("vehicleid_800", "test_list", r"vehicleid_800 needs an array 'subset' .*800, 1600 or 24"),
    ],
)
def test_a_missing_array_is_named(name: str, column: str, phrase: str):
    images = dataclasses.replace(vehicles(0), **{column: None})
    for score in (evaluate, require_answerable, evaluate_reranked):
        with pytest.raises(DataError, match=phrase):
            score(PROTOCOLS[name], images)


@pytest.mark.parametrize(
    ("protocol", "change", "phrase"),
    [
        (VERI, {"role": 2}, "veri: there is no query image"),
        (VERI, {"role": 1}, "veri: there is no gallery image"),
        (VERI, {"camids": 3}, "veri: no query has a true match.* its own number"),
        (PROTOCOLS["vehicleid_800"], {"test_list": 1600}, "no query image in test list 800"),
        (VERI, {"modality": 1}, "veri: there is no query image"),
    ],
)
def test_images_that_cannot_answer_are_refused(
    protocol: RetrievalProtocol, change: dict[str, int], phrase: str
):
    images = vehicles(0)
    (column,) = change
    values = np.full(len(images), change[column], getattr(images, column).dtype)
    images = dataclasses.replace(images, **{column: values})
    for score in (evaluate, require_answerable):
        with pytest.raises(DataError, match=phrase):
            score(protocol, images)


def test_images_of_a_shorter_list_do_not_answer_a_longer_one():
    images = vehicles(0)
    short = images.subset(images.test_list == 800)
    require_complete(PROTOCOLS["vehicleid_800"], short, None)
    for size in (1600, 2400):
        with pytest.raises(DataError, match=f"no image belongs to test list {size}"):
            require_complete(PROTOCOLS[f"vehicleid_{size}"], short, None)


def test_vehicles_of_one_image_each_have_no_query():
    images = vehicles(0)
    _, first = np.unique(images.pids, return_index=True)
    for score in (evaluate, require_answerable):
        with pytest.raises(DataError, match="vehicleid_2400: no query has a true match"):
            score(PROTOCOLS["vehicleid_2400"], images.subset(first))


def test_val_is_what_the_modalities_allow():
    both, one = tuple(Modality), (Modality.VISIBLE,)
    assert [protocol.name for protocol in expand(["val"])] == ["val_v2i", "val_i2v"]
    assert [protocol.name for protocol in expand(["val"], both)] == ["val_v2i", "val_i2v"]
    assert [protocol.name for protocol in expand(["val", "veri"], one)] == ["val_v2v", "veri"]


def test_results_say_what_was_searched():
    images = vehicles(2, ids=12)
    said = {}
    for name in ("veri", "vehicleid_1600"):
        protocol = PROTOCOLS[name]
        entry = summarise(protocol, evaluate(protocol, images))
        said[name] = describe(protocol, entry)
        assert entry["cmc_unit"] == "image" and entry["metric"] == "cosine"
        assert entry["gallery_draw"] == ("all" if name == "veri" else "seeded")
    assert "(query images → gallery images); gallery: every image" in said["veri"]
    assert "left out: same identity and same camera" in said["veri"]
    assert (
        "test list 1600); gallery: one image per identity, drawn by NumPy"
        in (said["vehicleid_1600"])
    )
    assert "10 trials; all others are queries; left out: nothing" in said["vehicleid_1600"]
