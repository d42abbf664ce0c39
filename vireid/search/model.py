"""The model that a gallery is filled and searched with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from vireid.data.pixels import PixelRule, Range, checked_range
from vireid.deploy.extractor import Extractor, streams_beside
from vireid.errors import CheckpointError, UsageError
from vireid.runs.options import require_run
from vireid.search.detection import Detector, person_crops
from vireid.search.gallery import Gallery
from vireid.search.people import Detect
from vireid.structures import Modality
from vireid.utils.paths import expand


class BatchExtractor:
    """An extractor with the tool's number of images at once."""

    def __init__(self, extractor: Extractor, batch: int) -> None:
        self._extractor, self._batch = extractor, batch
        self.dim = extractor.dim
        self.fingerprint = extractor.fingerprint
        self.modalities = extractor.modalities
        self.size: tuple[int, int] = extractor.metadata.size

    def rule(self, modality: Modality) -> PixelRule:
        """How images of a modality become RGB."""
        return self._extractor.metadata.rule(modality.name.lower())

    def __call__(self, images: Sequence[Path | Image.Image], modality: str) -> np.ndarray:
        return self._extractor(images, modality, batch=self._batch, progress=False)


def open_model(args: argparse.Namespace, gallery: Gallery | None) -> tuple[BatchExtractor, str]:
    """The model of ``--model`` or ``--run``, or the gallery's own; and where it is.

    Args:
        gallery: that the model must have made; None if there is none yet.
    Raises:
        CheckpointError: it is missing, or not the one that built the gallery.
        UsageError: options that no model takes, or images of a modality that this one does not.
    """
    for option in ("threads", "batch"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option} must be at least 1, got {value}")
    if args.run is not None:
        require_run(args.run)
    path = expand(args.run or args.model or own_model(gallery))
    extractor = Extractor(
        path,
        args.backend,
        args.threads,
        device=args.device,
        range={args.modality: _range(args.range)},
    )
    model = BatchExtractor(extractor, args.batch)
    if gallery is not None:
        gallery.require_model(model.fingerprint)
    modality = args.modality.name.lower()
    if modality not in model.modalities:
        raise UsageError(
            f"--modality {modality}: the model {path} takes {' and '.join(model.modalities)} "
            "images; name one that takes these by --model or --run"
        )
    return model, str(path.resolve())


def open_detector(args: argparse.Namespace, model: BatchExtractor) -> Detect | None:
    """The person detector of ``--detect``; None without the option.

    Raises:
        UsageError: its weights are not there; says how to get them.
    """
    if not args.detect:
        return None
    detector = Detector(args.device, args.threads)
    return partial(person_crops, detect=detector, rule=model.rule(args.modality))


def _range(words: Sequence[str] | None) -> Range | None:
    """``--range LOW HIGH`` or ``--range percentile``."""
    if words is None:
        return None
    try:
        return checked_range(words[0] if len(words) == 1 else words)
    except ValueError as error:
        raise UsageError(f"--range: {error}") from error


def own_model(gallery: Gallery | None) -> Path:
    """The model that built a gallery.

    Raises:
        CheckpointError: it is not there any more.
        UsageError: the gallery does not say which it is.
    """
    name = gallery.model.place if gallery is not None else ""
    place = gallery.place if gallery is not None else ""
    if not name:
        raise UsageError(f"the gallery {place} does not say by which model: name it by --model")
    path = Path(name)
    if not path.exists() and not streams_beside(path, path.suffix):
        raise CheckpointError(
            f"the model {name}, which built the gallery {place}, is not there any more: name it by "
            "--model or --run"
        )
    return path
