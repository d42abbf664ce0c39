"""Times search in a gallery of drawn features against numpy's product of all of them.

    python benchmarks/search.py --features features.npz --folder /data/bench \
        --counts 10000 100000 1000000 --json search.json --figure search.svg

Fills the galleries first (benchmarks/search_build.py), and makes their indexes. Every round runs
each method once, one after another, so that what slows the machine for a while slows all. Numpy
multiplies the same vectors in a memory-mapped file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from feature_clusters import Spread
from machine import describe_machine, machine_facts
from scipy.optimize import nnls
from search_build import PER_IDENTITY, VECTORS, add_arguments, prepare

from vireid.cli.arguments import tool
from vireid.errors import UsageError
from vireid.figures.style import DOUBLE, drawn, line_style, require_figure, tidy
from vireid.search.exact import Nearest, search_exact
from vireid.search.gallery import Gallery
from vireid.search.index import create_index, measure_index, read_settings, search_index
from vireid.utils.io import replace_file
from vireid.utils.tables import markdown

TOP, QUERIES, RECALLED = 10, 100, 500
WHERE = "camid = '3'"  # one of six cameras
OTHERS = "camid <> '3'"
PLANNED = (10**7, 10**8, 10**9)  # images that the figure extrapolates to
Figures = dict[str, float]  # of a gallery: processor seconds, bytes, shares


def queries_of(spread: Spread, count: int, number: int, *, draw: int, seed: int) -> np.ndarray:
    """(number, D) infrared features of identities of the gallery."""
    rng = np.random.default_rng((seed, 8, draw))
    return spread.queries(rng.choice(count // PER_IDENTITY, number), seed, draw=draw)


def methods(folder: Path, queries: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is timed, by name; those that end in ``, 1 query`` take the queries one by one."""
    vectors, gallery = np.load(folder / VECTORS, mmap_mode="r"), Gallery(folder / "gallery")
    settings = read_settings(gallery)
    if settings is None:
        raise UsageError(f"{gallery.place} has no index: delete it")

    def partition(products: np.ndarray) -> np.ndarray:
        return np.argpartition(products, products.shape[1] - TOP, axis=1)[:, -TOP:]

    def near(count: int, condition: str = "") -> Nearest:
        return search_index(gallery, queries[:count], TOP, settings=settings, condition=condition)

    return {
        "numpy product, 100 queries": lambda: queries @ vectors.T,
        "numpy product and argpartition, 100 queries": lambda: partition(queries @ vectors.T),
        "exact, 100 queries": lambda: search_exact(gallery, queries, TOP),
        "exact, 1 query": lambda: search_exact(gallery, queries[:1], TOP),
        f"exact, {WHERE}, 1 query": lambda: search_exact(
            gallery, queries[:1], TOP, condition=WHERE
        ),
        "approximate, 100 queries one by one": lambda: near(QUERIES),
        f"approximate, {WHERE}, 100 queries one by one": lambda: near(QUERIES, WHERE),
        f"approximate, {OTHERS}, 100 queries one by one": lambda: near(QUERIES, OTHERS),
    }


def run_rounds(
    ways: Mapping[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Seconds and processor seconds of every method in every round, after one of warming up."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begun, before = time.perf_counter(), time.process_time()
            way()
            if number:
                walls[name].append(time.perf_counter() - begun)
                used[name].append(time.process_time() - before)
    return ({k: np.array(one) for k, one in walls.items()},
            {k: np.array(one) for k, one in used.items()})  # fmt: skip


def table(times: Mapping[str, np.ndarray], used: Mapping[str, np.ndarray]) -> str:
    """Medians, spreads, and ratios to numpy's product of the same round."""
    import pandas as pd

    product = next(iter(times.values()))
    rows = []
    for name, seconds in times.items():
        low, middle, high = 1000 * np.percentile(seconds, [25, 50, 75])
        number = 1 if name.endswith(", 1 query") else QUERIES
        rows.append({
            "method": name, "median ms": f"{middle:,.0f}", "IQR ms": f"{high - low:,.0f}",
            "ms per query": f"{middle / number:,.2f}",
                "processor ms per query": f"{1000 * np.median(used[name]) / number:,.2f}",
            "× numpy product": f"{float(np.median(seconds / product)):.2f}",
        })  # fmt: skip
    return markdown(pd.DataFrame(rows))


def recalls(folder: Path, spread: Spread, count: int, seed: int) -> dict[str, float]:
    """recall@10 with queries that neither were timed nor chose the index's settings."""
    gallery, queries = Gallery(folder / "gallery"), queries_of(
        spread, count, RECALLED, draw=2, seed=seed
    )  # fmt: skip
    settings, found = read_settings(gallery), {}
    assert settings is not None
    for name, where in (("all", ""), (WHERE, WHERE), (OTHERS, OTHERS)):
        exact = search_exact(gallery, queries, TOP, condition=where).rows
        near = search_index(gallery, queries, TOP, settings=settings, condition=where).rows
        both = zip(near, exact, strict=True)
        found[name] = float(np.mean([len(np.intersect1d(a, b)) / TOP for a, b in both]))
    return found


def anonymous() -> int:
    """Bytes of memory that belong to no file, of this process (Linux)."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("RssAnon:")[1].split()[0]) * 1024


def watch_memory(folder: Path) -> None:
    """Prints the most memory beyond the libraries' while this process searches in every way."""
    before, most, stop = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    queries = np.load(folder / "queries.npy")
    begun = time.perf_counter()
    len(Gallery(folder / "gallery"))
    opening = time.perf_counter() - begun
    for name, way in methods(folder, queries).items():
        if not name.startswith("numpy"):
            way()
    stop.set()
    watcher.join()
    print(json.dumps({"memory": max(most) - before, "before": before, "opening": opening}))


def measure(args: argparse.Namespace, count: int) -> Figures:
    """Fills a gallery of so many images, indexes and searches it, and prints what it took."""
    folder, spread, building = prepare(args, count)
    gallery = Gallery(folder / "gallery")
    asked = queries_of(spread, count, 200, draw=1, seed=args.seed)
    begun, before = time.perf_counter(), time.process_time()
    create_index(gallery)
    made, indexing = time.perf_counter(), time.process_time() - before
    settings = measure_index(gallery, queries=asked)
    print(
        f"index in {made - begun:.0f} s ({indexing:.0f} of processors), measured in "
        f"{time.perf_counter() - made:.0f} s: {settings}",
        flush=True,
    )
    queries = queries_of(spread, count, QUERIES, draw=0, seed=args.seed)
    np.save(folder / "queries.npy", queries)
    times, used = run_rounds(methods(folder, queries), args.rounds)
    print(f"\n{count:,} images\n\n{table(times, used)}\n")
    found = recalls(folder, spread, count, args.seed)
    print(f"recall@{TOP} with {RECALLED} other queries: "
          + ", ".join(f"{name}: {one:.4f}" for name, one in found.items()))  # fmt: skip
    text = subprocess.run([sys.executable, __file__, "--watch", folder], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    memory = json.loads(text)
    print(f"a new process opens it in {1000 * memory['opening']:.0f} ms and needs "
          f"{memory['memory'] / 1e9:.2f} GB beyond its libraries' {memory['before'] / 1e9:.2f} GB",
          flush=True)  # fmt: skip
    return {
        "building": building,
        "indexing": indexing,
        **memory,
        "vectors": gallery.table.stats()["total_bytes"],
        "index": sum(one.size_bytes for one in gallery.table.list_indices()),
        **found,
        **{name: float(np.median(seconds)) for name, seconds in used.items()},
    }


# What is extrapolated: label, unit, and the powers of the number of images it is made of.
GROWING = {
    "vectors": ("vectors and columns on disk (GB)", 1e9, (1,)),
    "index": ("indexes on disk (GB)", 1e9, (0, 1)),
    "indexing": ("making the index (processor hours)", 3600, (0, 1, 1.5)),
    "memory": ("memory of a search process (GB)", 1e9, ()),
    "exact, 100 queries": ("exact search, 100 queries (processor s)", 1, (0, 1)),
    "exact, 1 query": ("exact search, 1 query (processor s)", 1, (0, 1)),
    "approximate, 100 queries one by one": ("approximate search, 1 query (processor s)", QUERIES,
                                            (0, 0.5)),
}  # fmt: skip
PANELS = {
    "on disk (GB)": ("vectors", "index"),
    "index (processor hours)": ("indexing",),
    "memory of a search (GB)": ("memory",),
    "search (processor s)": tuple(GROWING)[4:],
}


def extrapolated(found: Mapping[int, Figures], name: str, count: int) -> float:
    """The sum of powers of the number of images that fits the measured sizes best.

    Memory grows as the indexes do: at most, all their lists are in it.
    """
    if name == "memory":
        last = found[max(found)]
        return last["memory"] + extrapolated(found, "index", count) - last["index"]
    powers = np.array(GROWING[name][2])
    sizes, values = np.array(sorted(found)), np.array([found[k][name] for k in sorted(found)])
    weights, _ = nnls(sizes[:, None] ** powers / values[:, None], np.ones(len(sizes)))
    return float(weights @ float(count) ** powers)


def plan(found: Mapping[int, Figures]) -> str:
    """Measured and extrapolated figures as a table."""
    import pandas as pd

    rows = []
    for name, (label, unit, powers) in GROWING.items():
        row = {"": label}
        row |= {f"{count:,}": _short(one[name] / unit) for count, one in sorted(found.items())}
        row["made of N to the powers"] = ", ".join(map(str, powers)) or "as the indexes"
        for count in PLANNED:
            row[f"{count:,}, extrapolated"] = _short(extrapolated(found, name, count) / unit)
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"


def _power(value: float, _: object = None) -> str:
    """10⁻² of 0.01: the figures' fonts have no formulas."""
    return "10" + f"{round(np.log10(value))}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def draw(found: Mapping[int, Figures], path: Path) -> None:
    """Measured figures as points, what follows from their growth dashed."""
    from matplotlib.ticker import LogLocator, NullLocator

    counts = sorted(found)
    further = [counts[-1], *PLANNED]
    with drawn(path, DOUBLE, 4.4) as figure:
        for axes, (label, names) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
            for number, name in enumerate(names):
                unit, style = GROWING[name][1], line_style(number) | {"linestyle": "-"}
                values = [found[count][name] / unit for count in counts]
                short = GROWING[name][0].rpartition(" (")[0]
                axes.plot(counts, values, marker="os^D"[number], markersize=4, label=short, **style)
                values = [extrapolated(found, name, count) / unit for count in further]
                axes.plot(further, values, **style | {"linestyle": ":"})
            axes.set(xscale="log", yscale="log", xlabel="images", ylabel=label)
            axes.xaxis.set_major_locator(LogLocator(numticks=9))
            axes.yaxis.set_major_locator(LogLocator(numticks=9))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(_power)
            axes.yaxis.set_major_formatter(_power)
            tidy(axes)
            if len(names) > 1:
                axes.legend(frameon=False)


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the machine, a table per size, and what larger galleries need."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(line)
    line.add_argument("--counts", type=int, nargs="+", default=[10**6], help="images (a million)")
    line.add_argument("--rounds", type=int, default=5)
    line.add_argument("--threads", type=int, help="of torch; numpy's: OMP_NUM_THREADS")
    line.add_argument("--json", type=Path, metavar="FILE", help="keeps the figures of all sizes")
    line.add_argument("--figure", type=Path, metavar="FILE", help="of the growth, extrapolated")
    line.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    args = line.parse_args(arguments)
    if args.watch:
        watch_memory(args.watch)
        return
    if args.figure:
        require_figure(args.figure)
    if args.threads:
        torch.set_num_threads(args.threads)
    found: dict[int, Figures] = {}
    if args.json and args.json.exists():
        found = {int(count): one for count, one in json.loads(args.json.read_text()).items()}
    print(describe_machine(machine_facts()))
    for count in args.counts:
        if count not in found:
            found[count] = measure(args, count)
        if args.json:
            text = json.dumps(found, indent=1)
            replace_file(args.json, lambda file, text=text: file.write(text.encode()))
    if len(found) > 1:
        print(f"\n{plan(found)}")
        if args.figure:
            draw(found, args.figure)


if __name__ == "__main__":
    raise SystemExit(main())
