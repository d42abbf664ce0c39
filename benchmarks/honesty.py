"""What can be recognised in a data set without learning: simple features on its test split.

    python benchmarks/honesty.py --layout sysu --root datasets/synthetic

Training on a synthetic set makes sense only if these baselines stay far below a trained model:
grey pixels and colour histograms near chance, gradient histograms (HOG) not far above it. Vehicles
have few colours and shapes, so simple features recognise a car model, but not a car. The viewpoints
of rendered vehicles are known: their scores are also shown by the viewpoint difference between a
query and its matches, and ``--features`` adds saved features of trained models. Of a track,
``--frames`` frames are averaged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.cli.arguments import tool
from vireid.data.datasets import DATASETS
from vireid.data.tracks import frame_records
from vireid.engine.extract import labels_of
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import distance_rows
from vireid.evaluation.evaluate import evaluate
from vireid.evaluation.feature_files import read_features
from vireid.evaluation.protocols import PROTOCOLS
from vireid.evaluation.query_gallery import read_permutations
from vireid.evaluation.tracks import pool_tracks
from vireid.structures import FeatureSet, ImageRecord, Role, Splits
from vireid.synthetic.vehicles.render import VIEWPOINTS
from vireid.synthetic.writers.vehicles import VIEWPOINT_LIST, read_viewpoints

SIZE = (128, 64)  # height, width
SIZES = {"veri": (128, 128), "vehicleid": (128, 128)}
CELL = 8  # pixels
ORIENTATIONS = 9  # unsigned
STRIPES = 6
BINS = 8
FRAMES = 6
PROTOCOLS_OF = {
    "sysu": ("sysu_all_single",),
    "regdb": ("regdb_v2t", "regdb_t2v"),
    "veri": ("veri",),
    "vehicleid": ("vehicleid_2400",),
    "orbench": ("orbench_n2v",),
    "vcm": ("vcm_i2v", "vcm_v2i"),
    "bupt": ("bupt_i2v", "bupt_v2i"),
}


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
    height, width = grey.shape
    rows, columns = height // CELL, width // CELL
    cell = (np.arange(height) // CELL)[:, None] * columns + (np.arange(width) // CELL)[None, :]
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


def read_image(root: Path, record: ImageRecord, size: tuple[int, int]) -> np.ndarray:
    """(*size, 3) uint8"""
    with Image.open(root / record.path) as image:
        resized = image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


def feature_set(
    images: Sequence[np.ndarray],
    records: Sequence[ImageRecord],
    describe: Callable[[np.ndarray], np.ndarray],
) -> FeatureSet:
    """One kind of features of images, or of tracks from those of their frames."""
    features = np.stack([describe(image) for image in images]).astype(np.float64)
    return pool_tracks(replace(labels_of(records), features=features))


def baseline_scores(
    splits: Splits, protocol_name: str, size: tuple[int, int] = SIZE, *, frames: int = FRAMES
) -> dict[str, dict[str, float]]:
    """Mean metrics over the gallery trials, by feature; ``chance`` is the mean of random ones.

    Args:
        frames: of a track.
    """
    protocol = PROTOCOLS[protocol_name]
    permutations = splits.gallery_permutations and read_permutations(splits.gallery_permutations)
    records = frame_records(splits.test, frames)
    images = [read_image(splits.root, record, size) for record in records]
    rng = np.random.default_rng(0)

    def scores(features: FeatureSet) -> dict[str, float]:
        trials = evaluate(protocol, features, permutations=permutations or None)
        return {
            name: float(np.mean([trial.metrics[name] for trial in trials]))
            for name in ("rank1", "mAP")
        }

    found = {
        name: scores(feature_set(images, records, describe)) for name, describe in FEATURES.items()
    }
    blank = labels_of(splits.test)
    draws = [
        scores(replace(blank, features=rng.standard_normal((len(blank), 16)))) for _ in range(10)
    ]
    found["chance"] = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    return found


def viewpoint_records(splits: Splits) -> list[ImageRecord]:
    """The test images that ``by_viewpoint`` compares; VeRi's gallery also has the queries."""
    return [record for record in splits.test if record.role is not Role.QUERY]


def by_viewpoint(splits: Splits, features: np.ndarray) -> list[tuple[float, float, int]]:
    """(rank-1, mAP, queries) by the viewpoint difference of a query and its matches.

    There is one entry per eighth of a turn, from 0 to 4.

    Every query searches all images of other identities, and its own identity's in other cameras
    that see it from a side so many eighths of a turn away.

    Args:
        features: (N, D), a row for each of ``viewpoint_records``.
    """
    sides = {path: VIEWPOINTS.index(side) for path, side in read_viewpoints(splits.root).items()}
    records = viewpoint_records(splits)
    side = np.array([sides[record.path] for record in records])
    pids, cameras = (np.array([getattr(r, key) for r in records]) for key in ("pid", "camid"))
    turn = np.abs(side[:, None] - side) % 8
    turn = np.minimum(turn, 8 - turn)
    same = pids[:, None] == pids
    matches = same & (cameras[:, None] != cameras)
    distances = distance_rows("cosine", features, features)(np.arange(len(features)))
    order = np.argsort(distances, axis=1, kind="stable")
    return [
        _scores(*(np.take_along_axis(mask, order, axis=1) for mask in (hits, hits | ~same)))
        for hits in (matches & (turn == eighths) for eighths in range(5))
    ]


def saved_features(path: Path, records: Sequence[ImageRecord]) -> np.ndarray:
    """(N, D) rows of a ``features.npz``, one for each record.

    Raises:
        DataError: it holds none of an image.
    """
    saved = read_features(path)
    rows = {name: row for row, name in enumerate(saved.paths)}
    missing = [record.path for record in records if record.path not in rows]
    if missing:
        raise DataError(f"{path} has no features of {missing[0]}: extract those of this data set")
    return saved.features[[rows[record.path] for record in records]]


def _scores(hits: np.ndarray, kept: np.ndarray) -> tuple[float, float, int]:
    """Rank-1, mAP and number of the queries that have a match, of (N, N) ranked lists."""
    lists = [hit[keep] for hit, keep in zip(hits, kept, strict=True) if hit.any()]
    if not lists:
        return 0.0, 0.0, 0
    ranks = [np.flatnonzero(hit) + 1 for hit in lists]
    precision = [np.mean(np.arange(1, len(rank) + 1) / rank) for rank in ranks]
    return float(np.mean([hit[0] for hit in lists])), float(np.mean(precision)), len(lists)


def _print_by_viewpoint(splits: Splits, size: tuple[int, int], saved: Sequence[Path]) -> None:
    records = viewpoint_records(splits)
    images = [read_image(splits.root, record, size) for record in records]
    shown = {name: feature_set(images, records, f).features for name, f in FEATURES.items()}
    shown |= {path.stem: saved_features(path, records) for path in saved}
    for name, features in shown.items():
        for eighths, (rank1, mean, queries) in enumerate(by_viewpoint(splits, features)):
            print(
                f"{45 * eighths:3d}° apart       {name:17} rank-1 {rank1:.3f}  mAP {mean:.3f}  "
                f"({queries} queries)"
            )


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line per protocol and feature."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--layout", choices=sorted(PROTOCOLS_OF), required=True)
    line.add_argument("--root", type=Path, required=True, metavar="DIR")
    line.add_argument("--features", type=Path, nargs="*", default=[], metavar="FILE")
    line.add_argument("--frames", type=int, default=FRAMES, help="of a track, averaged; 0: all")
    args = line.parse_args(arguments)
    splits, size = DATASETS[args.layout].load(args.root), SIZES.get(args.layout, SIZE)
    sides_known = (args.root / VIEWPOINT_LIST).is_file()
    if args.features and not sides_known:
        raise UsageError(
            f"--features needs {VIEWPOINT_LIST}, which {args.root} has not: score "
            "saved features with the evaluate tool, or name a set of rendered vehicles"
        )
    for protocol in PROTOCOLS_OF[args.layout]:
        scores = baseline_scores(splits, protocol, size, frames=args.frames)
        for name, metrics in scores.items():
            print(
                f"{protocol:16} {name:17} rank-1 {metrics['rank1']:.3f}  mAP {metrics['mAP']:.3f}"
            )
    if sides_known:
        _print_by_viewpoint(splits, size, args.features)


if __name__ == "__main__":
    raise SystemExit(main())
