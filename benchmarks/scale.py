"""What data sets cost as they grow: reading, looking at images, sampling, scoring.

    python benchmarks/scale.py --identities 100 1000 10000 100000 --out scale.svg --json scale.json

Writes a CSV data set of N identities with ten images each (hard links to a few files), reads it as
a training does, draws an epoch of batches, and scores random features: the visible images of the
test identities are searched by a thousand infrared ones at most. Prints processor seconds and the
peak memory of every step; each size has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.cli.arguments import tool
from vireid.data.datasets.csv_set import load
from vireid.data.datasets.files import fingerprint
from vireid.data.images import require_readable
from vireid.data.sampler import IdentityBatchSampler
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.protocols import PROTOCOLS
from vireid.figures.style import DOUBLE, drawn, line_style, require_figure, tidy
from vireid.structures import FeatureSet, ImageRecord, Splits
from vireid.utils.io import replace_file

IMAGES = 10  # of an identity, half of them infrared
QUERIES = 1_000  # at most
LINKS = 20_000  # to one file: file systems allow from 32,000 on
STEPS = ("index", "fingerprint", "check images", "sample an epoch", "evaluate")
Figures = dict[str, dict[str, float]]  # step → processor seconds and peak MiB


def write_set(root: Path, identities: int) -> int:
    """A CSV set whose images are links; returns how many there are.

    Every second identity trains, with five images of each modality. Of the others a thousand at
    most have one infrared image, the query; all other images are the gallery.
    """
    asking = max(1, -(-identities // 2 // QUERIES))
    source, made = root / "source0.jpg", 0
    lines = ["path,pid,camid,modality,split"]
    for pid in range(identities):
        folder = root / f"{pid // 500:04d}"
        folder.mkdir(exist_ok=True)
        trains = pid % 2 == 0
        infrared = IMAGES // 2 if trains else int(pid // 2 % asking == 0)
        for number in range(IMAGES):
            if made % LINKS == 0:
                source = root / f"source{made // LINKS}.jpg"
                noise = np.random.default_rng(made).integers(0, 256, (64, 32, 3), dtype=np.uint8)
                Image.fromarray(noise).save(source)
            name = f"{folder.name}/{pid}_{number}.jpg"
            os.link(source, root / name)
            kind = "infrared" if number < infrared else "visible"
            camera = 1 + number % 4 if kind == "visible" else 5
            lines.append(f"{name},{pid},{camera},{kind},{'train' if trains else 'test'}")
            made += 1
    (root / "dataset.csv").write_text("\n".join(lines) + "\n")
    return made


@contextmanager
def measured(step: str, figures: Figures) -> Iterator[None]:
    """Adds what the block takes: processor seconds, and memory at its peak."""
    _peak_mib(reset=True)
    started = time.process_time()
    yield
    seconds = time.process_time() - started
    figures[step] = {"seconds": round(seconds, 3), "peak_mib": round(_peak_mib(), 1)}


def _peak_mib(*, reset: bool = False) -> float:
    """Most memory that this process held since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def random_features(records: Sequence[ImageRecord], dim: int) -> FeatureSet:
    """Normal noise: every rank is equally likely."""
    features = np.random.default_rng(0).standard_normal((len(records), dim), dtype=np.float32)
    return FeatureSet(
        features,
        np.array([record.pid for record in records]),
        np.array([record.camid for record in records]),
        np.array([int(record.modality) for record in records], dtype=np.uint8),
        np.array([record.path for record in records]),
    )


def measure(root: Path, dim: int) -> Figures:
    """All steps on the set in a folder."""
    figures: Figures = {}
    with measured("index", figures):
        splits = load(root)
    with measured("fingerprint", figures):
        fingerprint(splits)
    with measured("check images", figures):
        everything = splits.train + splits.test
        require_readable(splits.root, [record.path for record in everything])
    with measured("sample an epoch", figures):
        batches = sum(1 for _ in IdentityBatchSampler(splits.train, identities=8, images=4, seed=0))
    with measured("evaluate", figures):
        scores = _evaluate(splits, dim)
    print(f"{batches} batches; rank-1 {100 * scores:.3f} % of {len(splits.test)} test images")
    return figures


def _evaluate(splits: Splits, dim: int) -> float:
    (trial,) = evaluate(PROTOCOLS["csv_i2v"], random_features(splits.test, dim))
    return trial.metrics["rank1"]


def table(found: Mapping[int, Figures]) -> str:
    """Markdown: a row per number of images."""
    header = "| images | " + " | ".join(f"{step} (s) | MiB" for step in STEPS) + " |"
    lines = [header, "|---" * (1 + 2 * len(STEPS)) + "|"]
    for images, figures in found.items():
        cells = [f"{figures[s]['seconds']:.2f} | {figures[s]['peak_mib']:.0f}" for s in STEPS]
        lines.append(f"| {images:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(found: Mapping[int, Figures], path: Path) -> None:
    """Seconds and memory over the number of images."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    units: dict[str, tuple[str, Callable[[dict[str, float]], float]]] = {
        "processor seconds": ("seconds", lambda f: f["seconds"]),
        "peak memory (GiB)": ("peak_mib", lambda f: f["peak_mib"] / 2**10),
    }
    with drawn(path, DOUBLE, 2.6) as figure:
        handles = []
        for axes, (label, (_, value)) in zip(figure.subplots(1, 2), units.items(), strict=True):
            handles = [
                axes.plot(
                    list(found),
                    [value(figures[step]) for figures in found.values()],
                    marker="os^Dv"[number],
                    markersize=4,
                    **line_style(number),
                )[0]
                for number, step in enumerate(STEPS)
            ]
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(list(found)))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_locator(NullLocator())
            if label.endswith("seconds"):
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(numticks=9))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_locator(NullLocator())
            else:
                axes.set_ylim(bottom=0)
            axes.set_xlabel("images in the data set")
            axes.set_ylabel(label)
            tidy(axes)
        figure.legend(handles, STEPS, loc="outside upper center", ncols=5, frameon=False)


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table; a size in a process of its own, so that memory is that size's."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    line.add_argument("--identities", type=int, nargs="+", default=[100, 1_000, 10_000])
    line.add_argument("--dim", type=int, default=256, help="numbers of a feature")
    line.add_argument("--folder", type=Path, help="for the data sets; default: a temporary one")
    line.add_argument("--out", type=Path, metavar="FILE", help="figure: .png, .pdf or .svg")
    line.add_argument("--json", type=Path, metavar="FILE", help="the numbers")
    line.add_argument("--measure", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    args = line.parse_args(sys.argv[1:] if arguments is None else arguments)
    if args.measure:
        figures = measure(args.measure, args.dim)
        (args.measure / "figures.json").write_text(json.dumps(figures))
        return
    if args.out:
        require_figure(args.out)
    found: dict[int, Figures] = {}
    for identities in args.identities:
        with tempfile.TemporaryDirectory(dir=args.folder, prefix="vireid_scale_") as folder:
            images = write_set(Path(folder), identities)
            command = [sys.executable, __file__, "--measure", folder, "--dim", str(args.dim)]
            subprocess.run(command, check=True)
            found[images] = json.loads((Path(folder) / "figures.json").read_text())
        print(table({images: found[images]}), flush=True)
    print(f"\n{table(found)}")
    if args.json:
        replace_file(args.json, lambda file: file.write(json.dumps(found, indent=1).encode()))
    if args.out:
        draw(found, args.out)


if __name__ == "__main__":
    raise SystemExit(main())
