"""Makes the index of approximate search, and measures how it is to be searched."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from vireid.errors import UsageError
from vireid.search.approximate import (
    INDEX,
    META,
    Index,
    IndexedGallery,
    IndexSettings,
    Opened,
    require_faiss,
)
from vireid.search.exact import search_exact, use_threads
from vireid.search.gallery_disk import commit, locked

FEWEST = 1000  # images: below, exact search is as fast
VARIANCE = 0.85  # of the vectors that the directions kept hold together
STEP = 32  # numbers of directions are multiples of this
PER_LIST, ROUNDS = 64, 10  # vectors that learn a list's centre, and how often
CHUNK = 65_536  # rows added at once
SAMPLE = 256  # queries at most that measure the recall
FACTORS = (1, 2, 5, 10, 15, 20, 30, 50, 100)  # candidates per result
RANDOM_READ = 4  # a candidate's vector costs as much as so many times its bytes in a row


def build_index(
    gallery: IndexedGallery,
    *,
    queries: np.ndarray | None = None,
    recall: float = 0.95,
    top: int = 10,
    threads: int | None = None,
    seed: int = 0,
) -> Index:
    """An index of all images, saved in the gallery's folder.

    Args:
        queries: (Q, D) that the recall is measured with, best of the modality that will search;
            None takes images of the gallery, each without itself among its results.
        recall: share of the ``top`` results of exact search that is to be found; if no parameters
            reach it, the best ones are taken, and the setting says what they find.
        seed: of the vectors that learn the lists, and of the queries.
    Raises:
        UsageError: faiss is missing, the gallery holds too few images, or is being written.
    """
    require_faiss()
    if len(gallery) < FEWEST:
        raise UsageError(
            f"the gallery {gallery.folder} holds {len(gallery):,} images; approximate search needs "
            f"{FEWEST:,}: search it exactly, which takes no longer"
        )
    if not 0 < recall <= 1:
        raise UsageError(f"the recall asked for must be above 0 and at most 1, got {recall}")
    with use_threads(threads):
        index = _learn(gallery, seed)
        setting = _measure(gallery, index, queries, recall=recall, top=top, seed=seed)
    gallery.index = Index(gallery, index, _save(gallery, index, setting))
    return gallery.index


def _learn(gallery: IndexedGallery, seed: int) -> Opened:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    live = np.flatnonzero(~gallery.files.removed)
    power = round(math.log2(4 * math.sqrt(len(live))))
    lists = max(1, min(2**power, len(live) // 39))
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(live, min(len(live), PER_LIST * lists), replace=False))
    directions = _directions(gallery.files.vectors, sample[:: max(1, len(sample) // CHUNK)])
    dim, kept = directions.shape[1], len(directions)
    metric = faiss.METRIC_INNER_PRODUCT
    coarse = faiss.IndexFlatIP(kept)
    fine = faiss.IndexIVFPQFastScan(coarse, kept, lists, kept, 4, metric)
    fine.by_residual = False
    fine.cp.niter, fine.cp.seed, fine.cp.max_points_per_centroid = ROUNDS, seed + 1, PER_LIST
    fine.cp.min_points_per_centroid = 1
    projected = [directions @ part.T for part in _parts(gallery, sample)]
    fine.train(np.ascontiguousarray(np.hstack(projected).T))
    for rows in np.array_split(live, max(1, len(live) // CHUNK)):
        part = gallery.files.vectors[rows].astype(np.float32) @ directions.T
        fine.add_with_ids(np.ascontiguousarray(part), rows.astype(np.int64))
    turn = faiss.LinearTransform(dim, kept, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(directions).ravel(), turn.A)
    turn.is_trained = True
    whole = faiss.IndexPreTransform(turn, fine)
    return Opened(whole, fine, turn, coarse)


def _parts(gallery: IndexedGallery, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), CHUNK):
        yield gallery.files.vectors[rows[start : start + CHUNK]].astype(np.float32)


def _directions(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(r, D) float32 rows of length 1: where the vectors reach farthest from zero, not from their
    mean, because products are to be kept."""
    chosen = vectors[rows].astype(np.float64)
    values, directions = np.linalg.eigh(chosen.T @ chosen)
    share = np.cumsum(values[::-1]) / max(values.sum(), 1e-300)
    enough = int(np.searchsorted(share, VARIANCE)) + 1
    kept = min(len(values), STEP * math.ceil(enough / STEP))
    return np.ascontiguousarray(directions[:, ::-1][:, :kept].T, dtype=np.float32)


def _measure(
    gallery: IndexedGallery,
    index: Opened,
    queries: np.ndarray | None,
    *,
    recall: float,
    top: int,
    seed: int,
) -> IndexSettings:
    """The cheapest parameters that reach the recall by more than its standard error."""
    rng, files = np.random.default_rng(seed), gallery.files
    own = np.empty(0, dtype=np.int64)
    if queries is None:
        own = rng.choice(np.flatnonzero(~files.removed), SAMPLE)
        queries, asked = files.vectors[own].astype(np.float32), "images of the gallery"
    else:
        queries, asked = queries[rng.permutation(len(queries))[:SAMPLE]], "queries"
    fine, extra = index.fine, int(len(own) > 0)
    exact = _without(search_exact(files, queries, top + extra).rows, own, top)
    lists = fine.nlist
    tried = {round(2 ** (n / 2)) for n in range(int(2 * math.log2(lists)) + 1)} | {lists}
    grid = [(probes, factor) for probes in sorted(tried) for factor in FACTORS]
    cost = {pair: _cost(gallery, fine, top, *pair) for pair in grid}
    digest, found = gallery.digest(), []
    unmeasured = IndexSettings(digest, "", lists, 1, 1, fine.d, top, 0, recall, 0, asked)
    trial = Index(gallery, index, unmeasured)
    for probes, factor in sorted(grid, key=cost.__getitem__):
        got = _without(trial.look(queries, top + extra, probes, factor).rows, own, top)
        each = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(got, exact, strict=True)]
        mean, error = float(np.mean(each)), float(np.std(each) / math.sqrt(len(each)))
        found.append((mean, probes, factor))
        if min(1.0, recall + error) <= mean:
            break
    else:
        mean, probes, factor = max(found, key=lambda one: one[0])
    return replace(unmeasured, probes=probes, factor=factor, recall=mean, queries=len(queries))


def _without(rows: np.ndarray, own: np.ndarray, top: int) -> np.ndarray:
    """(Q, top) rows without each query's own."""
    if not len(own):
        return rows
    kept = [line[line != one][:top] for line, one in zip(rows, own, strict=True)]
    return np.stack([np.pad(k, (0, top - len(k)), constant_values=-1) for k in kept])


def _cost(gallery: IndexedGallery, fine: Any, top: int, probes: int, factor: int) -> float:
    """Bytes that a query reads, about."""
    codes = len(gallery) * probes / fine.nlist * fine.d / 2
    item = gallery.files.vectors.dtype.itemsize
    return codes + top * factor * gallery.dim * item * RANDOM_READ


def _save(gallery: IndexedGallery, index: Opened, setting: IndexSettings) -> IndexSettings:
    import faiss

    folder, content = gallery.folder, faiss.serialize_index(index.whole).tobytes()
    setting = replace(setting, file=hashlib.sha256(content).hexdigest())
    try:
        with locked(folder):
            (folder / META).unlink(missing_ok=True)
            commit(folder / INDEX, content)
            commit(folder / META, json.dumps(asdict(setting), indent=1).encode())
    except OSError as error:
        raise UsageError(f"cannot write {folder / INDEX}: {error.strerror}") from error
    return setting
