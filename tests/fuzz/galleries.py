"""Galleries, the index of approximate search, and lists of images: changed, then searched."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
from vireid.search.approximate_build import build_index
from vireid.search.gallery_images import list_images

from tests.fuzz.harness import Use, corpus, run_tool
from tests.fuzz.mutate import encoded, mutate_bytes, mutate_json, mutate_text
from tests.search.double import DIM, ColourExtractor, fill, unit, write_images
from vireid.cli import search
from vireid.search.gallery import Gallery
from vireid.search.ingest import ingest
from vireid.structures import Modality

COUNT = 12
CSV = "path,pid,camid,modality\n" + "".join(
    f"a/{k:02d}.png,{k},{1 + k % 3},{'visible' if k % 2 else 'infrared'}\n" for k in range(6)
)
STEPS = ("query", "query", "query", "add", "remove", "verify")


@corpus
def galleries(folder: Path) -> None:
    """Images, and galleries of them: whole with a row removed, and unfinished."""
    (folder / "model").write_text("f" * 40)
    images = write_images(folder / "images", COUNT)
    (images / "a/06.png").write_bytes(b"no image")
    extractor, model = ColourExtractor(folder / "model"), str(folder / "model")
    fill(folder / "whole", images, extractor, network=model)
    Gallery(folder / "whole").remove([images / "b/03.png"])
    options: dict[str, Any] = {"new": True, "block": 4, "network": model}
    steps = ingest(folder / "half", images, extractor, Modality.VISIBLE, **options)
    for _ in range(3):  # the second block has the image that cannot be read
        next(steps)
    steps.close()


@corpus
def indexed(folder: Path) -> None:
    """A gallery of a thousand vectors with its index."""
    rows = np.random.default_rng(0).normal(size=(1000, DIM))
    gallery = Gallery.create(folder / "g", fingerprint="f" * 40, dim=DIM)
    names = [f"{k}.png" for k in range(len(rows))]
    gallery.add(unit(rows), names, root="/x", modality=Modality.VISIBLE)
    build_index(gallery, threads=1)


def gallery(folder: Path, random: Random) -> Use:
    """A gallery of which one file changes: it is refused, or answers as the whole one does."""
    source = random.choice(("whole", "half"))
    copied = Path(shutil.copytree(galleries() / source, folder / "g"))
    files = sorted(path for path in copied.iterdir() if path.name != "lock")
    chosen = random.choice((copied / "gallery.json", *files))
    described = chosen.name == "gallery.json"
    _change(chosen, random)
    step = random.choice(STEPS)

    def use() -> None:
        with patch("vireid.search.model.Extractor", ColourExtractor):
            if step == "verify":
                Gallery(copied).verify()
            elif step == "query":
                found = _answers(copied, folder / "found.json")
                assert described or found == _expected(source), found
            else:
                modality = ["--modality", "visible"] if step == "add" else []
                images = ["--images", galleries() / "images", *modality]
                run_tool(search.main, step, "--gallery", copied, *images)
                Gallery(copied).verify()

    return use


def index(folder: Path, random: Random) -> Use:
    """An index of which one of two files changes: the scores of what it finds are right."""
    copied = Path(shutil.copytree(indexed() / "g", folder / "g"))
    _change(copied / random.choice(("approximate.faiss", "approximate.json")), random)

    def use() -> None:
        opened = Gallery(copied)
        asked = opened.files.vectors[:3]
        found = opened.search(asked, 5, approximate=True)
        true = np.einsum("qkd,qd->qk", opened.files.vectors[found.rows], asked)
        assert np.allclose(found.scores, np.where(found.rows < 0, -np.inf, true), atol=1e-6)

    return use


def listing(folder: Path, random: Random) -> Use:
    """A CSV file of images for a gallery or a search."""
    path = folder / "images.csv"
    path.write_bytes(encoded(mutate_text(CSV, random), random))
    modality = random.choice(list(Modality))
    return lambda: list_images(path, modality).full_paths()


def _change(path: Path, random: Random) -> None:
    """Bytes or, of JSON, values change; or the file is lost, or becomes a folder."""
    how, content = random.randint(0, 7), path.read_bytes()
    if how == 0:
        path.unlink()
        if random.randint(0, 1):
            path.mkdir()
    elif path.suffix == ".json":
        path.write_bytes(mutate_json(json.loads(content), random))
    else:
        path.write_bytes(mutate_bytes(content, random) if how > 1 else content[::-1])


def _answers(folder: Path, out: Path) -> list:
    """The search tool's answers about one image."""
    image = galleries() / "images/b/01.png"
    words = ["--gallery", folder, "--image", image, "--modality", "infrared"]
    run_tool(search.main, "query", *words, "--top", COUNT, "--json", out)
    return json.loads(out.read_text())["queries"]


@cache
def _expected(source: str) -> list:
    with patch("vireid.search.model.Extractor", ColourExtractor):
        return _answers(galleries() / source, galleries() / f"{source}.json")
