"""What the search tool says of what it found: a table, JSON, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid.errors import printable
from vireid.search.approximate import IndexSettings
from vireid.search.gallery import Entry, Gallery
from vireid.search.gallery_files import UNKNOWN
from vireid.search.gallery_images import Listed
from vireid.structures import Modality
from vireid.utils.io import replace_file

FORMAT = 1
SHOWN = 10  # queries in the table


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and what it found, nearest first.

    Args:
        scores: cosines.
    """

    query: Listed
    path: Path
    found: Sequence[Entry]
    scores: Sequence[float]


def lines_of(answers: Sequence[Answer]) -> Iterator[str]:
    """A table of each of the first queries."""
    for answer in answers[:SHOWN]:
        rows = [("rank", "cosine", "identity", "camera", "image")]
        rows += [
            (str(rank), f"{score:.4f}", _known(one.pid), _known(one.camid), _shown(one.path))
            for rank, (one, score) in enumerate(
                zip(answer.found, answer.scores, strict=True), start=1
            )
        ]
        width = [max(len(row[k]) for row in rows) for k in range(4)]
        yield f"{_shown(answer.path)}"
        for row in rows:
            cells = "  ".join(f"{cell:>{n}}" for cell, n in zip(row, width, strict=False))
            yield f"  {cells}  {row[4]}"
        yield ""
    if len(answers) > SHOWN:
        yield f"and {len(answers) - SHOWN:,} more queries; --json FILE has them all"


def _known(number: int | None) -> str:
    return "-" if number is None else str(number)


def _shown(path: Path | str) -> str:
    """A name that any terminal can print, whatever bytes the disk has."""
    return printable(str(path)).replace("\n", "\\n")


def write_json(
    path: Path,
    answers: Sequence[Answer],
    gallery: Gallery,
    *,
    modality: Modality,
    top: int,
    setting: IndexSettings | None,
) -> None:
    """
    Args:
        setting: of approximate search; None if it was exact.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "gallery": str(gallery.folder.resolve()),
        "images": len(gallery),
        "fingerprint": gallery.fingerprint,
        "modality": modality.name.lower(),
        "top": top,
        "search": "exact" if setting is None else "approximate",
        "recall": setting and setting.recall,
        "recall_top": setting and setting.top,
        "queries": [_as_json(answer) for answer in answers],
    }
    text = json.dumps(content, indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))


def _as_json(answer: Answer) -> dict[str, Any]:
    known = {
        name: None if value == UNKNOWN else value
        for name, value in (("pid", answer.query.pid), ("camid", answer.query.camid))
    }
    found = [
        {
            "rank": rank,
            "cosine": score,
            "image": str(one.path),
            "pid": one.pid,
            "camid": one.camid,
            "modality": one.modality.name.lower(),
        }
        for rank, (one, score) in enumerate(zip(answer.found, answer.scores, strict=True), start=1)
    ]
    return {"image": str(answer.path), **known, "found": found}


def draw(path: Path, answers: Sequence[Answer], *, modality: Modality) -> str:
    """Draws the first queries and the nearest images that they found; says what was drawn.

    Raises:
        DataError: an image is not where it was any more.
    """
    from vireid.figures.search_results import (
        NEAREST,
        QUERIES,
        SearchQuery,
        SearchResult,
        draw_search_results,
    )

    queries = []
    for answer in answers[:QUERIES]:
        asked = answer.query
        found = [
            SearchResult(
                path=one.path,
                name=one.name,
                score=score,
                identity=None if one.pid is None else str(one.pid),
                same=None if one.pid is None or asked.pid == UNKNOWN else one.pid == asked.pid,
            )
            for one, score in zip(answer.found, answer.scores, strict=True)
        ]
        queries.append(SearchQuery(answer.path, asked.path, found))
    draw_search_results(queries, path, modality=modality)
    more = f", the first {QUERIES} of {len(answers):,} queries" if len(answers) > QUERIES else ""
    longest = max(len(answer.found) for answer in answers)
    more += f", the nearest {NEAREST} of {longest:,} images" if longest > NEAREST else ""
    return f"wrote {path}{more}"
