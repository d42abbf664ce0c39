"""The features of a run's images, computed by its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from yacs.config import CfgNode

from vireid.data.build import build_eval_loader, pixel_rules
from vireid.data.pixels import PixelRule
from vireid.engine.extract import extract_features
from vireid.errors import DataError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import gallery_exit
from vireid.runs.grey_ranges import with_ranges
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits

TORCH = "torch"


class Backend(Protocol):
    """Another library than torch that computes a run's features (``TEST.BACKEND``).

    Attributes:
        used: its name; ``torch`` where torch had to compute them.
    """

    used: str

    def __call__(
        self,
        root: Path,
        records: Sequence[ImageRecord],
        exit_name: str,
        rules: Mapping[Modality, PixelRule],
    ) -> FeatureSet:
        """Features of the records, whose paths are relative to ``root``, at an exit.

        Args:
            rules: how the images of each modality become RGB.
        """
        ...


def backend_name(backend: Backend | None) -> str:
    """The library that computed the features."""
    return TORCH if backend is None else backend.used


def features_of(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    exit_name: str = "",
    backend: Backend | None = None,
) -> FeatureSet:
    """One exit's features of the records; the model keeps its mode.

    Args:
        exit_name: instead of ``TEST.EXIT``.
        backend: instead of torch.
    Raises:
        DataError: an image cannot be read.
        UsageError: the model has no such exit or embedding.
    """
    chosen = build_inference_model(
        model, exit_name=exit_name or cfg.TEST.EXIT, embedding=cfg.TEST.EMBED
    )
    cfg = with_ranges(cfg, splits, records)
    if backend is not None:
        return backend(splits.root, records, exit_name or cfg.TEST.EXIT, pixel_rules(cfg))
    was_training = model.training
    model.eval()
    chosen.eval()
    features = extract_features(
        chosen,
        build_eval_loader(cfg, splits.root, records, device=device),
        records,
        device=device,
        mean=cfg.INPUT.MEAN,
        std=cfg.INPUT.STD,
        flip=cfg.TEST.FLIP,
    )
    model.train(was_training)
    return features


def features_by_query(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    query_modalities: Sequence[Modality],
    backend: Backend | None = None,
) -> dict[Modality, FeatureSet]:
    """Features for the protocols whose queries are of each modality.

    Queries leave the model at ``TEST.EXIT``; images of the other modality, which are these
    protocols' galleries, at ``TEST.GALLERY_EXIT``.
    """
    extract = partial(features_of, cfg, model, splits, records, device=device, backend=backend)
    features = extract()
    if gallery_exit(cfg) == cfg.TEST.EXIT:
        return dict.fromkeys(query_modalities, features)
    other = extract(exit_name=gallery_exit(cfg))
    return {modality: mixed(features, other, modality) for modality in query_modalities}


def records_of(protocol: RetrievalProtocol, splits: Splits) -> Sequence[ImageRecord]:
    """The images that a protocol scores; :class:`DataError` if none of them were held out."""
    if not protocol.held_out:
        return splits.test
    if not splits.val:
        raise DataError(f"{protocol.name} needs validation identities: set DATA.SPLIT train")
    return splits.val


def records_in(splits: Splits, split: str) -> Sequence[ImageRecord]:
    """The images of ``test``, ``val`` or ``train``; :class:`DataError` if there is none."""
    records = {"test": splits.test, "val": splits.val, "train": splits.train}[split]
    if not records:
        raise DataError(f"{splits.root}: no {split} image; DATA.SPLIT train holds some out")
    return records


def mixed(queries: FeatureSet, gallery: FeatureSet, query_modality: Modality) -> FeatureSet:
    """One set of the same images: one modality's rows of the first, the other's of the second."""
    is_query = (queries.modality == query_modality)[:, None]
    return replace(queries, features=np.where(is_query, queries.features, gallery.features))
