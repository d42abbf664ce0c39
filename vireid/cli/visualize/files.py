"""Images that are named on the command line and need not belong to a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from vireid.data.build import pixel_rules
from vireid.data.datasets import DATASETS
from vireid.deploy.preprocessing import load_resized
from vireid.errors import DataError, UsageError
from vireid.structures import Modality


def require_modality(cfg: CfgNode, modality: Modality) -> None:
    """Raises :class:`UsageError` for a modality that the run's model was not trained with."""
    known = DATASETS[cfg.DATA.DATASET].modalities
    if modality not in known:
        names = " and ".join(one.name.lower() for one in known)
        raise UsageError(f"modality {modality.name.lower()}: this run's images are {names}")


def read_images(cfg: CfgNode, files: Sequence[Path], modality: Modality) -> np.ndarray:
    """(N, H, W, 3) uint8: images as the run's model receives them.

    Raises:
        DataError: names the file that is missing or no image.
    """
    rule, size = pixel_rules(cfg)[modality], tuple(cfg.INPUT.SIZE)
    for file in files:
        if file.is_dir():
            raise DataError(f"image {file} is a folder: name the files in it")
    return np.stack([load_resized(file, size, rule) for file in files])
