"""A gallery is built while its process is killed again and again."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path
from random import Random

from tests.deploy.double import ColourExtractor, write_images
from tests.deploy.test_gallery import folder_bytes
from tests.faults.scenarios import Bench
from tests.faults.trainings import Process
from vireid.cli import search, search_fill, search_network
from vireid.deploy.gallery import Gallery
from vireid.deploy.gallery_fill import fill_gallery

IMAGES, BLOCK = 60, 4
SLOWLY = 0.02  # seconds that a block takes longer than it must


class _Slow(ColourExtractor):
    """Lasts long enough to be hit."""

    def __call__(self, *args, **options):
        time.sleep(SLOWLY)
        return super().__call__(*args, **options)


def _prepare() -> None:
    search_network.Extractor = _Slow
    search_fill.fill_gallery = partial(fill_gallery, block=BLOCK)


def killed(bench: Bench, random: Random, name: str, kills: int = 3) -> list[str]:
    """SIGKILL at random moments: what is there is whole, and the end as if undisturbed."""
    place = bench.folder / name
    images = write_images(place / "images", IMAGES)
    (images / "a/06.png").write_bytes(b"no image")
    (place / "network").write_text("f" * 40)

    def build(folder: str) -> Process:
        words = ["--model", str(place / "network"), "--images", str(images)]
        words += ["--modality", "visible", "--gallery", str(place / folder)]
        return Process(
            ["build", *words], bench.folder / f"{name}.txt", main=search.main, prepare=_prepare
        )

    started, faults = time.monotonic(), []
    if build("whole").wait():
        return ["the undisturbed gallery was not built"]
    seconds = time.monotonic() - started
    for _ in range(kills):
        process = build("killed")
        if process.wait(random.uniform(0, seconds / kills)) == 0:  # it was faster
            shutil.rmtree(place / "killed")
        bench.kills += process.kill()
        faults += _unreadable(place / "killed")
    process = build("killed")
    if process.wait():
        return [*faults, f"it does not continue: {process.said()[-300:]}"]
    found, expected = (folder_bytes(place / one) for one in ("killed", "whole"))
    differing = [n for n in sorted(found | expected) if found.get(n) != expected.get(n)]
    return faults + [f"differs: {name}" for name in differing]


def _unreadable(folder: Path) -> list[str]:
    try:
        if (folder / "gallery.json").exists():
            Gallery(folder).verify()
    except Exception as error:
        return [f"unreadable: {type(error).__name__}: {error}"]
    return []
