"""Crops of street scenes in RegDB's layout: validation by scene, and scores by overlap.

    python benchmarks/real_images.py folds --root ROOT --crops crops.csv
    python benchmarks/real_images.py score RUN_OR_FEATURES … --root ROOT --crops crops.csv

``crops.csv`` says how each image was cut: path, scene, centre_x, centre_y, width, height. The two
images of a scene are aligned, and an identity is a region of them.

``folds`` shares the training identities out among five files, none of which has a scene in common
with another. Each is a value of DATA.VAL_IDS.

``score`` prints rank-1 and mAP of both directions: for all matches, and without the matches whose
rectangles overlap the query's by a bound or more (intersection over union; a rotation is ignored).
A descriptor of what is where finds crops that are aligned by chance. Several runs or files are
seeds: their mean ± standard deviation is printed, too. ``--root`` adds rows for HOG and for grey
pixels at 96 × 48.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from honesty import FEATURES, feature_set, read_image

from vireid.cli.arguments import tool
from vireid.cli.sources import read_sets, titles_of
from vireid.data.datasets import regdb
from vireid.errors import DataError, UsageError
from vireid.evaluation.distance import distance_rows
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits
from vireid.utils.io import replace_file
from vireid.utils.tables import markdown

FOLDS = 5
BOUNDS = (0.8, 0.7, 0.6)
ALL = 2.0  # no overlap is as large
SIZE = (96, 48)  # height, width of the images that HOG and grey pixels describe
DESCRIPTORS = ("HOG", "grey pixels")
COLUMNS = ("path", "scene", "centre_x", "centre_y", "width", "height")
DIRECTIONS = {"v2t": Modality.VISIBLE, "t2v": Modality.INFRARED}  # → modality of the queries
METRICS = ("rank-1", "mAP")


class Crop(NamedTuple):
    """One image's place: a scene, and the rectangle in it, pixels."""

    scene: int
    low: tuple[float, float]
    high: tuple[float, float]


def read_crops(path: Path) -> dict[str, Crop]:
    """The crops by the paths of their images.

    Raises:
        DataError: the file cannot be read, or lacks a column or a number.
    """
    crops = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    x, y, width, height = (float(row[name]) for name in COLUMNS[2:])
                    low, high = (x - width / 2, y - height / 2), (x + width / 2, y + height / 2)
                    crops[row["path"]] = Crop(int(row["scene"]), low, high)
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(
                        f"{path}, line {number}: expected the columns {', '.join(COLUMNS)}, the "
                        f"scene a whole number and the others numbers ({error!r})"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file of crops: {error}") from error
    return crops


def crops_of(paths: Iterable[str], crops: Mapping[str, Crop], where: Path) -> list[Crop]:
    """The crop of each image; ``DataError`` if one has none."""
    paths = list(paths)
    missing = [path for path in paths if path not in crops]
    if missing:
        raise DataError(f"{where} has no crop of {len(missing)} images, the first: {missing[0]}")
    return [crops[path] for path in paths]


def scene_folds(
    records: Sequence[ImageRecord], crops: Mapping[str, Crop], where: Path, folds: int = FOLDS
) -> list[list[int]]:
    """Identities in groups that share no scene, of about equal size.

    Scenes are taken from the one with the most identities to the one with the fewest; of equal
    ones, that of the larger number comes first. Each goes to the smallest group.

    Raises:
        DataError: an identity is in two scenes, or there are fewer scenes than groups.
    """
    scene_of: dict[int, int] = {}
    for record, crop in zip(
        records, crops_of((r.path for r in records), crops, where), strict=True
    ):
        if scene_of.setdefault(record.pid, crop.scene) != crop.scene:
            raise DataError(f"{where}: identity {record.pid} is in two scenes: {record.path}")
    members: dict[int, list[int]] = defaultdict(list)
    for pid in sorted(scene_of):
        members[scene_of[pid]].append(pid)
    if len(members) < folds:
        raise DataError(f"{where}: {len(members)} scenes are too few for {folds} files")
    groups: list[list[int]] = [[] for _ in range(folds)]
    for scene in sorted(members, key=lambda one: (len(members[one]), one), reverse=True):
        min(groups, key=len).extend(members[scene])
    return groups


def overlaps(crops: Sequence[Crop], others: Sequence[Crop]) -> np.ndarray:
    """(N, M) intersection over union of rectangles."""
    low, high, other_low, other_high = (
        np.array([crop[side] for crop in group]) for group in (crops, others) for side in (1, 2)
    )
    sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
    common = np.clip(sides, 0, None).prod(axis=2)
    areas = (high - low).prod(axis=1)[:, None] + (other_high - other_low).prod(axis=1)
    return np.asarray(common / (areas - common))


class Score(NamedTuple):
    """Scores of one direction; fractions. ``queries`` are those that keep a match."""

    queries: int
    rank1: float
    mean_ap: float


def score(
    features: FeatureSet, crops: Sequence[Crop], query: Modality, bounds: Sequence[float]
) -> list[Score]:
    """Scores of one direction for each bound.

    Args:
        crops: of the rows of ``features``.
        query: modality of the queries; all images of the other one are the gallery.
        bounds: matches of this overlap or more are left out of a query's list.
    Raises:
        DataError: no query, or no query that keeps a match.
    """
    rows, columns = (np.flatnonzero((features.modality == query) == side) for side in (True, False))
    if not len(rows) or not len(columns):
        raise DataError("features of both modalities are needed: name those of test images")
    distances = distance_rows("cosine", features.features[rows], features.features[columns])
    order = np.argsort(distances(np.arange(len(rows))), axis=1, kind="stable")
    same = features.pids[rows][:, None] == features.pids[columns]
    places = overlaps([crops[row] for row in rows], [crops[row] for row in columns])
    return [_score(same, same & (places >= bound), order) for bound in bounds]


def _score(same: np.ndarray, removed: np.ndarray, order: np.ndarray) -> Score:
    """Scores of (Q, G) matches, of which some are removed, ranked by ``order``."""
    hits, kept = (np.take_along_axis(mask, order, axis=1) for mask in (same & ~removed, ~removed))
    answered = hits.any(axis=1)
    if not answered.any():
        raise DataError("no query has a match of less overlap: raise the bound")
    hits, place = hits[answered], np.cumsum(kept[answered], axis=1)
    precision = np.where(hits, np.cumsum(hits, axis=1) / np.maximum(place, 1), 0)
    mean_ap = (precision.sum(axis=1) / hits.sum(axis=1)).mean()
    first = (hits & (place == 1)).any(axis=1).mean()
    return Score(int(answered.sum()), float(first), float(mean_ap))


Scores = dict[str, list[Score]]  # by direction, one for each bound


def scores_of(
    features: FeatureSet, crops: Mapping[str, Crop], where: Path, bounds: Sequence[float]
) -> Scores:
    """Scores of both directions; see :func:`score`."""
    own = crops_of(features.paths.tolist(), crops, where)
    return {name: score(features, own, query, bounds) for name, query in DIRECTIONS.items()}


def rows_of(found: Mapping[str, Scores], bounds: Sequence[float]) -> Iterator[dict[str, str]]:
    """Lines of the table: of each set of features, by bound."""
    for place, bound in enumerate(bounds):
        for name, scores in found.items():
            line = {"matches": label(bound), "features": name}
            for direction, by_bound in scores.items():
                _, *values = by_bound[place]
                line |= {
                    f"{direction} {metric}": f"{100 * v:.1f}"
                    for metric, v in zip(METRICS, values, strict=True)
                }
            yield line


def mean_rows(found: Mapping[str, Scores], bounds: Sequence[float]) -> Iterator[dict[str, str]]:
    """Mean ± standard deviation over several sets of features, by bound."""
    for place, bound in enumerate(bounds):
        line = {"matches": label(bound), "features": f"mean of {len(found)}"}
        for direction in DIRECTIONS:
            values = np.array([scores[direction][place][1:] for scores in found.values()])
            for metric, mean, spread in zip(
                METRICS, values.mean(axis=0), values.std(axis=0, ddof=1), strict=True
            ):
                line[f"{direction} {metric}"] = f"{100 * mean:.1f} ± {100 * spread:.1f}"
        yield line


def label(bound: float) -> str:
    """What matches a bound leaves."""
    return "all" if bound > 1 else f"overlap < {bound:g}"


def descriptors(root: Path, records: Sequence[ImageRecord]) -> dict[str, FeatureSet]:
    """Features of images without learning."""
    images = [read_image(root, record, SIZE) for record in records]
    return {name: feature_set(images, records, FEATURES[name]) for name in DESCRIPTORS}


def write_folds(splits: Splits, crops: Path, out: Path) -> None:
    """Writes ``1.txt`` … ``5.txt`` and prints what they hold."""
    read = read_crops(crops)
    groups = scene_folds(splits.train, read, crops)
    scene_of = {record.pid: read[record.path].scene for record in splits.train}
    for number, pids in enumerate(groups, start=1):
        text = "".join(f"{pid}\n" for pid in pids).encode()
        path = out / f"{number}.txt"
        replace_file(path, lambda file, text=text: file.write(text))
        scenes = {scene_of[pid] for pid in pids}
        print(f"wrote {path}: identities {len(pids)}, scenes {len(scenes)}")


def print_scores(args: argparse.Namespace) -> None:
    """The table of ``score``."""
    if not args.features and args.root is None:
        raise UsageError("name runs or files of features, or --root for HOG and grey pixels")
    crops, bounds = read_crops(args.crops), [ALL, *args.bounds]
    sets = dict(zip(titles_of(args.features, ()), read_sets(args.features), strict=True))
    found = {name: scores_of(one, crops, args.crops, bounds) for name, one in sets.items()}
    lines = list(rows_of(found, bounds))
    lines += mean_rows(found, bounds) if len(found) > 1 else []
    if args.root is not None:
        splits = regdb.load(args.root, split_trial=args.trial)
        plain = descriptors(splits.root, splits.test)
        plain_scores = {n: scores_of(one, crops, args.crops, bounds) for n, one in plain.items()}
        lines += rows_of(plain_scores, bounds)
    print(markdown(lines))


@tool
def main(arguments: Sequence[str] | None = None) -> None:
    """See ``python benchmarks/real_images.py --help``."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = line.add_subparsers(dest="kind", required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument(
        "--crops", type=Path, required=True, metavar="FILE", help="how images were cut"
    )
    both.add_argument("--trial", type=int, default=1, help="number of the train/test split")
    folds = kinds.add_parser("folds", parents=[both], help="validation identities by scene")
    folds.add_argument("--root", type=Path, required=True, metavar="DIR")
    folds.add_argument("--out", type=Path, metavar="DIR", help="default: ROOT/folds")
    scoring = kinds.add_parser("score", parents=[both], help="scores by overlap")
    scoring.add_argument("features", type=Path, nargs="*", metavar="RUN_OR_FEATURES")
    scoring.add_argument("--root", type=Path, metavar="DIR", help="adds HOG and grey pixels")
    scoring.add_argument("--bounds", type=float, nargs="*", default=BOUNDS, metavar="OVERLAP")
    args = line.parse_args(arguments)
    if args.kind == "score":
        print_scores(args)
        return
    splits = regdb.load(args.root, split_trial=args.trial)
    out = args.out or splits.root / "folds"
    out.mkdir(parents=True, exist_ok=True)
    write_folds(splits, args.crops, out)


if __name__ == "__main__":
    raise SystemExit(main())
