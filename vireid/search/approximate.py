"""Approximate search: faiss finds candidates, whose vectors then decide.

The index holds of each vector its main directions, four bits each, in lists of near vectors. A
search looks into the lists nearest to the query, takes the best candidates, and ranks them by their
vectors in the gallery. How many lists and candidates that takes is measured against exact search.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from vireid.errors import CheckpointError, UsageError
from vireid.search.codes import Queries
from vireid.search.exact import SearchResults, use_threads
from vireid.search.gallery_files import GalleryFiles
from vireid.search.prefilter import rank_exactly

INSTALL = "pip install 'vireid[faiss]'"
META, INDEX = "approximate.json", "approximate.faiss"
BATCH, CANDIDATES = 32, 2**16  # queries whose candidates are compared at once, and these


class IndexedGallery(Protocol):
    """The part of a gallery that its index uses."""

    folder: Path
    files: GalleryFiles
    index: Index | None

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index is searched, and what that finds.

    Args:
        digest: of the gallery that the index was made of.
        file: SHA-256 of the index's file: faiss believes what it reads, and may die of it.
        lists, probes: lists in all, and looked into.
        factor: candidates per result.
        directions: of the vectors.
        recall: share of the exact ``top`` results that was found.
        queries, asked: how many queries measured that, and what they were.
    """

    digest: str
    file: str
    lists: int
    probes: int
    factor: int
    directions: int
    top: int
    recall: float
    wanted: float
    queries: int
    asked: str

    @property
    def is_possible(self) -> bool:
        """Whether its values are such as are measured."""
        counts = (self.probes, self.lists, self.factor, self.directions, self.top, self.queries)
        words = (self.digest, self.file, self.asked)
        return (
            all(type(count) is int and 1 <= count < 2**31 for count in counts)
            and all(type(word) is str for word in words)
            and 0 <= self.recall <= 1
        )

    def __str__(self) -> str:
        return (
            f"recall@{self.top} {self.recall:.3f} against exact search ({self.queries} {self.asked}"
            f"); looks into {self.probes} of {self.lists} lists, {self.directions} directions, "
            f"{self.factor} candidates per result"
        )


class Opened:
    """An index of faiss.

    Args:
        whole: what searches.
        fine: the lists in it, of their own type.
        parts: what Python made of it, which faiss does not keep alive.
    """

    def __init__(self, whole: Any, fine: Any, *parts: Any) -> None:
        self.whole, self.fine, self._parts = whole, fine, parts


class Index:
    """An index over a gallery, of ``approximate_build.build_index`` or ``open_index``."""

    def __init__(self, gallery: IndexedGallery, index: Opened, setting: IndexSettings) -> None:
        self.gallery, self.setting, self._index = gallery, setting, index
        self._files = gallery.files

    def search(
        self, queries: np.ndarray, top: int = 10, *, threads: int | None = None
    ) -> SearchResults:
        """As ``gallery.Gallery.search``.

        Raises:
            UsageError: the gallery was changed.
        """
        if self.gallery.files is not self._files:
            raise UsageError(
                f"the gallery {self.gallery.folder} was changed since this index was made or "
                "opened: open it again, or make another"
            )
        setting, top = self.setting, min(top, len(self.gallery))
        with use_threads(threads):
            return self.look(queries, top, setting.probes, setting.factor)

    def look(self, queries: np.ndarray, top: int, probes: int, factor: int) -> SearchResults:
        """A search by other parameters than the measured ones."""
        import faiss

        self._index.fine.nprobe = probes
        faiss.omp_set_num_threads(torch.get_num_threads())
        single = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = min(top * factor, len(self.gallery))
        _, candidates = self._index.whole.search(single, wanted)
        return _rank(self.gallery.files.vectors, single, candidates, top)


def _rank(
    vectors: np.ndarray, single: np.ndarray, candidates: np.ndarray, top: int
) -> SearchResults:
    """The best of (Q, R) candidates by their vectors; -1 is none."""
    queries, keep = Queries.of(single), min(top + 2, candidates.shape[1])
    near = np.empty((len(single), keep), dtype=np.int64)
    batch = max(1, min(BATCH, CANDIDATES // candidates.shape[1]))
    for start in range(0, len(single), batch):
        part = candidates[start : start + batch]
        chosen = vectors[np.maximum(part, 0)].astype(np.float32, copy=False)
        columns = torch.from_numpy(single[start : start + batch])[:, :, None]
        values = torch.bmm(torch.from_numpy(chosen), columns)[:, :, 0].numpy()
        values[part < 0] = -np.inf
        best = np.argpartition(-values, keep - 1, axis=1)[:, :keep]
        near[start : start + batch] = np.take_along_axis(part, best, axis=1)
    asking, place = np.nonzero(near >= 0)
    asking, rows, scores = rank_exactly(vectors, queries, asking, near[asking, place], top)
    found = SearchResults(np.full((len(single), top), -1), np.full((len(single), top), -np.inf))
    starts = np.searchsorted(asking, np.arange(len(single)))
    place = np.arange(len(asking)) - starts[asking]
    found.rows[asking, place], found.scores[asking, place] = rows, scores
    return found


def open_index(gallery: IndexedGallery) -> Index:
    """The index that was made of a gallery.

    Raises:
        CheckpointError: it is damaged.
        UsageError: there is none, or it is one of an earlier content; faiss is missing.
    """
    require_faiss()
    import faiss

    setting = read_index_settings(gallery)
    if setting is None:
        raise UsageError(
            f"the gallery {gallery.folder} has no index, or was changed since that was made: make "
            "one with: python tools/search.py index"
        )
    path = gallery.folder / INDEX
    try:
        content = np.fromfile(path, dtype=np.uint8)
        if hashlib.sha256(content.data).hexdigest() != setting.file:
            raise ValueError("it is not as it was written")
        index: Any = faiss.deserialize_index(content)
        fine: Any = faiss.downcast_index(index.index)
        if (index.d, fine.ntotal, fine.nlist) != (gallery.dim, len(gallery), setting.lists):
            raise ValueError(f"{fine.ntotal} vectors of {index.d} numbers")
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1][:120]
        raise CheckpointError(
            f"{path} is damaged ({reason}): delete it and make it again"
        ) from error
    return Index(gallery, Opened(index, fine), setting)


def read_index_settings(gallery: IndexedGallery) -> IndexSettings | None:
    """What the gallery's index was measured to find; None if it has none of its present content."""
    try:
        content = json.loads((gallery.folder / META).read_text(encoding="utf-8"))
        setting = IndexSettings(
            **{field.name: content[field.name] for field in fields(IndexSettings)}
        )
        usable = setting.is_possible
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return setting if usable and setting.digest == gallery.digest() else None


def require_faiss() -> None:
    """
    Raises:
        UsageError: it is not installed; names the command that installs it.
    """
    if find_spec("faiss") is None:
        raise UsageError(f"approximate search needs faiss; install it with: {INSTALL}")
