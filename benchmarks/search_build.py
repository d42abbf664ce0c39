"""Fills a gallery from several processes, kills some of them meanwhile, and counts the rows.

    python benchmarks/search_build.py --features features.npz --folder /data/bench --kills 3

The vectors are drawn like a model's features (benchmarks/feature_clusters.py). The processes add
them as ``search.py build`` does: each takes its share, in commits of 4,096 rows.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from feature_clusters import Spread, measure

from vireid.cli.arguments import tool
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features
from vireid.search.columns import build_rows
from vireid.search.filters import any_of
from vireid.search.gallery import SMALL_FILES_FILLING, Gallery, GalleryModel, exists, place_name
from vireid.search.ingest import COMMIT_IMAGES

CAMERAS = 6
PER_IDENTITY = 20  # images
VECTORS = "vectors.npy"


def draw_vectors(spread: Spread, folder: Path, count: int, dim: int, seed: int) -> np.memmap:
    """(count, dim) float32 of length 1 in a file, drawn if it is not there."""
    path = folder / VECTORS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half, start = path.with_name(f"half_{VECTORS}"), 0
        file = np.lib.format.open_memmap(half, "w+", np.float32, (count, dim))
        for block in spread.gallery(count, PER_IDENTITY, seed):
            file[start : start + len(block)] = block
            start += len(block)
        file.flush()
        half.rename(path)
    vectors: np.memmap = np.load(path, mmap_mode="r")
    if vectors.shape != (count, dim):
        raise UsageError(f"{path} holds {vectors.shape} numbers: delete it, or name another folder")
    return vectors


def ids_of(vectors: np.ndarray) -> list[str]:
    """Ids as images have them: digests, in no order."""
    return [hashlib.sha256(one.tobytes()).hexdigest()[:32] for one in vectors]


def fill(folder: Path, rank: int, world: int) -> None:
    """What one of the processes does: every commit of its share that is not there yet."""
    vectors, gallery = np.load(folder / VECTORS, mmap_mode="r"), Gallery(folder / "gallery")
    there = set(gallery.rows(["name"])["name"].to_pylist())
    for start in range(rank * COMMIT_IMAGES, len(vectors), world * COMMIT_IMAGES):
        numbers = range(start, min(start + COMMIT_IMAGES, len(vectors)))
        names = [f"{k // PER_IDENTITY:08d}/{k:010d}.jpg" for k in numbers]
        if there.issuperset(names):
            continue
        block = vectors[start : numbers.stop]
        own = {
            "id": ids_of(block),
            "path": [f"/drawn/{name}" for name in names],
            "name": names,
            "modality": ["visible"] * len(names),
            "pid": [str(k // PER_IDENTITY) for k in numbers],
            "camid": [str(k % CAMERAS + 1) for k in numbers],
        }
        gallery.add(build_rows(own, block))
        gallery.compact(SMALL_FILES_FILLING)
    gallery.compact()


def build(folder: Path, processes: int, kills: int, seed: int) -> tuple[float, int]:
    """Fills the gallery beside the vectors; seconds, and how many processes were killed.

    Every killed process is started again by the same command.
    """
    count, dim = np.load(folder / VECTORS, mmap_mode="r").shape
    Gallery.create(folder / "gallery", GalleryModel("drawn", dim, source="drawn"))
    rng, begun = Random(seed), time.perf_counter()
    commands = [[sys.executable, __file__, "--fill", folder, f"{k}", f"{processes}"]
                for k in range(processes)]  # fmt: skip
    running, killed = {k: subprocess.Popen(one) for k, one in enumerate(commands)}, 0
    rows = sorted(rng.uniform(0.05, 0.9) * count for _ in range(kills))  # there when one is killed
    while running:
        time.sleep(rng.uniform(0.05, 0.3))
        for k, process in list(running.items()):
            if process.poll() == 0:
                del running[k]
            elif process.returncode is not None:
                raise UsageError(f"process {k + 1} ended with code {process.returncode}")
        if killed < kills and running and len(Gallery(folder / "gallery")) >= rows[killed]:
            k = rng.choice(list(running))
            running[k].kill()
            running[k].wait()
            running[k], killed = subprocess.Popen(commands[k]), killed + 1
    return time.perf_counter() - begun, killed


def check(folder: Path) -> str:
    """One line: that every vector is in the gallery once, as it was drawn.

    Raises:
        UsageError: it is not.
    """
    vectors, gallery = np.load(folder / VECTORS, mmap_mode="r"), Gallery(folder / "gallery")
    held = gallery.rows(["id"])["id"].to_pylist()
    wanted = [
        one for k in range(0, len(vectors), 65_536) for one in ids_of(vectors[k : k + 65_536])
    ]
    if sorted(held) != sorted(wanted):
        raise UsageError(
            f"{len(held):,} rows, {len(set(held)):,} different ones, {len(set(wanted)):,} wanted"
        )
    chosen = np.random.default_rng(0).choice(len(vectors), 100, replace=False).tolist()
    known = gallery.rows(["id", "vector"], any_of("id", [wanted[k] for k in chosen]))
    rows = dict(zip(known["id"].to_pylist(), known["vector"].to_pylist(), strict=True))
    for k in chosen:
        np.testing.assert_array_equal(np.float32(rows[wanted[k]]), vectors[k])
    files = gallery.table.stats()["fragment_stats"]["num_fragments"]
    return f"{len(held):,} rows, each once; {files} files, {len(gallery.versions())} versions"


def add_arguments(line: argparse.ArgumentParser) -> None:
    """Of this benchmark and of benchmarks/search.py."""
    line.add_argument("--features", type=Path, metavar="FILE", help="features.npz of extract.py")
    line.add_argument("--folder", type=Path, metavar="DIR", help="for vectors and gallery, kept")
    line.add_argument("--dim", type=int, default=512, help="numbers per feature (512)")
    line.add_argument("--processes", type=int, default=2, help="that fill the gallery (2)")
    line.add_argument("--kills", type=int, default=0, help="of these processes, at random (0)")
    line.add_argument("--seed", type=int, default=0)


def prepare(args: argparse.Namespace, count: int) -> tuple[Path, Spread, float]:
    """The folder of a gallery of so many images, filled; and the seconds, 0 if it was there."""
    spread = measure(read_features(args.features), args.dim)
    folder = args.folder.expanduser().resolve() / f"{count}"
    draw_vectors(spread, folder, count, args.dim, args.seed)
    seconds = 0.0
    if not exists(place_name(folder / "gallery")) or len(Gallery(folder / "gallery")) < count:
        seconds, killed = build(folder, args.processes, args.kills, args.seed)
        print(f"{count:,} × {args.dim}: filled by {args.processes} processes in {seconds:.0f} s, "
              f"{killed} of them killed; {check(folder)}", flush=True)  # fmt: skip
    return folder, spread, seconds


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints how long it took, and what is in the gallery."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(line)
    line.add_argument("--count", type=int, default=10**6, help="images (a million)")
    line.add_argument("--fill", nargs=3, help=argparse.SUPPRESS)
    args = line.parse_args(arguments)
    if args.fill:
        fill(Path(args.fill[0]), int(args.fill[1]), int(args.fill[2]))
        return
    if not args.features or not args.folder:
        line.error("--features and --folder are required")
    prepare(args, args.count)


if __name__ == "__main__":
    raise SystemExit(main())
