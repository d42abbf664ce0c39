"""Images of a run's own data set, for checking and calibrating its exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from yacs.config import CfgNode

from vireid.data.build import build_splits
from vireid.deploy.metadata import NetworkCard
from vireid.deploy.preprocessing import ImageLike
from vireid.errors import DataError
from vireid.structures import ImageRecord, Modality


@dataclass(frozen=True, slots=True)
class Sample:
    """Images of one modality.

    Args:
        origin: where they come from, in words.
    """

    images: Sequence[ImageLike]
    origin: str


def spread(records: Sequence[ImageRecord], modality: str, count: int) -> list[ImageRecord]:
    """As many records of a modality as are asked for, or all there are, evenly over the list."""
    own = [record for record in records if record.modality is Modality[modality.upper()]]
    places = np.linspace(0, len(own) - 1, min(count, len(own))).round().astype(int)
    return [own[place] for place in places]


def check_sample(cfg: CfgNode, card: NetworkCard, modality: str, count: int) -> Sample:
    """Test images of a modality; patterns of noise where the data set is not there."""
    try:
        splits = build_splits(cfg)
        chosen = spread(splits.test, modality, count)
    except DataError as error:
        reason = str(error).splitlines()[0]
        return Sample(patterns(card, count), f"synthetic patterns, for {reason}")
    if len(chosen) < 2:
        return Sample(patterns(card, count), f"synthetic patterns, for want of {modality} images")
    paths = [splits.root / record.path for record in chosen]
    return Sample(paths, f"the run's own {modality} test images")


def patterns(card: NetworkCard, count: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 each: coarse noise, brought to the images' size; the same every time."""
    generator = np.random.default_rng(0)
    height, width = card.size
    coarse = generator.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width])
