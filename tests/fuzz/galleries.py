"""Galleries, filters, and lists of images: changed, then searched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from unittest.mock import patch

import numpy as np

from tests.fuzz.harness import Use, corpus, run_tool
from tests.fuzz.mutate import encoded, mutate_bytes, mutate_text
from tests.search.double import (
    DIM,
    ColourExtractor,
    content,
    fill,
    make_rows,
    new_gallery,
    unit,
    write_images,
)
from vireid.cli import search
from vireid.search.columns import VECTOR
from vireid.search.index import build_index
from vireid.search.listing import list_images
from vireid.structures import Modality

COUNT = 12
CSV = "path,pid,camid,modality,time,floor\n" + "".join(
    f"a/{k:02d}.png,{k},{1 + k % 3},{'visible' if k % 2 else 'infrared'},2026-11-0{k + 1},{k}\n"
    for k in range(6)
)
FILTERS = (
    "camid = 3 AND pid <> 'a'",
    "camid IN (1, 2) OR time > '2026-11-01'",
    "name LIKE 'a/%' AND NOT (modality = 'infrared')",
    "pid IS NULL AND lower(name) = 'x' OR length(path) > 3",
    "time BETWEEN '2026-01-01' AND '2027-01-01'",
)
STEPS = ("query", "query", "query", "add", "remove", "info")


@corpus
def galleries(folder: Path) -> None:
    """Images, and a gallery of them of which one was removed."""
    (folder / "model").write_text("f" * 40)
    images = write_images(folder / "images", COUNT)
    (images / "a/06.png").write_bytes(b"no image")
    gallery = new_gallery(folder / "g", fingerprint="f" * 40, place=str(folder / "model"))
    fill(folder / "g", images, ColourExtractor(folder / "model"))
    gallery.refresh()
    gallery.delete(gallery.ids_of([images / "b/03.png"]))


@corpus
def indexed(folder: Path) -> None:
    """A gallery of a thousand vectors with its index."""
    gallery = new_gallery(folder / "g", fingerprint="f" * 40, place=str(galleries() / "model"))
    gallery.add(make_rows(unit(np.random.default_rng(0).normal(size=(1000, DIM)))))
    with patch("vireid.search.index.MEASURED", 10):
        build_index(gallery)


def gallery(folder: Path, random: Random) -> Use:
    """A gallery of which one file changes: it is refused, or answers with finite scores."""
    copied = Path(shutil.copytree(galleries() / "g", folder / "g"))
    _change(random.choice(_files(copied)), random)
    step = random.choice(STEPS)

    def use() -> None:
        with patch("vireid.search.model.Extractor", ColourExtractor):
            if step == "query":
                (found,) = _answers(copied, folder / "found.json")
                assert np.isfinite([one["cosine"] for one in found["found"]]).all(), found
            elif step == "info":
                run_tool(search.main, "info", "--gallery", copied)
            else:
                modality = ["--modality", "visible"] if step == "add" else []
                images = ["--images", galleries() / "images", *modality]
                run_tool(search.main, step, "--gallery", copied, *images)

    return use


def condition(folder: Path, random: Random) -> Use:
    """A filter: it is refused or used, and changes nothing."""
    where = mutate_text(random.choice(FILTERS), random)

    def use() -> None:
        before = _rows()
        try:
            with patch("vireid.search.model.Extractor", ColourExtractor):
                _answers(galleries() / "g", folder / "found.json", "--where", where)
        finally:
            assert _rows() == before, where

    return use


def index(folder: Path, random: Random) -> Use:
    """An index of which one file changes: it is refused, or its gallery still answers."""
    copied = Path(shutil.copytree(indexed() / "g", folder / "g"))
    files = [path for path in _files(copied) if "indices" in str(path) or "settings" in str(path)]
    _change(random.choice(files), random)

    def use() -> None:
        with patch("vireid.search.model.Extractor", ColourExtractor):
            _answers(copied, folder / "found.json", "--approximate")

    return use


def listing(folder: Path, random: Random) -> Use:
    """A CSV file of images for a gallery or a search."""
    path = folder / "images.csv"
    path.write_bytes(encoded(mutate_text(CSV, random), random))
    modality = random.choice(list(Modality))

    def use() -> None:
        found = list_images(path, modality)
        assert all(found.full_path(image).is_absolute() for image in found.images)
        found.further_of(found.images)

    return use


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _change(path: Path, random: Random) -> None:
    """Bytes change; or the file is lost, or becomes a folder."""
    how, before = random.randint(0, 7), path.read_bytes()
    if how == 0:
        path.unlink()
        if random.randint(0, 1):
            path.mkdir()
        return
    path.write_bytes(mutate_bytes(before, random) if how > 1 else before[::-1])


def _answers(folder: Path, out: Path, *words: str) -> list:
    """The search tool's answers about one image."""
    image = galleries() / "images/b/01.png"
    asked = ["--gallery", folder, "--image", image, "--modality", "infrared", *words]
    run_tool(search.main, "query", *asked, "--top", COUNT, "--json", out)
    return json.loads(out.read_text())["queries"]


def _rows() -> str:
    from vireid.search import Gallery

    found = content(Gallery(galleries() / "g"))
    assert all(len(row[VECTOR]) == DIM for row in found.values())
    return repr(found)
