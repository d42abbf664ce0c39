"""Approximate search by LanceDB's IVF_RQ or IVF_PQ index, with the recall that was measured.

The index keeps short codes of the vectors in lists of similar ones. A query looks into the nearest
lists; the best candidates are compared by their full vectors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import Bitmap, IvfPq, IvfRq

from vireid.errors import UsageError
from vireid.search.columns import VECTOR
from vireid.search.exact import NONE, Exclusions, Nearest, search_exact
from vireid.search.filters import both, quoted
from vireid.search.gallery import Gallery
from vireid.search.lance_errors import committed, lance_errors

SETTINGS = "index_settings"  # the table that keeps what was measured
BITS = 128  # numbers per feature from which on one bit of each is kept
LEAST = 1_000  # rows; with fewer, exact search takes milliseconds
MEASURED = 200  # queries that recall is measured with, at most
FILTERED = ("modality", "pid", "camid")  # columns that get an index of their own
PROBES = (5, 10, 20, 50, 100, 200, 400)
REFINES = (5, 10, 20, 50)
GAIN = 0.002  # of recall by more lists, below which they are enough


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How the index is searched, and what that was measured to find.

    Args:
        probes: lists that a query looks into.
        refine: candidates that are compared exactly, as a multiple of the results.
        recall: share of the exact results found, mean over the queries.
        top: results per query that were compared.
        queries: how many measured it.
        rows: images in the gallery at that time.
        given: whether the queries were a user's own images; else they were the gallery's.
    """

    probes: int
    refine: int
    recall: float
    top: int
    queries: int
    rows: int
    given: bool

    def __str__(self) -> str:
        whose = "of your images" if self.given else "images of the gallery"
        return (
            f"recall@{self.top} {self.recall:.3f}, measured with {self.queries} {whose} as queries "
            f"on {self.rows:,} images ({self.probes} lists, refine factor {self.refine})"
        )


def read_settings(gallery: Gallery) -> IndexSettings | None:
    """Those of a gallery that has an index."""
    with lance_errors(gallery.place):
        if not any(VECTOR in one.columns for one in gallery.table.list_indices()):
            return None
        database = lancedb.connect(gallery.place)
        if SETTINGS not in database.list_tables().tables:
            return None
        (row,) = database.open_table(SETTINGS).search().limit(1).to_list()
        if missing := [one.name for one in fields(IndexSettings) if one.name not in row]:
            raise ValueError(f"the table {SETTINGS} lacks {', '.join(missing)}")
    return IndexSettings(**{one.name: row[one.name] for one in fields(IndexSettings)})


def build_index(
    gallery: Gallery,
    *,
    queries: np.ndarray | None = None,
    recall: float = 0.99,
    top: int = 10,
) -> IndexSettings:
    """Makes the index, and finds the fastest settings that reach a recall.

    Args:
        queries: (Q, D) that measure it; None for images of the gallery.
        recall: wanted share of the exact results, by more than the measurement's standard error.
        top: results per query that count.
    Returns:
        the settings, which the gallery keeps; where none reaches the recall, the best.
    Raises:
        UsageError: too few images, or a recall that is no share.
    """
    if not 0 < recall < 1:
        raise UsageError(f"--recall must be between 0 and 1, got {recall}")
    count = len(gallery)
    if count < LEAST:
        raise UsageError(
            f"an index needs {LEAST:,} images, the gallery {gallery.place} holds {count:,}: exact "
            "search takes milliseconds there, leave --approximate out"
        )
    create_index(gallery)
    return measure_index(gallery, queries=queries, recall=recall, top=top)


def measure_index(
    gallery: Gallery,
    *,
    queries: np.ndarray | None = None,
    recall: float = 0.99,
    top: int = 10,
) -> IndexSettings:
    """As ``build_index``, for an index that is there; it may have been made by another program."""
    given = queries is not None
    asked, own = (queries[:MEASURED], {}) if queries is not None else _own_queries(gallery)
    rows = len(gallery)
    settings = _measure(gallery, asked, own, recall=recall, top=top, given=given, rows=rows)
    with lance_errors(gallery.place):
        database = lancedb.connect(gallery.place)
        database.create_table(SETTINGS, data=[asdict(settings)], mode="overwrite")
    return settings


def create_index(gallery: Gallery) -> None:
    """Makes the indexes of the vectors and of the columns that filters use most."""
    config = _config(gallery.dim, len(gallery))

    def create() -> None:
        gallery.table.create_index(VECTOR, config=config, replace=True)
        for column in FILTERED:
            gallery.table.create_index(column, config=Bitmap(), replace=True)

    with lance_errors(gallery.place):
        committed(gallery.table, create)
        gallery.table.checkout_latest()


def _config(dim: int, count: int) -> IvfPq | IvfRq:
    """One bit per number, or, where too few bits come together, one byte for every eight numbers.

    For a million vectors of 512 numbers, the first is made in a tenth of the time and is searched
    faster at the same recall.
    """
    options: dict[str, Any] = {
        "distance_type": "dot",  # of unit vectors: the cosine
        "num_partitions": max(2, round(count**0.5)),
        "sample_rate": 64,
        "max_iterations": 20,
    }
    if dim % 8 == 0 and dim >= BITS:
        return IvfRq(**options)
    parts = max(m for m in range(1, max(dim // 8, 1) + 1) if dim % m == 0)
    return IvfPq(num_sub_vectors=parts, **options)


def _own_queries(gallery: Gallery) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Vectors of images all over the gallery, and the row of each, which must not find itself."""
    count = len(gallery)
    at = np.unique(np.linspace(0, count - 1, min(MEASURED, count), dtype=np.int64))
    with lance_errors(gallery.place):
        found = gallery.table.take_offsets(at.tolist()).select([VECTOR]).with_row_id().to_arrow()
    flat = found[VECTOR].combine_chunks().flatten().to_numpy()
    rows = found["_rowid"].to_pylist()
    return flat.reshape(len(rows), -1), {k: [row] for k, row in enumerate(rows)}


def _measure(
    gallery: Gallery,
    queries: np.ndarray,
    own: dict[int, list[int]],
    *,
    recall: float,
    top: int,
    given: bool,
    rows: int,
) -> IndexSettings:
    exact = search_exact(gallery, queries, top + 1, exclusions=Exclusions(own=own))
    wanted = exact.rows[:, :top]
    tried: list[tuple[float, IndexSettings]] = []
    for refine in REFINES:
        before = 0.0
        for probes in PROBES:
            begun = time.perf_counter()
            settings = IndexSettings(probes, refine, 0.0, top, len(queries), rows, given)
            found = search_index(gallery, queries, top + 1, settings=settings)
            seconds = time.perf_counter() - begun
            shares = [
                len(set(_without(found.rows[k], own.get(k, [])).tolist()[:top]) & set(one)) / top
                for k, one in enumerate(wanted.tolist())
            ]
            settings = IndexSettings(
                probes, refine, float(np.mean(shares)), top, len(queries), rows, given
            )
            tried.append((seconds, settings))
            error = float(np.std(shares)) / len(shares) ** 0.5
            if settings.recall - error >= recall or probes >= max(2, round(rows**0.5)):
                break  # more lists take longer
            if settings.recall - before < GAIN:
                break  # what lacks is candidates, not lists
            before = settings.recall
    good = [one for one in tried if one[1].recall >= recall]
    if good:
        return min(good, key=lambda one: one[0])[1]
    return max(tried, key=lambda one: one[1].recall)[1]


def _without(rows: np.ndarray, own: Sequence[int]) -> np.ndarray:
    return rows[~np.isin(rows, np.asarray(own, dtype=np.int64))]


def search_index(
    gallery: Gallery,
    queries: np.ndarray,
    top: int,
    *,
    settings: IndexSettings,
    condition: str = "",
    exclusions: Exclusions | None = None,
) -> Nearest:
    """The rows that the index finds; see ``search_exact``. Rows added later are compared, too."""
    out = exclusions or Exclusions()
    scores = np.full((len(queries), top), NONE, dtype=np.float32)
    rows = np.zeros((len(queries), top), dtype=np.int64)
    with lance_errors(gallery.place):
        for k, query in enumerate(queries):
            own = out.own.get(k, [])
            cameras = ", ".join(map(quoted, out.cameras[k])) if out.cameras else ""
            other = f"camid IS NULL OR camid NOT IN ({cameras})" if cameras else ""
            where = both(condition, other)
            found = _nearest(gallery, query, top + len(own), settings, where)
            if len(found) < top + len(own):  # a filter leaves few rows: they may be in any list
                found = _nearest(gallery, query, top + len(own), settings, where, everywhere=True)
            ids = found["_rowid"].to_numpy().astype(np.int64)
            kept = np.flatnonzero(~np.isin(ids, np.asarray(own, dtype=np.int64)))[:top]
            rows[k, : len(kept)] = ids[kept]
            scores[k, : len(kept)] = 1 - found["_distance"].to_numpy()[kept]
    return Nearest(scores, rows)


def _nearest(
    gallery: Gallery,
    query: np.ndarray,
    count: int,
    settings: IndexSettings,
    where: str,
    *,
    everywhere: bool = False,
) -> pa.Table:
    asked = gallery.table.search(query, vector_column_name=VECTOR).distance_type("dot")
    asked = asked.nprobes(settings.probes).refine_factor(settings.refine)
    asked = asked.maximum_nprobes(0) if everywhere else asked  # 0: all lists
    asked = asked.where(where, prefilter=True) if where else asked
    return asked.select(["_distance"]).with_row_id(True).limit(count).to_arrow()
