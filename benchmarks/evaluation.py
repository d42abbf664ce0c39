"""Times the evaluator against the usual loop over queries, on the same random features.

    python benchmarks/evaluation.py --set sysu
    python benchmarks/evaluation.py --set llcm --loop-trials 1

Prints both times, their ratio, the evaluator's peak memory, and how far apart the scores are.
Image counts are those of the data sets' test halves. SYSU-MM01's galleries are drawn by
``--permutations`` (a test_id.mat is expected beside it) or, without, by random permutations.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from vireid.evaluation.evaluate import TrialScores, evaluate_all
from vireid.evaluation.protocols import RetrievalProtocol, expand
from vireid.evaluation.query_gallery import Permutations, draw_images, read_permutations
from vireid.structures import FeatureSet

Counts = dict[tuple[int, int, int], int]  # (modality, camera, identity) → images

SYSU = {1: (56, 1374), 2: (56, 1565), 3: (93, 1883), 4: (94, 1918), 5: (95, 1918), 6: (96, 1920)}
SYSU_INFRARED = (3, 6)
LLCM_IDENTITIES = 351
LLCM = {0: (range(1, 10), 8680), 1: ((1, 2, 4, 5, 6, 7, 8, 9), 7166)}  # modality → cameras, images
NAMES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def sysu_counts(permutations: Path | None) -> Counts:
    """Images of every test identity: the published numbers, or their totals shared out evenly."""
    if permutations is None:
        numbers = {}
        for camera, (identities, images) in SYSU.items():
            for pid in range(identities):
                numbers[camera, pid + 1] = (images + pid) // identities
    else:
        test = set(loadmat(permutations.with_name("test_id.mat"))["id"].ravel().tolist())
        known = read_permutations(permutations)
        numbers = {key: rows.shape[1] for key, rows in known.items() if key[1] in test}
    return {(int(c in SYSU_INFRARED), c, pid): n for (c, pid), n in numbers.items()}


def llcm_counts(rng: np.random.Generator) -> Counts:
    """The published totals; which identity passes which camera is random."""
    counts = {}
    for modality, (cameras, images) in LLCM.items():
        folders = [(c, pid) for pid in range(LLCM_IDENTITIES) for c in cameras]
        folders = [folder for folder in folders if rng.random() < 0.58]
        for k, (camera, pid) in enumerate(folders):
            counts[modality, camera, pid] = (images + k) // len(folders)
    return counts


def random_features(counts: Counts, dim: int, dtype: str) -> FeatureSet:
    """Identity vectors with noise: scores between chance and certainty."""
    rng = np.random.default_rng(1)
    rows = [(*key, k) for key, number in sorted(counts.items()) for k in range(number)]
    modality, camids, pids, _ = (np.array(column) for column in zip(*rows, strict=True))
    features = rng.standard_normal((len(rows), dim), dtype=np.float32)
    features *= 0.5 * dim**0.5
    features += rng.standard_normal((pids.max() + 1, dim), dtype=np.float32)[pids]
    return FeatureSet(
        features=features.astype(dtype),
        pids=pids,
        camids=camids,
        modality=modality.astype(np.uint8),
        paths=np.array([f"{m}/cam{c}/{pid:04d}/{k:04d}.jpg" for m, c, pid, k in rows]),
    )


def random_permutations(counts: Counts) -> Permutations:
    rng = np.random.default_rng(2)
    return {
        (camera, pid): np.stack([rng.permutation(n) + 1 for _ in range(10)])
        for (_, camera, pid), n in counts.items()
    }


def loop_trial(
    protocol: RetrievalProtocol, queries: FeatureSet, gallery: FeatureSet, style: str
) -> dict[str, float]:
    """One gallery's scores by the usual loop: each query's list is sorted, cut and counted."""
    a, b = (part.features.astype(np.float64) for part in (queries, gallery))
    a, b = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (a, b))
    similarity = a @ b.T
    cmc, precisions, penalties = [], [], []
    for q in range(len(queries)):
        pid, camid = queries.pids[q], queries.camids[q]
        order = np.argsort(-similarity[q], kind="stable")
        pids, camids = gallery.pids[order], gallery.camids[order]
        removed = np.zeros(len(order), dtype=bool)
        for query_camera, gallery_camera in protocol.ignored_cameras:
            removed |= (camid == query_camera) & (camids == gallery_camera)
        if protocol.drops_own_camera:
            removed |= (pids == pid) & (camids == camid)
        pids = pids[~removed]
        hits = pids == pid
        if not hits.any():
            continue
        found = np.cumsum(hits)
        if style == "usual":  # entry by entry, as AGW's, torchreid's and fast-reid's loops do it
            precision = np.array([n / rank for rank, n in enumerate(found, start=1)])
        else:
            precision = found / np.arange(1, len(hits) + 1)
        precisions.append(precision[hits].mean())
        penalties.append(hits.sum() / (np.flatnonzero(hits)[-1] + 1))
        _, firsts = np.unique(pids, return_index=True)
        once = pids[np.sort(firsts)] == pid
        cmc.append(np.cumsum(np.pad(once, (0, max(0, 20 - len(once)))))[:20])
    curve = np.mean(cmc, axis=0)
    ranks = {f"rank{k}": curve[k - 1] for k in (1, 5, 10, 20)}
    return {**ranks, "mAP": np.mean(precisions), "mINP": np.mean(penalties)}


def time_loop(
    protocols: Sequence[RetrievalProtocol],
    features: FeatureSet,
    permutations: Permutations | None,
    found: Mapping[str, Sequence[TrialScores]],
    trials: int,
    style: str,
) -> tuple[float, float]:
    """Seconds that the loop takes for all trials, and the largest difference of a score."""
    seconds, gap = 0.0, 0.0
    for protocol in protocols:
        start = time.perf_counter()
        queries = features.subset(features.modality == int(protocol.query_modality))
        chosen = features.modality == int(protocol.gallery_modality)
        if protocol.gallery_cameras:
            chosen &= np.isin(features.camids, sorted(protocol.gallery_cameras))
        candidates = features.subset(chosen)
        for trial, rows in enumerate(draw_images(protocol, candidates, permutations)):
            if trial < trials:
                scores = loop_trial(protocol, queries, candidates.subset(rows), style)
                mine = found[protocol.name][trial].metrics
                gap = max(gap, *(abs(scores[name] - mine[name]) for name in NAMES))
        seconds += (time.perf_counter() - start) * protocol.gallery_trials / trials
    return seconds, gap


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--set", choices=("sysu", "llcm"), default="sysu")
    line.add_argument("--dim", type=int, default=3328)
    line.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    line.add_argument("--permutations", type=Path, metavar="FILE")
    line.add_argument(
        "--loop",
        choices=("usual", "numpy"),
        default="usual",
        help="precision entry by entry in Python, as usual, or by numpy",
    )
    line.add_argument("--loop-trials", type=int, default=10, help="timed of ten; 0: no loop")
    args = line.parse_args()
    sysu = args.set == "sysu"
    counts = sysu_counts(args.permutations) if sysu else llcm_counts(np.random.default_rng(0))
    features = random_features(counts, args.dim, args.dtype)
    permutations = random_permutations(counts) if sysu else None
    if args.permutations:
        permutations = read_permutations(args.permutations)
    protocols = expand([args.set])
    start = time.perf_counter()
    found = evaluate_all(protocols, features, permutations=permutations)
    fast = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    for name, trials in found.items():
        mean = {key: np.mean([trial.metrics[key] for trial in trials]) for key in NAMES}
        print(name, " ".join(f"{key} {value:.4f}" for key, value in mean.items()))
    print(f"evaluator {fast:8.2f} s, ten trials of each protocol; peak memory {peak:.2f} GiB")
    if args.loop_trials:
        trials, style = args.loop_trials, args.loop
        slow, gap = time_loop(protocols, features, permutations, found, trials, style)
        print(
            f"loop      {slow:8.2f} s, {slow / fast:.1f} times as long; scores differ by {gap:.0e}"
        )


if __name__ == "__main__":
    main()
