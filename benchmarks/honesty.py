"""What a data set gives away without learning: simple features on its test split.

    python benchmarks/honesty.py --layout sysu --root datasets/synthetic

A synthetic set is worth training on only if these yardsticks stay far below a trained network:
grey pixels and colour histograms near chance, gradient histograms (HOG) not far above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.data import regdb, sysu
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.gallery import read_permutations
from vireid.evaluation.protocols import PROTOCOLS
from vireid.structures import FeatureSet, ImageRecord, Splits

HEIGHT, WIDTH = 128, 64
CELL = 8  # pixels
ORIENTATIONS = 9  # unsigned
STRIPES = 6
BINS = 8
READERS: dict[str, Callable[..., Splits]] = {"sysu": sysu.load, "regdb": regdb.load}
PROTOCOLS_OF = {"sysu": ("sysu_all_single",), "regdb": ("regdb_v2t", "regdb_t2v")}


def grey_pixels(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (H·W,): grey levels, free of their mean."""
    grey = image.mean(axis=2)
    return (grey - grey.mean()).ravel()


def colour_histogram(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (STRIPES·3·BINS,): shares of the levels of each channel by stripe."""
    counts = [
        np.bincount(stripe[..., channel].ravel() // (256 // BINS), minlength=BINS)
        for stripe in np.array_split(image, STRIPES)
        for channel in range(3)
    ]
    return np.concatenate(counts).astype(np.float64)


def hog(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → blocks of 2 × 2 cells, 9 unsigned orientations, each block of length 1."""
    grey = image.mean(axis=2)
    down, right = np.gradient(grey)
    size = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) / np.pi * ORIENTATIONS - 0.5
    low = np.floor(turn).astype(int)
    share = turn - low
    rows, columns = HEIGHT // CELL, WIDTH // CELL
    cell = (np.arange(HEIGHT) // CELL)[:, None] * columns + (np.arange(WIDTH) // CELL)[None, :]
    cells = np.zeros(rows * columns * ORIENTATIONS)
    for bins, weight in ((low, 1 - share), (low + 1, share)):  # votes for the two nearest bins
        index = cell * ORIENTATIONS + bins % ORIENTATIONS
        cells += np.bincount(index.ravel(), (size * weight).ravel(), minlength=len(cells))
    grid = cells.reshape(rows, columns, ORIENTATIONS)
    blocks = np.concatenate([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]], axis=2)
    return (blocks / (np.linalg.norm(blocks, axis=2, keepdims=True) + 1.0)).ravel()


FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "grey pixels": grey_pixels,
    "colour histogram": colour_histogram,
    "HOG": hog,
}


def read_image(root: Path, record: ImageRecord) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8"""
    with Image.open(root / record.path) as image:
        resized = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def feature_set(
    images: Sequence[np.ndarray],
    records: Sequence[ImageRecord],
    describe: Callable[[np.ndarray], np.ndarray],
) -> FeatureSet:
    """Features of images by one yardstick."""
    return FeatureSet(
        features=np.stack([describe(image) for image in images]).astype(np.float64),
        pids=np.array([record.pid for record in records], np.int64),
        camids=np.array([record.camid for record in records], np.int64),
        modality=np.array([int(record.modality) for record in records], np.uint8),
        paths=np.array([record.path for record in records]),
    )


def yardsticks(splits: Splits, protocol_name: str) -> dict[str, dict[str, float]]:
    """Mean metrics over the gallery trials, by feature; ``chance`` is the mean of random ones."""
    protocol = PROTOCOLS[protocol_name]
    permutations = splits.gallery_permutations and read_permutations(splits.gallery_permutations)
    images = [read_image(splits.root, record) for record in splits.test]
    rng = np.random.default_rng(0)

    def scores(features: FeatureSet) -> dict[str, float]:
        trials = evaluate(protocol, features, permutations=permutations or None)
        return {
            name: float(np.mean([trial.metrics[name] for trial in trials]))
            for name in ("rank1", "mAP")
        }

    found = {
        name: scores(feature_set(images, splits.test, describe))
        for name, describe in FEATURES.items()
    }
    blank = feature_set(images, splits.test, lambda image: np.zeros(1))
    draws = [
        scores(replace(blank, features=rng.standard_normal((len(blank), 16)))) for _ in range(10)
    ]
    found["chance"] = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    return found


def main() -> None:
    """Prints one line per protocol and feature."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--layout", choices=sorted(READERS), required=True)
    line.add_argument("--root", type=Path, required=True, metavar="DIR")
    args = line.parse_args()
    splits = READERS[args.layout](args.root)
    for protocol in PROTOCOLS_OF[args.layout]:
        for name, metrics in yardsticks(splits, protocol).items():
            print(
                f"{protocol:16} {name:17} rank-1 {metrics['rank1']:.3f}  mAP {metrics['mAP']:.3f}"
            )


if __name__ == "__main__":
    main()
