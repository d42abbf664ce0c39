"""A gallery that is killed while it is built, in blocks of few images."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.scenarios import Bench
from tests.faults.trainings import Process
from tests.search.test_gallery import folder_bytes
from vireid.cli import search
from vireid.search import commands as search_fill
from vireid.search.gallery import Gallery
from vireid.search.manifest import META

BLOCK = 4  # images that count at once


def gallery_killed(bench: Bench, random: Random, name: str, kills: int = 3) -> list[str]:
    """SIGKILL at random moments; what counts is whole, and the same command ends the same."""
    run, _ = bench.undisturbed()
    whole = bench.folder / "whole_gallery"
    if not whole.exists() and (code := _build(bench, run, whole).wait()):
        return [f"a gallery that nobody disturbs ends with {code}"]
    folder, faults = bench.folder / name, []
    expected = len(Gallery(whole))
    for _ in range(kills):
        process = _build(bench, run, folder)
        wanted = _count(folder) + random.randint(0, expected // (kills + 1))
        while _count(folder) < wanted and process.wait(0.01) is None:
            pass
        time.sleep(random.uniform(0, 0.05))
        bench.kills += process.kill()
        if (folder / META).exists():
            Gallery(folder).verify()
    process = _build(bench, run, folder)
    if process.wait():
        faults.append(f"does not continue: {process.said()[-300:]}")
    elif folder_bytes(folder) != folder_bytes(whole):
        faults.append("is another gallery than one that nobody disturbed")
    return faults


def _build(bench: Bench, run: Path, folder: Path) -> Process:
    words = ["build", "--run", str(run), "--images", str(bench.root), "--modality", "visible"]
    output = bench.folder / f"{folder.name}.txt"
    words += ["--gallery", str(folder), "--threads", "1"]
    return Process(words, output, main=search.main, prepare=_small_blocks)


def _small_blocks() -> None:
    search_fill.ingest = partial(search_fill.ingest, block=BLOCK)


def _count(folder: Path) -> int:
    """Images that count by now."""
    return len(Gallery(folder)) if (folder / META).exists() else 0
