"""Compares two ways of computing features: values, nearest neighbours and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from yacs.config import CfgNode

from vireid.data.tracks import frame_records
from vireid.deploy.extractor import Extractor
from vireid.engine.extract import labels_of
from vireid.errors import AccuracyError, CheckpointError
from vireid.evaluation.distance import collapse_problem
from vireid.evaluation.results import result_entries
from vireid.runs.features import per_record, records_of
from vireid.runs.score import check_answerable, chosen_protocols
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits

LARGEST = 1e-4  # difference of two numbers of unit features that float32 runtimes may have
AGREEMENT = 0.99  # least share of the nearest that both must have in common
NEAREST = 10
ALIKE = 1e-3  # 1 - cosine below which the order of the nearest may hang on rounding


def require_distinct(features: np.ndarray, images: Sequence[np.ndarray], modality: str) -> None:
    """
    Args:
        features: (N, D), of the images.
        images: (H, W, 3) uint8 each.
        modality: of the images, for the message.
    Raises:
        CheckpointError: images that differ all have the same feature.
    """
    seen = {image.tobytes(): row for row, image in reversed(list(enumerate(images)))}
    if problem := collapse_problem(features[sorted(seen.values())]):
        raise CheckpointError(
            f"the model gives every {modality} image the same feature ({problem}): its "
            "training collapsed (see the losses in metrics.csv; a lower "
            "SOLVER.BASE_LR often helps), and nothing was written"
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found.

    Args:
        difference: largest absolute difference of two numbers of the same unit feature.
        agreement: share of each image's nearest others that both have, mean over the images.
        nearest: how many others those are.
        images: compared.
        alike: in which way all features are almost the same; empty where they are not.
    """

    difference: float
    agreement: float
    nearest: int
    images: int
    alike: str = ""

    def __str__(self) -> str:
        return (
            f"largest difference {self.difference:.2g}, top-{self.nearest} agreement "
            f"{100 * self.agreement:.2f} % over {self.images} images"
        )

    def require(self, what: str) -> None:
        """
        Args:
            what: was compared, for the message.
        Raises:
            CheckpointError: the difference is beyond what rounding explains.
        """
        if self.difference <= LARGEST and self.agreement >= AGREEMENT:
            return
        if self.difference <= LARGEST and self.alike:
            raise CheckpointError(
                f"the model gives all images almost the same feature ({self.alike}), so that "
                f"rounding decides which are nearest ({what}: {self}): its training collapsed or "
                "hardly began; nothing was written"
            )
        raise CheckpointError(
            f"{what} computes other features than torch: {self}; allowed are {LARGEST:g} and "
            f"{100 * AGREEMENT:g} %; nothing was written"
        )


def compare(expected: np.ndarray, found: np.ndarray, nearest: int = NEAREST) -> Parity:
    """
    Args:
        expected, found: (N, D) unit features of the same images, N ≥ 2.
        nearest: how many others of each image to compare; fewer where there are not so many.
    """
    nearest = min(nearest, len(expected) - 1)
    both = zip(_nearest(expected, nearest), _nearest(found, nearest), strict=True)
    shares = [len(set(one) & set(other)) / nearest for one, other in both]
    difference = float(np.abs(expected.astype(np.float64) - found).max())
    alike = collapse_problem(expected, ALIKE)
    return Parity(difference, float(np.mean(shares)), nearest, len(expected), alike)


def _nearest(features: np.ndarray, count: int) -> list[list[int]]:
    """Indices of the most similar other rows of each row; equal ones in their order."""
    similar = features.astype(np.float64) @ features.astype(np.float64).T
    np.fill_diagonal(similar, -np.inf)
    return np.argsort(-similar, axis=1, kind="stable")[:, :count].tolist()


Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Entries of results.json before and after, by protocol."""

    float_scores: Entries
    int8_scores: Entries

    @property
    def drop(self) -> float:
        """Of rank-1, mean over the protocols, in points; negative where it rose.

        Protocols share images, so that one that loses is soon outweighed by another that gains
        where nothing but chance is at work.
        """
        drops = [
            entry["mean"]["rank1"] - self.int8_scores[name]["mean"]["rank1"]
            for name, entry in self.float_scores.items()
        ]
        return 100 * float(np.mean(drops))

    @property
    def queries(self) -> int:
        """Of the protocol that has most."""
        return max(entry["num_valid_query"] for entry in self.float_scores.values())

    def __str__(self) -> str:
        """Markdown, in per cent."""
        lines = ["| protocol | queries | rank1 fp32 | int8 | mAP fp32 | int8 |"]
        lines.append("|---|---|---|---|---|---|")
        for name, entry in self.float_scores.items():
            both = entry["mean"], self.int8_scores[name]["mean"]
            cells = [f"{100 * m[k]:.2f}" for k in ("rank1", "mAP") for m in both]
            lines.append(f"| {name} | {entry['num_valid_query']} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def require(self, allowed: float) -> None:
        """
        Args:
            allowed: points of rank-1.
        Raises:
            AccuracyError: it loses more.
        """
        if not self.drop <= allowed:
            raise AccuracyError(
                f"rank-1 falls by {self.drop:.2f} points in int8 (mean over the protocols, "
                f"{self.queries} queries), allowed are {allowed:g}: nothing was written; try more "
                "images with --calibration, allow more with --max-drop, or write it anyway with "
                "--force"
            )


def scores_of(cfg: CfgNode, splits: Splits, extractors: Mapping[str, Extractor]) -> Entries:
    """Entries of results.json, by protocol, of features that each modality's extractor makes.

    Raises:
        DataError: the data cannot answer a protocol.
    """
    protocols = chosen_protocols(cfg)
    permutations = check_answerable(protocols, splits)
    entries: dict[str, Any] = {}
    for records in {id(r): r for r in (records_of(p, splits) for p in protocols)}.values():
        frames = frame_records(records, cfg.DATA.FRAMES)
        found = features_of_records(splits.root, frames, extractors, batch=cfg.TEST.BATCH)
        features = per_record(found, records)
        asked = [p for p in protocols if records_of(p, splits) is records]
        entries |= result_entries(
            asked, features, permutations=permutations, metric=cfg.TEST.METRIC
        )
    return entries


def features_of_records(
    root: Path,
    records: Sequence[ImageRecord],
    extractors: Mapping[str, Extractor],
    *,
    batch: int,
    load: Callable[[ImageRecord], Image.Image] | None = None,
) -> FeatureSet:
    """Features, one row per record, each by its modality's extractor.

    Args:
        root: folder of the records' paths.
        extractors: by modality; a modality without images needs none.
        load: reads a record's image; none: the extractor reads the file.
    """
    labels = labels_of(records)
    dim = next(iter(extractors.values())).dim
    features = np.empty((len(records), dim), np.float32)
    for name, extractor in extractors.items():
        rows = np.flatnonzero(labels.modality == Modality[name.upper()])
        own = [records[int(row)] for row in rows]
        images: Any = [root / one.path for one in own] if load is None else LazyImages(own, load)
        features[rows] = extractor(images, name, batch=batch)
    return replace(labels, features=features)


class LazyImages:
    """The images of records, each read when it is asked for.

    Args:
        load: reads a record's image.
    """

    def __init__(
        self, records: Sequence[ImageRecord], load: Callable[[ImageRecord], Image.Image]
    ) -> None:
        self.records, self.load = records, load

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Image.Image:
        return self.load(self.records[index])
