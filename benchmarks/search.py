"""Times searching a gallery on disk against numpy, and approximate search against exact search.

    python benchmarks/search.py --features features.npz --folder /data/gallery

The gallery's vectors are drawn like a model's features (benchmarks/feature_clusters.py); the file
``features.npz`` is written by ``python tools/extract.py``.

Every round runs each way once, one after another, so that what
slows the machine for a while slows all. The folder is kept; a call that was stopped continues it.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from feature_clusters import CHUNK, Spread, measure
from machine import describe_machine, machine_facts
from vireid.search.approximate import Index
from vireid.search.approximate_build import build_index
from vireid.search.manifest import META

from vireid.cli.arguments import tool
from vireid.errors import UsageError
from vireid.evaluation.feature_files import read_features
from vireid.search.exact import search_exact
from vireid.search.gallery import Gallery
from vireid.structures import Modality

STATUS = Path("/proc/self/status")
INTERVAL = 0.002  # seconds between two looks at the memory
RECALLED = 500  # queries that measure the recall


def memory_of(folder: Path, queries: np.ndarray, top: int, threads: int) -> tuple[int, int]:
    """The most anonymous memory, in bytes, of a process that does nothing but open a gallery and
    search it exactly; and how much of that it had before, when its libraries were loaded.

    Where there is no /proc: the most memory of any kind.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_watched_search, folder, queries, top, threads).result()


def _watched_search(folder: Path, queries: np.ndarray, top: int, threads: int) -> tuple[int, int]:
    stop, seen = threading.Event(), [memory_now()]

    def watch() -> None:
        while not stop.wait(INTERVAL):
            seen.append(memory_now())

    watcher = threading.Thread(target=watch)
    watcher.start()
    Gallery(folder).search(queries, top, threads=threads)
    stop.set()
    watcher.join()
    return max(seen), seen[0]


def memory_now() -> int:
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii").splitlines()
        (size,) = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
        return int(size) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_gallery(args: argparse.Namespace, spread: Spread) -> Gallery:
    """The gallery in the folder, filled up to the number asked for."""
    print(f"gallery {args.folder}: {args.count:,} × {args.dim}", flush=True)
    name = f"drawn:{args.features}:{args.seed}:{args.per_identity}"
    if not (args.folder / META).exists():
        Gallery.create(args.folder, fingerprint=name, dim=args.dim, network="")
    gallery, start, begun = Gallery(args.folder), 0, time.perf_counter()
    had = len(gallery)
    same = (gallery.fingerprint, gallery.dim) == (name, args.dim)
    if not same or had > args.count or (had < args.count and had % CHUNK):
        raise UsageError(
            f"{args.folder} holds {had:,} × {gallery.dim} numbers, drawn in another way than is "
            "asked for: delete it, or name another folder"
        )
    for block in spread.gallery(args.count, args.per_identity, args.seed):
        stop = start + len(block)
        if stop > had:
            pids = np.arange(start, stop) // args.per_identity
            names = [f"{pid:07d}/{k:08d}.jpg" for k, pid in enumerate(pids, start=start)]
            gallery.add(block, names, root="/drawn", modality=Modality.VISIBLE, pids=pids)
        start = stop
    if had < args.count:
        seconds = time.perf_counter() - begun
        print(f"built in {seconds:.0f} s with the drawing ({had:,} were there)")
    begun = time.perf_counter()
    gallery = Gallery(args.folder)
    print(f"opened in {1000 * (time.perf_counter() - begun):.0f} ms", flush=True)
    return gallery


def plain_search(vectors: np.memmap, queries: np.ndarray, top: int) -> np.ndarray:
    """The baseline: all products in float32, then argpartition over each whole row."""
    products = queries @ vectors.T
    return np.argpartition(products, products.shape[1] - top, axis=1)[:, -top:]


def run_rounds(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every way in every round, after one round of warming up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - begun)
    return {name: np.array(seconds) for name, seconds in times.items()}


def report(times: Mapping[str, np.ndarray], baseline: str, exact: str, count: int) -> None:
    print("\n| way | median ms | IQR ms | ms per query | × numpy | × exact |")
    print("|---|---|---|---|---|---|")
    for name, seconds in times.items():
        ratios = [float(np.median(times[other] / seconds)) for other in (baseline, exact)]
        low, middle, high = 1000 * np.percentile(seconds, [25, 50, 75])
        print(
            f"| {name} | {middle:.1f} | {high - low:.1f} | {middle / count:.3f} | {ratios[0]:.2f} "
            f"| {ratios[1]:.2f} |"
        )


def shared(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the wanted rows that were found, mean over the queries."""
    both = zip(found, wanted, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in both]))


def make_index(gallery: Gallery, spread: Spread, args: argparse.Namespace) -> Index:
    """The index, measured with other queries than the timed ones."""
    rng = np.random.default_rng((args.seed, 7))
    asking = rng.choice(args.count // args.per_identity, 256)
    queries = spread.queries(asking, args.seed, draw=1)
    begun = time.perf_counter()
    index = build_index(gallery, queries=queries, recall=args.recall, top=args.top)
    print(f"index made in {time.perf_counter() - begun:.0f} s: {index.setting}", flush=True)
    return index


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the machine, one table, and what was found."""
    args = _arguments(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(describe_machine(machine_facts()))
    spread = measure(read_features(args.features), args.dim)
    print(f"spread of {spread.identities} identities in {args.features}")
    gallery = open_gallery(args, spread)
    rng = np.random.default_rng((args.seed, 8))
    asking = rng.choice(args.count // args.per_identity, args.queries)
    queries = spread.queries(asking, args.seed)
    index = None if args.no_approximate else make_index(gallery, spread, args)
    files, found = gallery.files, {}
    ways: dict[str, Callable[[], object]] = {
        "numpy": lambda: found.update(numpy=plain_search(files.vectors, queries, args.top)),
        "exact": lambda: found.update(exact=gallery.search(queries, args.top).rows),
        "exact, float32 products": lambda: found.update(
            single=search_exact(files, queries, args.top, by="vectors").rows
        ),
    }
    if index is not None:
        ways["approximate"] = lambda: found.update(near=index.search(queries, args.top).rows)
    times = run_rounds(ways, args.rounds)
    report(times, "numpy", "exact", args.queries)
    same = np.array_equal(found["exact"], found["single"])
    print(f"\nexact search by either product is the same: {same}")
    print(f"share of numpy's results in it: {shared(found['numpy'], found['exact']):.4f}")
    if index is not None:
        print_recall(gallery, index, spread, args)
    kind = "anonymous" if STATUS.exists() else "resident"
    most, before = memory_of(args.folder, queries, args.top, torch.get_num_threads())
    print(
        f"peak {kind} memory of a process that searches exactly: {most / 1e9:.3f} GB, "
        f"{before / 1e9:.3f} GB of it before"
    )


def print_recall(gallery: Gallery, index: Index, spread: Spread, args: argparse.Namespace) -> None:
    """By queries that neither were timed nor chose how the index is searched."""
    asking = np.random.default_rng((args.seed, 9)).choice(args.count // args.per_identity, RECALLED)
    queries = spread.queries(asking, args.seed, draw=2)
    exact = gallery.search(queries, args.top).rows
    recall = shared(index.search(queries, args.top).rows, exact)
    print(f"recall@{args.top} of approximate search, {RECALLED} other queries: {recall:.3f}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--features", type=Path, required=True, metavar="FILE", help="features.npz")
    line.add_argument("--folder", type=Path, required=True, metavar="DIR", help="of the gallery")
    line.add_argument("--count", type=int, default=10**6, help="images (a million)")
    line.add_argument("--dim", type=int, default=512)
    line.add_argument("--per-identity", type=int, default=20, help="images of an identity (20)")
    line.add_argument("--queries", type=int, default=100)
    line.add_argument("--top", type=int, default=10)
    line.add_argument("--rounds", type=int, default=5)
    line.add_argument("--threads", type=int, help="of torch and faiss; numpy's: OMP_NUM_THREADS")
    line.add_argument("--recall", type=float, default=0.95, help="that the index is made for")
    line.add_argument("--no-approximate", action="store_true", help="works without faiss")
    line.add_argument("--seed", type=int, default=0)
    return line.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
