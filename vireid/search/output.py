"""What a search found: as a table, JSON, a figure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vireid.errors import printable
from vireid.runs.thresholds import expected_rates
from vireid.search.columns import BOX
from vireid.search.gallery import Gallery
from vireid.search.query import Match, SearchOptions, SearchResults
from vireid.structures import Modality, modality_named
from vireid.utils.io import replace_file

FORMAT = 2
SHOWN = 10  # queries in the table


@dataclass(frozen=True, slots=True)
class QueryImages:
    """The image or, with ``--fuse``, images of a query.

    Args:
        paths: where they are.
        name: as their folder or CSV file has it.
        pid, camid: None where not known.
        box: of the person in the photo, ``x0,y0,x1,y1``; None where the image is a crop.
    """

    paths: Sequence[Path]
    name: str
    pid: str | None = None
    camid: str | None = None
    box: str | None = None

    @property
    def title(self) -> str:
        first = str(self.paths[0]) + (f", person at {self.box}" if self.box else "")
        return first if len(self.paths) == 1 else f"{first} and {len(self.paths) - 1} more, fused"


def lines_of(
    queries: Sequence[QueryImages], results: SearchResults, options: SearchOptions
) -> Iterator[str]:
    """A table of each of the first queries."""
    for query, matches in list(zip(queries, results.matches, strict=True))[:SHOWN]:
        yield _shown(query.title)
        if not matches:
            yield f"  no image{_limits(options)}\n"
            continue
        header = ["rank", "cosine", "identity", "camera"]
        times = any(one.time for one in matches)
        rows = [(*header, *["time"] * times, "image")]
        for rank, one in enumerate(matches, start=1):
            cells = [str(rank), f"{one.score:.4f}", one.pid or "-", one.camid or "-"]
            cells += [_time(one.time) or "-"] * times
            box = one.others.get(BOX)
            rows.append((*cells, f"{one.path}, person at {box}" if box else str(one.path)))
        rows = [tuple(map(_shown, row)) for row in rows]
        width = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
        for row in rows:
            aligned = "  ".join(f"{cell:>{n}}" for cell, n in zip(row, width, strict=False))
            yield f"  {aligned}  {row[-1]}"
        yield ""
    if len(queries) > SHOWN:
        yield f"and {len(queries) - SHOWN:,} more queries; --json FILE has them all"


def _limits(options: SearchOptions) -> str:
    limits = [f"scores {options.min_score} or more"] if options.min_score is not None else []
    limits += [f"fits --where {options.where!r}"] if options.where else []
    limits += ["is of another camera"] if options.exclude_same_camera else []
    return f" that {' and '.join(limits)}" if limits else ""


def describe_search(results: SearchResults, options: SearchOptions, rows: int) -> str:
    """How it was searched, on one line."""
    how = f"{results.method} search of {rows:,} images"
    how += f", {results.settings}" if results.settings else ""
    how += "; each identity by its most similar image" if options.by == "identity" else ""
    how += "; the first 100 re-ranked (k-reciprocal)" if options.rerank else ""
    return how


def _shown(text: str) -> str:
    """A name that any terminal can print, whatever bytes the disk has."""
    return printable(text).replace("\n", "\\n")


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(sep=" ", timespec="seconds")


def expected_lines(
    gallery: Gallery, options: SearchOptions, *, model: Path, modality: Modality
) -> list[str]:
    """What the least score lets through, where the model's thresholds were measured.

    Args:
        model: where the model is; the file of thresholds is looked for there.
        modality: of the queries.
    """
    if options.min_score is None or not gallery.model.place:
        return []
    lines = []
    for name in gallery.values("modality", options.where):
        rates = expected_rates(
            model, gallery.model.fingerprint, modality, modality_named(name), options.min_score
        )
        if rates is not None:
            lines.append(f"{name} gallery: {rates.describe()}")
    return lines


def results_as_json(
    queries: Sequence[QueryImages],
    results: SearchResults,
    options: SearchOptions,
    gallery: Gallery,
    *,
    modality: Modality,
) -> dict[str, Any]:
    """All queries and their matches, and how they were found."""
    settings = results.settings
    return {
        "format": FORMAT,
        "gallery": gallery.place,
        "images": len(gallery),
        "fingerprint": gallery.model.fingerprint,
        "modality": modality.name.lower(),
        "top": options.top,
        "where": options.where or None,
        "min_score": options.min_score,
        "exclude_same_camera": options.exclude_same_camera,
        "by": options.by,
        "reranked": options.rerank,
        "search": results.method,
        "recall": settings and settings.recall,
        "recall_top": settings and settings.top,
        "queries": [
            {
                "image": str(query.paths[0]),
                **({"fused": [str(one) for one in query.paths]} if len(query.paths) > 1 else {}),
                **({"box": query.box} if query.box else {}),
                "pid": _number(query.pid),
                "camid": _number(query.camid),
                "found": [_match(rank, one) for rank, one in enumerate(matches, start=1)],
            }
            for query, matches in zip(queries, results.matches, strict=True)
        ],
    }


def _match(rank: int, one: Match) -> dict[str, Any]:
    values = {
        "rank": rank,
        "cosine": one.score,
        "image": str(one.path),
        "name": one.name,
        "id": one.id,
        "pid": _number(one.pid),
        "camid": _number(one.camid),
        "time": _time(one.time),
        "modality": one.modality,
        **({"reranked_distance": one.distance} if one.distance is not None else {}),
    }
    others = {
        f"column_{name}" if name in values else name: _plain(value)
        for name, value in one.others.items()
    }
    return values | others


def _plain(value: Any) -> Any:
    """A value that JSON has: times as text, numbers that are not finite as null."""
    if isinstance(value, datetime):
        return _time(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(text: str | None) -> int | str | None:
    """A whole number as one; other identities and cameras as text."""
    return int(text) if text is not None and re.fullmatch(r"0|[1-9]\d{0,17}", text) else text


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))


def box_of(text: str | None) -> tuple[int, int, int, int] | None:
    """The pixels of a person in a photo, from the column ``box``."""
    if not text:
        return None
    x0, y0, x1, y1 = map(int, text.split(","))
    return x0, y0, x1, y1


def draw(
    path: Path, queries: Sequence[QueryImages], results: SearchResults, *, modality: Modality
) -> str:
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

    drawn = []
    for query, matches in list(zip(queries, results.matches, strict=True))[:QUERIES]:
        found = [
            SearchResult(
                path=one.path,
                score=one.score,
                identity=one.pid,
                same=None if one.pid is None or query.pid is None else one.pid == query.pid,
                box=box_of(one.others.get(BOX)),
            )
            for one in matches
        ]
        drawn.append(SearchQuery(query.paths[0], query.name, found, box_of(query.box)))
    draw_search_results(drawn, path, modality=modality)
    more = f", the first {QUERIES} of {len(queries):,} queries" if len(queries) > QUERIES else ""
    longest = max(len(matches) for matches in results.matches)
    more += f", the nearest {NEAREST} of {longest:,} images" if longest > NEAREST else ""
    return f"wrote {path}{more}"
