"""Ranks by cosine distance where float32 does not decide which candidate is nearer."""

import numpy as np
import pytest

from vireid.evaluation import sorting
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.protocols import PROTOCOLS, RetrievalProtocol
from vireid.evaluation.query_gallery import without_features
from vireid.evaluation.ranking import Ranks, rank_matches
from vireid.evaluation.sorting import cosine_sorting, stable_sorting
from vireid.structures import FeatureSet

SYSU, LLCM, CSV = (PROTOCOLS[name] for name in ("sysu_all_multi", "llcm_v2n", "csv_v2i"))
QUERIES, CANDIDATES, DIM, TRIALS = 24, 160, 300, 5


def plain(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((CANDIDATES, DIM))


def copies(rng: np.random.Generator) -> np.ndarray:
    """Thirty vectors, each several times: of any identity."""
    return plain(rng)[rng.integers(0, 30, CANDIDATES)]


def nearly_copies(rng: np.random.Generator) -> np.ndarray:
    return copies(rng) * (1 + 1e-9 * rng.standard_normal((CANDIDATES, DIM)))


def some_nearly_copies(rng: np.random.Generator) -> np.ndarray:
    """Pairs of near ties, exact ties among them, and vectors that stand alone."""
    rows = plain(rng)
    rows[1::4] = rows[::4] * (1 + 1e-9 * rng.standard_normal((CANDIDATES // 4, DIM)))
    rows[2::8] = rows[::8]
    return rows


def below_float32(rng: np.random.Generator) -> np.ndarray:
    return 1 + 1e-8 * plain(rng)


def with_offset(rng: np.random.Generator) -> np.ndarray:
    return plain(rng) + 300


def equal(rng: np.random.Generator) -> np.ndarray:
    return np.ones((CANDIDATES, DIM))


def signs(rng: np.random.Generator) -> np.ndarray:
    """Of a length and with products that are exact, so ties are."""
    rows = np.zeros((CANDIDATES, DIM))
    rows[:, :16] = np.sign(rng.standard_normal((CANDIDATES, 16)))
    return rows


def empty_rows(rng: np.random.Generator) -> np.ndarray:
    rows = plain(rng)
    rows[::5] = 0
    return rows


def huge_and_tiny(rng: np.random.Generator) -> np.ndarray:
    return plain(rng) * 10.0 ** rng.integers(-100, 100, (CANDIDATES, 1))


KINDS = (plain, copies, nearly_copies, some_nearly_copies, below_float32, with_offset)
KINDS += (equal, signs, empty_rows, huge_and_tiny)


def images(kind, seed: int, dtype: type) -> tuple[FeatureSet, np.ndarray]:
    """Queries, then candidates; and which candidates each trial holds."""
    rng = np.random.default_rng(seed)
    candidates = kind(rng)
    queries = candidates[rng.integers(0, CANDIDATES, QUERIES)]
    if kind is not signs:
        queries = queries + rng.standard_normal((QUERIES, DIM)) * np.abs(queries).mean()
    number = QUERIES + CANDIDATES
    features = FeatureSet(
        features=np.concatenate([queries, candidates]).astype(dtype),
        pids=rng.integers(0, 8, number),
        camids=rng.choice([1, 2, 3], number),
        modality=np.zeros(number, dtype=np.uint8),
        paths=np.arange(number).astype(str),
    )
    return features, rng.random((TRIALS, CANDIDATES)) < 0.6


def ranks(
    protocol: RetrievalProtocol, features: FeatureSet, members: np.ndarray, *, fast: bool = True
) -> Ranks:
    queries, candidates = np.split(np.arange(len(features)), [QUERIES])
    numbers = features.features
    if fast:
        order = cosine_sorting(numbers, features.pids, queries, candidates)
    else:
        order = stable_sorting(distance_rows("cosine", numbers[queries], numbers[candidates]))
    parts = (without_features(features, rows) for rows in (queries, candidates))
    return rank_matches(protocol, *parts, members, order)


def assert_equal(found: Ranks, expected: Ranks) -> None:
    for name in ("precision", "penalty", "first", "length"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("protocol", [SYSU, LLCM, CSV], ids=lambda p: p.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ranks_are_those_of_float64_distances(kind, protocol: RetrievalProtocol, dtype: type):
    if dtype is np.float32 and kind is huge_and_tiny:
        pytest.skip("float32 does not hold such numbers")
    features, members = images(kind, 3, dtype)
    expected = ranks(protocol, features, members, fast=False)
    assert (expected.first > 0).any()
    assert_equal(ranks(protocol, features, members), expected)


def ranks_and_sorted_again(
    features: FeatureSet, members: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> tuple[Ranks, int]:
    """Ranks by LLCM's rules, and the number of queries that a float64 product sorted."""
    sorted_queries = []
    monkeypatch.setattr(
        sorting,
        "stable_order",
        lambda rows: sorted_queries.append(len(rows)) or np.argsort(rows, 1, "stable"),
    )
    return ranks(LLCM, features, members), sum(sorted_queries)


def test_float32_alone_would_miss_these_ranks(monkeypatch: pytest.MonkeyPatch):
    """Otherwise the tests above would show nothing."""
    features, members = images(some_nearly_copies, 3, np.float64)
    expected = ranks(LLCM, features, members, fast=False)
    monkeypatch.setattr(sorting, "MANY", 1.0)
    found, sorted_again = ranks_and_sorted_again(features, members, monkeypatch)
    assert sorted_again == 0
    assert_equal(found, expected)
    no_ties = np.zeros(0, int), np.zeros(0, int), np.zeros(0, int)
    monkeypatch.setattr(sorting, "_near_ties", lambda *_: no_ties)
    assert (ranks(LLCM, features, members).precision != expected.precision).any()


def test_an_underestimated_error_is_noticed(monkeypatch: pytest.MonkeyPatch):
    features, members = images(some_nearly_copies, 4, np.float64)
    expected = ranks(LLCM, features, members, fast=False)
    monkeypatch.setattr(sorting, "SAFETY", 0)
    monkeypatch.setattr(sorting, "LEAST", 1e-8)
    found, sorted_again = ranks_and_sorted_again(features, members, monkeypatch)
    assert sorted_again == QUERIES
    assert_equal(found, expected)


def test_no_query_is_sorted_twice_among_ordinary_features(monkeypatch: pytest.MonkeyPatch):
    _, sorted_again = ranks_and_sorted_again(*images(plain, 5, np.float32), monkeypatch)
    assert sorted_again == 0
