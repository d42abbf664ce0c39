"""Search results as a figure: query images, and the gallery images that each of them found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vireid.figures.image_rows import RIGHT, WRONG, Box, ImageCell, ImageRow, draw_rows
from vireid.structures import Modality

QUERIES, NEAREST = 8, 10  # most queries in a figure, and of each its nearest images
NAME_LINES = 8  # below an image; a name that needs more of them loses its middle


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A gallery image that a query found.

    Args:
        path: where the image is.
        score: how alike it is; 1 at most.
        identity: None if it is not known.
        same: whether it shows the query's identity; None if one of the two is not known.
        box: the person in a photo, (x0, y0, x1, y1) pixels; None: the whole image.
    """

    path: Path
    score: float
    identity: str | None = None
    same: bool | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A query image and what it found, nearest first."""

    path: Path
    name: str
    results: Sequence[SearchResult]
    box: Box | None = None


def draw_search_results(
    queries: Sequence[SearchQuery], path: Path, *, modality: Modality, score: str = "cosine"
) -> None:
    """A row for each of the first queries with the nearest images, their ranks and scores.

    Frames show which images are of the query's identity, where that is known.

    Args:
        modality: of the queries.
        score: what the scores are.
    Raises:
        DataError: an image is missing or cannot be read.
    """
    rows = []
    for query in queries[:QUERIES]:
        asked = ImageCell(query.path, ("query", modality.name.lower()), box=query.box)
        rows.append(ImageRow((query.name,), [asked, *_cells(query.results[:NEAREST])]))
    meanings = {"same identity": RIGHT, "another identity": WRONG}
    note = f"below each image: its rank, its score ({score}), its identity if known, its file"
    draw_rows(rows, path, title="nearest gallery images", meanings=meanings, notes=[note])


def _cells(results: Sequence[SearchResult]) -> Iterator[ImageCell]:
    names = _shortest_names([one.path for one in results])
    for rank, (one, name) in enumerate(zip(results, names, strict=True), start=1):
        text = [f"rank {rank}", f"{one.score:.3f}"]
        text += [] if one.identity is None else [f"id {one.identity}"]
        text.append(name)
        mark = None if one.same is None else RIGHT if one.same else WRONG
        yield ImageCell(one.path, text, mark, lines=NAME_LINES, box=one.box)


def _shortest_names(paths: Sequence[Path]) -> Iterator[str]:
    """Of each path its file's name, with as many folders as distinguish it from the others."""
    for path in paths:
        others = [other for other in paths if other != path]
        counts = range(1, len(path.parts) + 1)
        distinct = (n for n in counts if all(o.parts[-n:] != path.parts[-n:] for o in others))
        yield "/".join(path.parts[-next(distinct, len(path.parts)) :])
