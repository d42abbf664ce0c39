"""What the page asks of a gallery and its model; several users at once, one after the other."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vireid.deploy.extractor import Extractor
from vireid.engine.precision import resolve_device
from vireid.errors import DataError, UsageError
from vireid.runs.options import require_run
from vireid.search.app.form import Form
from vireid.search.app.render import data_url, message, render, thumbnails
from vireid.search.app.uploads import Upload, crop_warning
from vireid.search.columns import BOX
from vireid.search.gallery import Gallery
from vireid.search.model import BatchExtractor, own_model
from vireid.search.output import QueryImages, describe_search, expected_lines, results_as_json
from vireid.search.query import Match, Query, SearchOptions, SearchResults, fused, search
from vireid.structures import Modality, modality_named
from vireid.utils.paths import expand

BATCH = 32  # images that the model takes at once
KEPT = 256  # features of query images


@dataclass(frozen=True, slots=True)
class Found:
    """A finished search.

    Args:
        uploads: the images that were taken as one person.
        content: of the JSON file.
        how: what was compared, and what the least score lets through.
    """

    uploads: tuple[Upload, ...]
    modality: Modality
    options: SearchOptions
    results: SearchResults
    content: dict[str, Any]
    how: list[str]

    @property
    def matches(self) -> list[Match]:
        return self.results.matches[0]


@dataclass
class Service:
    """
    Args:
        model: where the extractor's model is.
        lock: held while the gallery or the model works; LanceDB's row numbers belong to one
            version of the table.
    """

    gallery: Gallery
    extractor: BatchExtractor
    model: Path
    device: str = "auto"
    lock: Any = field(default_factory=threading.RLock)
    _vectors: OrderedDict[tuple[str, str], np.ndarray] = field(default_factory=OrderedDict)

    def search(self, uploads: Sequence[Upload], modality: str, form: Form) -> Found:
        """All uploads as one person.

        Raises:
            DataError: an upload cannot be read any more.
            UsageError: a field cannot be understood, or the gallery holds no image.
        """
        kind = modality_named(modality)
        with self.lock:
            self.gallery.refresh()
            rows = len(self.gallery)
            if not rows:
                raise UsageError("the gallery holds no image yet: add some")
            options = form.options(self.gallery)
            queries = self._queries(uploads, modality, form.query_camera.strip())
            query = fused(queries) if len(queries) > 1 else queries[0]
            method, device = form.method or None, resolve_device(self.device)
            results = search(self.gallery, [query], options, method=method, device=device)
            names = [Path(one.name) for one in uploads]
            images = [QueryImages(names, uploads[0].name)]
            content = results_as_json(images, results, options, self.gallery, modality=kind)
            how = [describe_search(results, options, rows)]
            how += expected_lines(self.gallery, options, model=self.model, modality=kind)
        return Found(tuple(uploads), kind, options, results, content, how)

    def _queries(self, uploads: Sequence[Upload], modality: str, camera: str) -> list[Query]:
        for one in uploads:
            key = one.id, modality
            if key not in self._vectors:
                if not one.path.is_file():
                    raise DataError(f"{one.name} was uploaded too long ago: upload it again")
                try:
                    self._vectors[key] = self.extractor([one.path], modality)[0]
                except DataError as error:
                    raise DataError(str(error).replace(str(one.path), one.name)) from error
            self._vectors.move_to_end(key)
        vectors = [self._vectors[one.id, modality] for one in uploads]
        while len(self._vectors) > KEPT:
            self._vectors.popitem(last=False)
        cameras = (camera,) if camera else ()
        return [Query(v, (u.id,), cameras) for u, v in zip(uploads, vectors, strict=True)]

    def warning(self, uploads: Sequence[Upload]) -> str:
        """About uploads that are no crops."""
        return crop_warning(uploads, self.extractor.size)

    def cameras(self) -> list[str]:
        with self.lock:
            self.gallery.refresh()
            return self.gallery.values("camid")


def open_service(place: str, run: Path | None, model: Path | None, *, device: str) -> Service:
    """
    Args:
        run, model: where the model is; None of both for the one that built the gallery.
    Raises:
        CheckpointError: the gallery or the model is missing, damaged, or another.
    """
    gallery = Gallery(place)
    if run is not None:
        require_run(run)
    path = expand(run or model or own_model(gallery)).resolve()
    extractor = BatchExtractor(Extractor(path, device=device), BATCH)
    gallery.require_model(extractor.fingerprint)
    return Service(gallery, extractor, path, device)


def results_html(found: Found) -> str:
    """The ranked images, and the address of the JSON file."""
    if not found.matches:
        return message(
            "No image fits: lower the least score, or leave conditions out.", kind="warning"
        )
    shown = thumbnails(
        [one.path for one in found.matches], boxes=[one.others.get(BOX) for one in found.matches]
    )
    results = [
        {
            "match": one,
            "url": url,
            "problem": problem,
            "file": Path(one.name).name,
            "percent": round(100 * max(0.0, min(1.0, one.score))),
            "title": title(one),
        }
        for one, (url, problem) in zip(found.matches, shown, strict=True)
    ]
    text = json.dumps(found.content, indent=1) + "\n"
    link = data_url(text.encode(), "application/json")
    return render("results", how=found.how, results=results, json=link)


def title(match: Match) -> str:
    """An image in words.

    >>> from datetime import datetime
    >>> title(Match("a", 0.5, Path("a.png"), "a.png", "visible", "7", None, datetime(2026, 1, 2)))
    'a.png, identity 7, score 0.500'
    """
    facts = [Path(match.name).name]
    facts += [f"identity {match.pid}"] if match.pid is not None else []
    facts += [f"camera {match.camid}"] if match.camid is not None else []
    return ", ".join([*facts, f"score {match.score:.3f}"])
