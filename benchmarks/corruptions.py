"""Measures how many images a second each corruption takes.

    taskset -c 0 python benchmarks/corruptions.py

Every kind corrupts rendered persons at every severity. Prints images per second, by kind and over
all kinds (each equally often), of one processor core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vireid.cli.arguments import tool
from vireid.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt


def images(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Smooth coloured images (H, W, 3) with some texture."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, size=(count, 12, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize(size[::-1])) for one in small]


def measure(size: tuple[int, int], count: int) -> dict[str, float]:
    """Seconds of one image, by kind; the mean over the severities."""
    pictures, seconds = images(count, size), {}
    for kind in CORRUPTIONS:
        corrupt(pictures[0], kind, 1, np.random.default_rng(0))  # imports and tables
        started = time.perf_counter()
        for severity in SEVERITIES:
            for seed, picture in enumerate(pictures):
                corrupt(picture, kind, severity, np.random.default_rng(seed))
        seconds[kind] = (time.perf_counter() - started) / (len(SEVERITIES) * count)
    return seconds


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python benchmarks/corruptions.py --help``."""
    line = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    line.add_argument("--size", type=int, nargs=2, default=(288, 144), metavar=("H", "W"))
    line.add_argument("--images", type=int, default=8, help="per kind and severity (8)")
    args = line.parse_args(arguments)
    seconds = measure(tuple(args.size), args.images)
    for kind, one in seconds.items():
        print(f"{kind:18} {1 / one:7.0f} images/s")
    print(f"{'all':18} {len(seconds) / sum(seconds.values()):7.0f} images/s")


if __name__ == "__main__":
    main()
