import numpy as np
import pytest

from vireid.evaluation.evaluate import evaluate, evaluate_reranked
from vireid.evaluation.protocols import PROTOCOLS
from vireid.evaluation.reranking import k_reciprocal
from vireid.evaluation.reranking.k_reciprocal import reranked_distances
from vireid.structures import FeatureSet


def loop(
    queries: np.ndarray, gallery: np.ndarray, metric: str, k1: int, k2: int, weight: float
) -> np.ndarray:
    """The paper's definitions, one image at a time, with sets."""
    both = np.concatenate([queries, gallery]).astype(np.float64)
    if metric == "cosine":
        both /= np.linalg.norm(both, axis=1, keepdims=True)
    count = len(both)
    plain = np.array([[((a - b) ** 2).sum() for b in both] for a in both])
    ranked = [sorted(range(count), key=lambda j, i=i: (j != i, plain[i, j])) for i in range(count)]
    plain /= plain.max(axis=1, keepdims=True)

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranked[i][: k + 1] if i in ranked[j][: k + 1]}

    encoded = np.zeros((count, count))
    for i in range(count):
        neighbours = reciprocal(i, k1)
        expanded = set(neighbours)
        for j in neighbours:
            small = reciprocal(j, round(k1 / 2))
            if 3 * len(small & neighbours) > 2 * len(small):
                expanded |= small
        for j in expanded:
            encoded[i, j] = np.exp(-plain[i, j])
        encoded[i] /= encoded[i].sum()
    encoded = np.array(
        [np.mean([encoded[j] for j in ranked[i][:k2]], axis=0) for i in range(count)]
    )
    result = np.empty((len(queries), len(gallery)))
    for q in range(len(queries)):
        for g in range(len(gallery)):
            a, b = encoded[q], encoded[len(queries) + g]
            jaccard = 1 - np.minimum(a, b).sum() / np.maximum(a, b).sum()
            result[q, g] = (1 - weight) * jaccard + weight * plain[q, len(queries) + g]
    return result


def clusters(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((6, 8))[np.arange(count) % 6]
    return centers + 0.8 * rng.standard_normal((count, 8))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (6, 3), (4, 1), (50, 6), (9, 60)])
def test_distances_equal_a_plain_loop(metric: str, k1: int, k2: int):
    for seed in range(2):
        rows = clusters(seed, 45)
        found = reranked_distances(rows[:18], rows[18:], metric=metric, k1=k1, k2=k2, weight=0.3)
        np.testing.assert_allclose(
            found, loop(rows[:18], rows[18:], metric, k1, k2, 0.3), atol=2e-6
        )


def test_copies_of_an_image_equal_a_plain_loop():
    rows = np.tile(clusters(3, 12), (3, 1))
    found = reranked_distances(rows[:10], rows[10:], metric="euclidean", k1=5, k2=3)
    np.testing.assert_allclose(found, loop(rows[:10], rows[10:], "euclidean", 5, 3, 0.3), atol=2e-6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rows = clusters(1, 40)
    whole = reranked_distances(rows[:15], rows[15:])
    monkeypatch.setattr(k_reciprocal, "CHUNK", 7)
    np.testing.assert_allclose(reranked_distances(rows[:15], rows[15:]), whole, atol=1e-6)


def test_scale_of_the_features_changes_nothing():
    rows = clusters(2, 40)
    for metric in ("cosine", "euclidean"):
        one = reranked_distances(rows[:15], rows[15:], metric=metric)
        other = reranked_distances(100 * rows[:15], 100 * rows[15:], metric=metric)
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_weight_one_is_the_plain_ranking():
    rows = clusters(4, 30)
    found = reranked_distances(rows[:10], rows[10:], metric="euclidean", weight=1.0)
    gaps = ((rows[:10, None] - rows[None, 10:]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.argsort(axis=1), gaps.argsort(axis=1))


def test_neighbourhoods_help_where_a_chain_joins_two_clusters():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(12), 12)
    modality = np.tile([0, 1], 72).astype(np.uint8)
    features = rng.standard_normal((12, 16))[pids] + 0.9 * rng.standard_normal((144, 16))
    paths = np.array([f"{k:03d}.jpg" for k in range(144)])
    images = FeatureSet(features, pids, modality.astype(np.int64) + 1, modality, paths)
    protocol = PROTOCOLS["regdb_v2t"]
    (plain,), (again,) = evaluate(protocol, images), evaluate_reranked(protocol, images)
    assert again.metrics["mAP"] > plain.metrics["mAP"] + 0.02
    assert (again.num_query, again.num_gallery) == (72, 72)
