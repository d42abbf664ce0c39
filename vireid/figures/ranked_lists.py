"""Ranked lists as a figure: queries, and their nearest gallery images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid.data.datasets.names import label_of
from vireid.data.tracks import evenly_spaced
from vireid.errors import DataError, UsageError
from vireid.evaluation.ranked_lists import GalleryRanking, RankedList
from vireid.figures.image_rows import (
    REMOVED,
    RIGHT,
    WRONG,
    ImageCell,
    ImageRow,
    Mark,
    draw_rows,
)
from vireid.structures import Modality

WORST = ("ap", "first")
FRAMES = 3  # of a track that a strip shows
MEANINGS = {
    "same identity": RIGHT,
    "another identity": WRONG,
    "left out by the protocol": REMOVED,
}


def choose_queries(
    search: GalleryRanking,
    *,
    worst: str = "",
    names: Sequence[str] = (),
    count: int | None = None,
    seed: int = 0,
) -> list[int]:
    """Positions of the queries to show.

    Args:
        worst: ``ap``: queries of the lowest average precision first; ``first``: queries whose
            first match has the last rank; empty: drawn at random.
        names: instead, images by their path or identities by their name or number, in this
            order, each query once.
        count: how many, without ``names``; None for 6, or all where there are fewer.
    Raises:
        DataError: no query has one of the names, or none has a match.
        UsageError: ``count`` is more than there are.
    """
    if names:
        return list(dict.fromkeys(row for name in names for row in _named(search, name)))
    answered = np.flatnonzero(search.first > 0)
    if not len(answered):
        raise DataError(f"{search.protocol.name}: no query has a true match in the gallery")
    count = min(6, len(answered)) if count is None else count
    if not 1 <= count <= len(answered):
        raise UsageError(
            f"--count {count}: {search.protocol.name} has {len(answered)} queries with a match"
        )
    if not worst:
        return sorted(np.random.default_rng(seed).choice(answered, count, replace=False).tolist())
    precision, first = search.precision[answered], search.first[answered]
    keys = (-first, precision) if worst == "ap" else (precision, -first)  # the last counts most
    return answered[np.lexsort(keys)][:count].tolist()


def _named(search: GalleryRanking, name: str) -> list[int]:
    images, rows = search.features, search.queries
    found = images.paths[rows] == name
    if not found.any():
        pids = [pid for pid, one in search.identities.items() if one == name]
        found = np.isin(images.pids[rows], pids)
    if not found.any() and name.isdecimal():
        found = images.pids[rows] == int(name)
    if not found.any():
        raise DataError(
            f"{search.protocol.name} has no query {name!r}: name an identity or an image as the "
            f"features do, such as {images.paths[rows[0]]}"
        )
    return np.flatnonzero(found).tolist()


def describe(found: RankedList, search: GalleryRanking) -> str:
    """One line: the query, its average precision and the ranks of its first true match."""
    return f"{_who(found, search)}: {_scores(found, search)}"


def explain_ranks(search: GalleryRanking) -> str:
    """What the ranks of :func:`describe` and of the figure count."""
    if search.protocol.cmc_unit != "identity":
        return f"rank: counts {search.features.unit}s, as the CMC of this protocol does"
    return "rank: counts images; id rank: counts identities, as the CMC of this protocol does"


def _who(found: RankedList, search: GalleryRanking) -> str:
    path = search.features.paths[found.query]
    identity, camera = _identity(search, found.query), _camera(search, found.query)
    return f"{path} (identity {identity}, camera {camera})"


def _scores(found: RankedList, search: GalleryRanking) -> str:
    place = found.first_match()
    if place is None:
        return "no true match in the gallery"
    ranks = f"rank {found.ranks()[place]}"
    if search.protocol.cmc_unit == "identity":
        ranks += f", id rank {found.identity_ranks()[place]}"
    return f"AP {found.precision:.3f}, first true match: {ranks}"


def _identity(search: GalleryRanking, row: int) -> int | str:
    return label_of(int(search.features.pids[row]), search.identities)


def _camera(search: GalleryRanking, row: int) -> int | str:
    return label_of(int(search.features.camids[row]), search.cameras)


def draw_lists(
    lists: Sequence[RankedList],
    search: GalleryRanking,
    root: Path,
    path: Path,
    *,
    top: int | None = None,
    title: str = "",
) -> None:
    """A row per query with its nearest gallery images, also those that the protocol leaves out.

    The first true match is always shown: where it is not among the nearest images, it follows
    them behind a gap.

    Args:
        root: folder that the features' paths are relative to.
        top: gallery images shown; None for 10, or all where there are fewer.
    Raises:
        DataError: an image is missing or cannot be read.
        UsageError: the gallery holds fewer images, or the figure would be too large.
    """
    top = min(10, len(search.gallery)) if top is None else top
    if not 1 <= top <= len(search.gallery):
        raise UsageError(f"--top {top}: this gallery holds {len(search.gallery)} images")
    rows = [
        ImageRow((_who(found, search), _scores(found, search)), cells_of(found, search, root, top))
        for found in lists
    ]
    draw_rows(rows, path, title=title, meanings=MEANINGS, notes=[explain_ranks(search)])


def cells_of(
    found: RankedList, search: GalleryRanking, root: Path, top: int
) -> list[ImageCell | None]:
    """The query, its ``top`` nearest images and, behind a gap, a first true match beyond them."""
    images, match = search.features, found.first_match()
    modality = Modality(int(images.modality[found.query])).name.lower()
    text = ["query", modality, *_named_by(search, found.query)]
    cells: list[ImageCell | None] = [_cell(search, found.query, root, text)]
    ranks, identity_ranks = found.ranks(), found.identity_ranks()
    beyond = match is not None and match >= top
    for place in [*range(top), *([match] if beyond else [])]:
        row = found.gallery[place]
        if place == match and beyond:
            cells.append(None)
        text = ["left out" if found.removed[place] else f"rank {ranks[place]}"]
        if search.protocol.cmc_unit == "identity":
            text.append("" if found.removed[place] else f"id rank {identity_ranks[place]}")
        text += _named_by(search, row)
        mark = REMOVED if found.removed[place] else RIGHT if found.matches[place] else WRONG
        cells.append(_cell(search, row, root, text, mark))
    return cells


def _cell(
    search: GalleryRanking, row: int, root: Path, text: Sequence[str], mark: Mark | None = None
) -> ImageCell:
    """An image, or a strip of a track's frames."""
    first, *more = (root / path for path in shown_frames(search, row))
    return ImageCell(first, text, mark, more=tuple(more))


def shown_frames(search: GalleryRanking, row: int) -> Sequence[str]:
    """Paths of the pictures that show a row: an image, or some frames of a track."""
    path = str(search.features.paths[row])
    return evenly_spaced(search.frames.get(path, (path,)), FRAMES)


def _named_by(search: GalleryRanking, row: int) -> list[str]:
    return [f"id {_identity(search, row)}", f"cam {_camera(search, row)}"]
