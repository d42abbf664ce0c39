"""Query expansion and affinity inference against plain loops, and the table of all methods."""

import numpy as np
import pytest

from vireid.config.schema import OPTIONS, SCORES
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.evaluate import evaluate, evaluate_reranked
from vireid.evaluation.protocols import PROTOCOLS
from vireid.evaluation.reranking import affinity, expansion
from vireid.evaluation.reranking.affinity import affinity_distances
from vireid.evaluation.reranking.expansion import expanded_distances
from vireid.evaluation.reranking.methods import (
    METHODS,
    default_reranking,
    method_notes,
    parse_name,
    reranking,
    rule_notes,
    rule_of,
)
from vireid.structures import FeatureSet

DECIMALS = 10  # numbers that differ only behind these are ties


def unit(row: np.ndarray) -> np.ndarray:
    length = np.sqrt(sum(x * x for x in row))
    return row / length if length else row


def nearest(query: np.ndarray, gallery: np.ndarray, k: int, metric: str) -> list[int]:
    """Places of the k nearest gallery rows, ties in the gallery's order."""
    if metric == "cosine":
        gaps = [-float(unit(query) @ unit(row)) for row in gallery]
    else:
        gaps = [float(np.sqrt(((query - row) ** 2).sum())) for row in gallery]
    return sorted(range(len(gallery)), key=lambda g: (round(gaps[g], DECIMALS), g))[:k]


def expansion_loop(queries, gallery, metric: str, k: int, alpha: float) -> np.ndarray:
    """One query at a time."""
    result = np.empty((len(queries), len(gallery)))
    for q, query in enumerate(queries):
        shown = unit if metric == "cosine" else np.asarray
        total, weights = shown(query).copy(), 1.0
        for g in nearest(query, gallery, k, metric):
            weight = max(float(unit(query) @ unit(gallery[g])), 0.0) ** alpha
            total, weights = total + weight * shown(gallery[g]), weights + weight
        mean = total / weights
        for g, row in enumerate(gallery):
            gap = (
                -float(unit(mean) @ unit(row)) if metric == "cosine" else np.linalg.norm(mean - row)
            )
            result[q, g] = gap
    return result


def aim_loop(queries, gallery, k1: int, k2: int) -> np.ndarray:
    """The steps of the authors' code, one image at a time."""

    def affinities(image: np.ndarray) -> np.ndarray:
        cosines = np.array([float(unit(image) @ unit(row)) for row in gallery])
        least = sorted(cosines, reverse=True)[k1 - 1]
        return np.array([c if c > least - 10.0**-DECIMALS else 0.0 for c in cosines])

    result = np.empty((len(queries), len(gallery)))
    own = [affinities(image) for image in gallery]
    of_gallery = []
    for image in gallery:
        rows = [own[g] for g in nearest(image, gallery, k2, "cosine")]
        of_gallery.append(unit(sum(rows) / k2))
    for q, query in enumerate(queries):
        asked = unit(affinities(query))
        for g, row in enumerate(gallery):
            alike = float(asked @ of_gallery[g])
            result[q, g] = -alike - float(unit(query) @ unit(row))
    return result


def tied_images(seed: int, queries: int = 9, gallery: int = 23) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers in few dimensions, with copies within and between the two lists."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (gallery, 4)).astype(float)
    rows[~rows.any(axis=1)] = 1
    rows[rng.integers(gallery, size=5)] = rows[rng.integers(gallery, size=5)]
    asked = rng.integers(-2, 3, (queries, 4)).astype(float)
    asked[~asked.any(axis=1)] = 1
    asked[0] = rows[3]
    return asked, rows


def all_rows(distances, count: int) -> np.ndarray:
    return distances(np.arange(count))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k", "alpha"), [(1, 3.0), (5, 3.0), (4, 0.0), (23, 1.0)])
def test_expansion_equals_a_plain_loop(metric, k, alpha, monkeypatch):
    monkeypatch.setattr(expansion, "CHUNK", 4)
    for seed in range(5):
        queries, gallery = tied_images(seed)
        found = expanded_distances(queries, gallery, metric=metric, k=k, alpha=alpha)
        expected = expansion_loop(queries, gallery, metric, k, alpha)
        np.testing.assert_allclose(all_rows(found, len(queries)), expected, atol=1e-7)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (4, 1), (2, 2), (8, 3), (23, 23)])
def test_affinity_inference_equals_a_plain_loop(k1, k2, monkeypatch):
    monkeypatch.setattr(affinity, "CHUNK", 5)
    for seed in range(5):
        queries, gallery = tied_images(seed)
        found = all_rows(affinity_distances(queries, gallery, k1=k1, k2=k2), len(queries))
        np.testing.assert_allclose(found, aim_loop(queries, gallery, k1, k2), atol=1e-9)


def test_expansion_of_hand_computed_features():
    """The query at 0°, gallery images at 60° and 90°: weights (1/2)² and 0."""
    query, gallery = np.array([[2.0, 0.0]]), np.array([[1.0, np.sqrt(3)], [0.0, 3.0]])
    (found,) = all_rows(expanded_distances(query, gallery, k=2, alpha=2.0), 1)
    x, y = 1 + 0.25 * 0.5, 0.25 * np.sqrt(3) / 2
    length = np.hypot(x, y)
    np.testing.assert_allclose(found, [-(0.5 * x + np.sqrt(3) / 2 * y) / length, -y / length])


def test_affinity_inference_of_hand_computed_features():
    """With one neighbour, an image's affinities are 1 at itself: only the query's nearest gains."""
    query, gallery = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    (found,) = all_rows(affinity_distances(query, gallery, k1=1, k2=1), 1)
    np.testing.assert_allclose(found, [-0.6, -0.8 - 1, 0.6], atol=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_no_neighbours_give_the_plain_distances(metric):
    queries, gallery = tied_images(7)
    plain = all_rows(distance_rows(metric, queries, gallery), len(queries))
    found = expanded_distances(queries, gallery, metric=metric, k=0)
    np.testing.assert_array_equal(all_rows(found, len(queries)), plain)
    if metric == "cosine":
        found = affinity_distances(queries, gallery, k1=0)
        np.testing.assert_array_equal(all_rows(found, len(queries)), plain)


@pytest.mark.parametrize("distances", [expanded_distances, affinity_distances])
def test_other_queries_change_nothing_and_equal_images_tie(distances):
    queries, gallery = tied_images(8, queries=12)
    whole = all_rows(distances(queries, gallery), 12)
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_allclose(all_rows(distances(queries[order], gallery), 12), whole[order])
    np.testing.assert_allclose(distances(queries[:1], gallery)(np.arange(1)), whole[:1])
    twice = all_rows(distances(queries, np.concatenate([gallery, gallery[::-1]])), 12)
    np.testing.assert_array_equal(twice[:, : len(gallery)], twice[:, len(gallery) :][:, ::-1])


@pytest.mark.parametrize("method", ["expansion", "aim"])
def test_lengths_change_nothing_by_cosine(method):
    queries, gallery = tied_images(9)
    lengths = np.random.default_rng(1).uniform(0.5, 2, (len(gallery), 1))
    one, other = (
        default_reranking(method).distances(queries, rows, "cosine")
        for rows in (gallery, lengths * gallery)
    )
    np.testing.assert_allclose(all_rows(one, 9), all_rows(other, 9), atol=1e-7)


def noisy_identities() -> FeatureSet:
    """Twelve images of each of twelve identities, half of them infrared with an offset."""
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(12), 12)
    modality = np.tile([0, 1], 72).astype(np.uint8)
    features = rng.standard_normal((12, 16))[pids] + 0.9 * rng.standard_normal((144, 16))
    features += 1.5 * modality[:, None] * rng.standard_normal(16)
    paths = np.array([f"{k:03d}.jpg" for k in range(144)])
    return FeatureSet(features, pids, modality.astype(np.int64) + 1, modality, paths)


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_help_where_images_of_a_modality_are_alike(method):
    images, protocol = noisy_identities(), PROTOCOLS["regdb_v2t"]
    (plain,) = evaluate(protocol, images)
    (again,) = evaluate_reranked(protocol, images, default_reranking(method))
    assert again.metrics["mAP"] > plain.metrics["mAP"] + 0.02
    assert (again.num_query, again.num_gallery) == (72, 72)
    order = np.random.default_rng(3).permutation(144)
    (shuffled,) = evaluate_reranked(protocol, images.subset(order), default_reranking(method))
    assert shuffled.metrics == pytest.approx(again.metrics, abs=1e-12)


@pytest.mark.parametrize("method", ["expansion", "aim"])
def test_no_neighbours_give_the_plain_scores(method):
    images, protocol = noisy_identities(), PROTOCOLS["regdb_t2v"]
    none = reranking(method, {"k": 0} if method == "expansion" else {"k1": 0})
    (found,), (plain,) = evaluate_reranked(protocol, images, none), evaluate(protocol, images)
    assert found.metrics == plain.metrics and found.cmc.tolist() == plain.cmc.tolist()


@pytest.mark.parametrize(("method", "constant"), [("expansion", "k"), ("aim", "k1"), ("aim", "k2")])
def test_more_neighbours_than_the_gallery_holds_are_refused(method, constant):
    images, protocol = noisy_identities(), PROTOCOLS["regdb_v2t"]
    many = reranking(method, {constant: 73})
    with pytest.raises(DataError, match=r"asks for the 73 nearest gallery images.*holds 72: set "):
        evaluate_reranked(protocol, images, many)


@pytest.mark.parametrize(
    ("method", "values", "problem"),
    [
        ("rerank", {"k1": 0}, r"TEST.RERANK_K1 \(--rerank-k1\) must be at least 1, not 0"),
        ("rerank", {"lambda": 1.5}, "must be at least 0 and at most 1, not 1.5"),
        ("rerank", {"lambda": float("nan")}, "not nan"),
        ("expansion", {"k": -1}, "--expansion-k"),
        ("expansion", {"alpha": float("inf")}, "--expansion-alpha"),
        ("aim", {"k2": 0}, "--aim-k2"),
    ],
)
def test_constants_out_of_range_are_refused(method, values, problem):
    with pytest.raises(UsageError, match=problem):
        reranking(method, values)


def test_every_method_has_its_options():
    """One table for command lines, and the same names, defaults and ranges in configurations."""
    for name, method in METHODS.items():
        assert OPTIONS[f"TEST.{name}".upper()].default is False
        for constant in method.constants:
            option = OPTIONS[f"TEST.{name}_{constant.name}".upper()]
            assert option.default == constant.default
            assert type(option.default) is type(constant.default)
            assert option.effect is SCORES and option.in_names
            for value in map(type(option.default), (-1, 0, 0.5, 1, 2)):
                assert bool(option.allowed.problem(value)) == bool(constant.problem(value))


def test_names_hold_the_method_and_no_constants():
    yyds = reranking("rerank", {"k1": 40, "k2": 35, "lambda": 0.1})
    assert yyds.suffix == default_reranking("rerank").suffix == "+rerank"
    names = {
        "sysu_all_single": ("sysu_all_single", ""),
        "sysu_all_single+rerank": ("sysu_all_single", "rerank"),
        "llcm_n2v+corrupted+aim": ("llcm_n2v+corrupted", "aim"),
        "llcm_n2v+corrupted": ("llcm_n2v+corrupted", ""),
        "+rerank": ("+rerank", ""),
    }
    assert {name: parse_name(name) for name in names} == names


def test_rules_state_constants_and_what_is_used():
    entries = {"a+rerank": {}, "a": {}, "b+rerank": {}, "b+expansion": {"expansion": {"k": 3}}}
    rules = [(name, rule_of(name, entry)) for name, entry in entries.items()]
    one, other = rule_notes(rules)
    assert one.startswith("+rerank: after k-reciprocal re-ranking (k1 = 20, k2 = 6, λ = 0.3), ")
    assert "the other queries and the gallery (transductive" in one
    assert other.startswith("+expansion: after query expansion (k = 3, α = 3), ")
    assert method_notes(entries)[0].startswith("+rerank: after k-reciprocal re-ranking, which also")
    for damaged in (7, {"k1": "x"}, {"k9": 1}, {"k1": -1}):
        assert rule_of("a+rerank", {"rerank": damaged}).startswith("after k-reciprocal re-ranking")
    assert "which also uses the gallery (transductive" in other
