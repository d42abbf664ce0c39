"""An independent evaluation in plain Python, one query at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vireid.evaluation.evaluate import TrialScores
from vireid.structures import FeatureSet


def distance(a: np.ndarray, b: np.ndarray, metric: str) -> float:
    pairs = [(float(x), float(y)) for x, y in zip(a, b, strict=True)]
    if metric == "euclidean":
        return math.sqrt(sum((x - y) ** 2 for x, y in pairs))
    lengths = math.sqrt(sum(x * x for x, _ in pairs)) * math.sqrt(sum(y * y for _, y in pairs))
    return -sum(x * y for x, y in pairs) / lengths


def loop_trial(
    images: FeatureSet,
    queries: Sequence[int],
    gallery: Sequence[int],
    *,
    unit: str,
    own_camera: bool = False,
    same_room: bool = False,
    metric: str = "euclidean",
) -> TrialScores:
    """Scores of one gallery.

    Args:
        queries, gallery: rows of ``images``; the gallery in the order of ties.
        unit: of the CMC, ``identity`` or ``image``.
        own_camera: images of the query's identity and camera are left out.
        same_room: images of camera 2 are left out for queries of camera 3.
    """
    pids, camids = images.pids.tolist(), images.camids.tolist()
    precisions, penalties, firsts, lengths = [], [], [], []
    for q in queries:
        kept = []
        for g in gallery:
            own = own_camera and (pids[g], camids[g]) == (pids[q], camids[q])
            if not own and not (same_room and (camids[q], camids[g]) == (3, 2)):
                kept.append((distance(images.features[q], images.features[g], metric), g))
        kept.sort(key=lambda pair: pair[0])
        ids = [pids[g] for _, g in kept]
        ranks = [rank for rank, pid in enumerate(ids, start=1) if pid == pids[q]]
        if ranks:
            precisions.append(sum(k / rank for k, rank in enumerate(ranks, start=1)) / len(ranks))
            penalties.append(len(ranks) / ranks[-1])
            listed = list(dict.fromkeys(ids)) if unit == "identity" else ids
            firsts.append(listed.index(pids[q]) + 1)
            lengths.append(len(listed))
    scored = len(firsts)
    curve = [sum(f <= k for f in firsts) / scored for k in range(1, min(50, *lengths, 50) + 1)]
    metrics = {f"rank{k}": sum(f <= k for f in firsts) / scored for k in (1, 5, 10, 20)}
    metrics |= {"mAP": sum(precisions) / scored, "mINP": sum(penalties) / scored}
    return TrialScores(metrics, np.array(curve), len(queries), scored, len(gallery))


def assert_scores_equal(
    found: TrialScores, expected: TrialScores, tolerance: float = 1e-12
) -> None:
    np.testing.assert_allclose(
        list(found.metrics.values()), list(expected.metrics.values()), rtol=0, atol=tolerance
    )
    assert list(found.metrics) == list(expected.metrics)
    np.testing.assert_allclose(found.cmc, expected.cmc, rtol=0, atol=tolerance)
    counts = "num_query", "num_valid_query", "num_gallery"
    assert [getattr(found, c) for c in counts] == [getattr(expected, c) for c in counts]
