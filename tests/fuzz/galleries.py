"""Galleries, the index of approximate search, and lists of images: spoilt, then searched."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from tests.fuzz.mutate import encoded, mutate_bytes, mutate_text, mutate_tree
from tests.search.double import DIM, ColourExtractor, fill, unit, write_images
from vireid.cli import search
from vireid.search.gallery import Gallery
from vireid.search.gallery_images import list_images
from vireid.search.ingest import ingest
from vireid.structures import Modality

Use = Callable[[], object]
COUNT = 12
CSV = "path,pid,camid,modality\n" + "".join(
    f"a/{k:02d}.png,{k},{1 + k % 3},{'visible' if k % 2 else 'infrared'}\n" for k in range(6)
)
STEPS = ("query", "query", "query", "add", "remove", "verify")


@cache
def corpus() -> Path:
    """Images, and galleries of them: whole with a row removed, and unfinished."""
    holder = tempfile.TemporaryDirectory(prefix="vireid_fuzz_")
    _HOLDERS.append(holder)
    folder = Path(holder.name)
    (folder / "network").write_text("f" * 40)
    images = write_images(folder / "images", COUNT)
    (images / "a/06.png").write_bytes(b"no image")
    extractor, network = ColourExtractor(folder / "network"), str(folder / "network")
    fill(folder / "whole", images, extractor, network=network)
    Gallery(folder / "whole").remove([images / "b/03.png"])
    options: dict[str, Any] = {"new": True, "block": 4, "network": network}
    steps = ingest(folder / "half", images, extractor, Modality.VISIBLE, **options)
    for _ in range(3):  # the second block has the image that cannot be read
        next(steps)
    steps.close()
    return folder


_HOLDERS: list[tempfile.TemporaryDirectory] = []


def gallery(folder: Path, random: Random) -> Use:
    """A gallery one of whose files is spoilt: it is refused, or says what the whole one says."""
    source = random.choice(("whole", "half"))
    copied = Path(shutil.copytree(corpus() / source, folder / "g"))
    files = sorted(path for path in copied.iterdir() if path.name != "lock")
    chosen = random.choice((copied / "gallery.json", *files))
    described = chosen.name == "gallery.json"
    _spoil(chosen, random)
    step = random.choice(STEPS)

    def use() -> None:
        with patch("vireid.search.model.Extractor", ColourExtractor):
            if step == "verify":
                Gallery(copied).verify()
            elif step == "query":
                found = _asked(copied, folder / "found.json")
                assert described or found == _expected(source), found
            else:
                _changed(copied, step)

    return use


def index(folder: Path, random: Random) -> Use:
    """An index one of whose two files is spoilt: what it finds has the scores that are told."""
    copied = Path(shutil.copytree(_indexed(), folder / "g"))
    _spoil(copied / random.choice(("approximate.faiss", "approximate.json")), random)

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


@cache
def _indexed() -> Path:
    """A gallery of a thousand vectors with its index."""
    from vireid.search.approximate_build import build_index

    folder, rows = corpus() / "indexed", np.random.default_rng(0).normal(size=(1000, DIM))
    made = Gallery.create(folder, fingerprint="f" * 40, dim=DIM)
    names = [f"{k}.png" for k in range(len(rows))]
    made.add(unit(rows), names, root="/x", modality=Modality.VISIBLE)
    build_index(made, threads=1)
    return folder


def _spoil(path: Path, random: Random) -> None:
    """Bytes or, of JSON, values change; or the file is lost, or a folder, or another's."""
    how, content = random.randint(0, 7), path.read_bytes()
    if how == 0:
        path.unlink()
        if random.randint(0, 1):
            path.mkdir()
    elif how == 1:
        path.write_bytes(b"[" * 100_000 if path.suffix == ".json" else content[::-1])
    elif path.suffix == ".json" and how <= 5:
        tree = mutate_tree(json.loads(content), random)
        path.write_bytes(_dumped(tree).encode("utf-8", "surrogatepass"))
    else:
        path.write_bytes(mutate_bytes(content, random))


def _dumped(tree: object) -> str:
    try:
        return json.dumps(tree)
    except ValueError:  # a number of more digits than Python prints
        return '{"format": ' + "9" * 5000 + "}"


def _asked(folder: Path, out: Path) -> list:
    """What the search tool finds of one image."""
    image = corpus() / "images/b/01.png"
    words = ["--gallery", str(folder), "--image", str(image), "--modality", "infrared"]
    _ended(search.main(["query", *words, "--top", str(COUNT), "--json", str(out)]))
    return json.loads(out.read_text())["queries"]


@cache
def _expected(source: str) -> list:
    with patch("vireid.search.model.Extractor", ColourExtractor):
        return _asked(corpus() / source, corpus() / f"{source}.json")


def _changed(folder: Path, step: str) -> None:
    images = ["--images", str(corpus() / "images")]
    words = images if step == "remove" else [*images, "--modality", "visible"]
    _ended(search.main([step, "--gallery", str(folder), *words]))
    Gallery(folder).verify()


def _ended(code: int) -> None:
    if code:
        raise SystemExit(code)
