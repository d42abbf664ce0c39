"""Searches in a gallery: filters, identities, several images of one person, re-ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vireid.errors import CheckpointError, UsageError
from vireid.evaluation.reranking.k_reciprocal import reranked_distances
from vireid.search.columns import OWN, VECTOR
from vireid.search.exact import NONE, Exclusions, Nearest, search_exact
from vireid.search.filters import any_of
from vireid.search.gallery import Gallery
from vireid.search.index import IndexSettings, read_settings, search_index
from vireid.search.lance_errors import lance_errors

EXACT_BELOW = 50_000  # rows that are searched exactly by default
RERANKED = 100  # images of each list that re-ranking puts in a new order
BY = ("image", "identity")


@dataclass(frozen=True, slots=True)
class Query:
    """One image, or several of one person.

    Args:
        vector: (D,) float32 of length 1.
        ids: of the images; the gallery's images of the same content are not found.
        cameras: of the images, where known.
    """

    vector: np.ndarray
    ids: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What is looked for.

    Args:
        top: results per query.
        where: SQL condition on the gallery's columns.
        min_score: least cosine of a result.
        exclude_same_camera: leave out images of the query's cameras.
        by: ``image``, or ``identity``: of each identity its most similar image only; an image
            whose identity is not known counts as one of its own.
        rerank: put the first 100 images of each list in the order of k-reciprocal re-ranking.
        include_self: a query that is in the gallery may find itself.
    """

    top: int = 10
    where: str = ""
    min_score: float | None = None
    exclude_same_camera: bool = False
    by: str = "image"
    rerank: bool = False
    include_self: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """An image of the gallery that a query found.

    Args:
        score: cosine.
        path: where the image is.
        name: its path as its folder or CSV file names it.
        pid, camid, time: None where not known.
        others: further columns of the gallery.
        distance: of re-ranking; None without it.
    """

    id: str
    score: float
    path: Path
    name: str
    modality: str
    pid: str | None
    camid: str | None
    time: datetime | None
    others: dict[str, Any] = field(default_factory=dict)
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResults:
    """Each query's matches, best first, and how they were found.

    Args:
        settings: of the index; None for exact search.
    """

    matches: list[list[Match]]
    settings: IndexSettings | None = None

    @property
    def method(self) -> str:
        return "exact" if self.settings is None else "approximate"


def fused(queries: Sequence[Query]) -> Query:
    """All images as one person: the mean of their features, brought to length 1.

    Raises:
        UsageError: the features cancel out.
    """
    mean = np.mean([one.vector for one in queries], axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise UsageError("--fuse: the mean of these images' features is zero: query them apart")
    ids = tuple(dict.fromkeys(one for query in queries for one in query.ids))
    cameras = tuple(dict.fromkeys(one for query in queries for one in query.cameras))
    return Query(np.asarray(mean / length, dtype=np.float32), ids, cameras)


def default_method(gallery: Gallery, where: str = "") -> str:
    """``exact`` if fewer than 50,000 rows are left to compare, else ``approximate``."""
    with gallery.filtering(where) as condition, lance_errors(gallery.place):
        rows = gallery.table.count_rows(condition or None)
    return "exact" if rows < EXACT_BELOW else "approximate"


def search(
    gallery: Gallery,
    queries: Sequence[Query],
    options: SearchOptions | None = None,
    *,
    method: str | None = None,
    device: torch.device | str = "cpu",
) -> SearchResults:
    """The gallery's images that are most similar to each query.

    Args:
        method: ``exact``, ``approximate``, or None for ``default_method``; a gallery without an
            index is searched exactly then.
        device: that exact search computes on.
    Raises:
        CheckpointError: the queries have another number of dimensions, or are not finite.
        UsageError: an option that cannot be used, or approximate search without an index.
    """
    asked = options or SearchOptions()
    vectors = _checked(gallery, queries, asked)
    settings = None
    if (method or default_method(gallery, asked.where)) == "approximate":
        settings = read_settings(gallery)
        if settings is None and method == "approximate":
            raise UsageError(
                f"the gallery {gallery.place} has no index for approximate search: make it with "
                "search.py index"
            )
    with gallery.filtering(asked.where) as condition:

        def nearest(count: int) -> Nearest:
            options: dict[str, Any] = {"condition": condition, "exclusions": exclusions}
            if settings is None:
                return search_exact(gallery, vectors, count, device=device, **options)
            return search_index(gallery, vectors, count, settings=settings, **options)

        exclusions = _exclusions(gallery, queries, asked)
        wanted = max(asked.top, RERANKED) if asked.rerank else asked.top
        found = nearest(wanted)
        matches = _matches(gallery, found)
        while asked.by == "identity" and _too_few(matches, wanted, asked.top):
            wanted *= 4
            found = nearest(wanted)
            matches = _matches(gallery, found)
    if asked.rerank:
        matches = [_reranked(gallery, q, one) for q, one in zip(vectors, matches, strict=True)]
    return SearchResults([_chosen(one, asked) for one in matches], settings)


def _checked(gallery: Gallery, queries: Sequence[Query], options: SearchOptions) -> np.ndarray:
    if options.top < 1:
        raise UsageError(f"--top must be at least 1, got {options.top}")
    if options.by not in BY:
        raise UsageError(f"--by {options.by!r} is unknown; choose one of {', '.join(BY)}")
    if options.min_score is not None and not -1 <= options.min_score <= 1:
        raise UsageError(f"--min-score is a cosine from -1 to 1, got {options.min_score}")
    if not queries:
        return np.empty((0, gallery.dim), np.float32)
    sizes = {np.shape(one.vector) for one in queries}
    if sizes != {(gallery.dim,)}:
        raise CheckpointError(
            f"queries have features of the shapes {sorted(sizes)}, but the gallery "
            f"{gallery.place} has {gallery.dim} numbers per image: they are of another model"
        )
    vectors = np.stack([one.vector for one in queries]).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise CheckpointError("features of a query are not finite numbers")
    return vectors


def _exclusions(gallery: Gallery, queries: Sequence[Query], options: SearchOptions) -> Exclusions:
    """
    Raises:
        UsageError: a query's camera is not known, but its images are to be left out.
    """
    ids = sorted({one for query in queries for one in query.ids})
    known: dict[str, tuple[int, str | None]] = {}
    if ids:
        with lance_errors(gallery.place):
            found = gallery.table.search().where(any_of("id", ids)).select(["id", "camid"])
            table = found.with_row_id(True).limit(None).to_arrow()
        known = {one["id"]: (one["_rowid"], one["camid"]) for one in table.to_pylist()}
    own = {} if options.include_self else {
        k: [known[one][0] for one in query.ids if one in known] for k, query in enumerate(queries)
    }  # fmt: skip
    cameras: list[tuple[str, ...]] = []
    for query in queries if options.exclude_same_camera else ():
        own_cameras = {known[one][1] for one in query.ids if one in known} - {None}
        cameras.append(query.cameras or tuple(sorted(own_cameras)))  # type: ignore[arg-type]
        if not cameras[-1]:
            raise UsageError(
                "--exclude-same-camera: the camera of a query is not known; name it by --camera, "
                "or in the column camid of a CSV file"
            )
    return Exclusions({k: rows for k, rows in own.items() if rows}, cameras)


def _matches(gallery: Gallery, found: Nearest) -> list[list[Match]]:
    columns = [name for name in gallery.schema.names if name != VECTOR]
    there = found.scores > NONE
    rows = np.unique(found.rows[there]).tolist()
    known: dict[int, dict[str, Any]] = {}
    if rows:
        with lance_errors(gallery.place):
            table = gallery.table.take_row_ids(rows).select(columns).with_row_id().to_arrow()
        known = {one.pop("_rowid"): one for one in table.to_pylist()}
    return [
        [_match(gallery, known[row], score) for row, score in zip(ids, scores, strict=True)
         if score > NONE]
        for ids, scores in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    ]  # fmt: skip


def _match(gallery: Gallery, row: dict[str, Any], score: float) -> Match:
    own = {name: row[name] for name in OWN if name not in ("path", "name")}
    others = {name: value for name, value in row.items() if name not in OWN}
    path = gallery.path_of(row["path"])
    return Match(score=score, path=path, name=row["name"] or row["path"], others=others, **own)


def _too_few(matches: list[list[Match]], wanted: int, top: int) -> bool:
    """Whether a list longer than ``wanted`` may have identities that are missing yet."""
    return any(len(one) == wanted and len(_by_identity(one)) < top for one in matches)


def _by_identity(matches: Sequence[Match]) -> list[Match]:
    """The first image of each identity."""
    first: dict[object, Match] = {}
    for one in matches:
        first.setdefault(("pid", one.pid) if one.pid is not None else one.id, one)
    return list(first.values())


def _reranked(gallery: Gallery, vector: np.ndarray, matches: Sequence[Match]) -> list[Match]:
    """The first matches in the order of k-reciprocal re-ranking, then the others."""
    head, rest = matches[:RERANKED], matches[RERANKED:]
    if len(head) < 2:
        return list(matches)
    table = gallery.rows(["id", VECTOR], any_of("id", [one.id for one in head]))
    found = dict(zip(table["id"].to_pylist(), table[VECTOR].to_pylist(), strict=True))
    features = np.array([found[one.id] for one in head], dtype=np.float32)
    distances = reranked_distances(vector[None], features)[0]
    order = np.argsort(distances, kind="stable")
    return [*(replace(head[k], distance=float(distances[k])) for k in order), *rest]


def _chosen(matches: list[Match], options: SearchOptions) -> list[Match]:
    least = options.min_score
    kept = [one for one in matches if least is None or one.score >= least]
    kept = _by_identity(kept) if options.by == "identity" else kept
    return kept[: options.top]
