"""The features of a run's images, and the range of those with more than eight bits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from yacs.config import CfgNode

from vireid.config import apply_overrides
from vireid.config.lists import with_found
from vireid.config.load import flatten
from vireid.config.values import override_text
from vireid.data.build import build_eval_loader, pixel_rules
from vireid.data.corruptions.draw import CorruptionRule
from vireid.data.findings import few_levels
from vireid.data.grey_range import auto_range
from vireid.data.images import ImageHeader, require_readable
from vireid.data.pixels import PixelRule
from vireid.data.tracks import frame_records
from vireid.engine.checkpoint import saved_options
from vireid.engine.extract import extract_features, labels_of
from vireid.errors import DataError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.evaluation.tracks import pool_tracks
from vireid.models.inference_model import build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.runs.exits import gallery_exit
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits

log = logging.getLogger(__name__)

TORCH = "torch"
KEYS = {modality: f"INPUT.{modality.name}.RANGE" for modality in Modality}


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
        corruption: CorruptionRule | None = None,
    ) -> FeatureSet:
        """Features of the records, whose paths are relative to ``root``, at an exit.

        Args:
            rules: how the images of each modality become RGB.
            corruption: of the images.
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
    corruption: CorruptionRule | None = None,
) -> FeatureSet:
    """One exit's features of the records; the model keeps its mode.

    A track has one row: the mean of ``DATA.FRAMES`` frames' features (``pool_tracks``).

    Args:
        exit_name: instead of ``TEST.EXIT``.
        backend: instead of torch.
        corruption: of the images.
    Raises:
        DataError: an image cannot be read.
        UsageError: the model has no such exit or embedding.
    """
    chosen = build_inference_model(
        model, exit_name=exit_name or cfg.TEST.EXIT, embedding=cfg.TEST.EMBED
    )
    frames = frame_records(records, cfg.DATA.FRAMES)
    cfg = with_ranges(cfg, splits, frames)
    if backend is not None:
        rules = pixel_rules(cfg)
        features = backend(splits.root, frames, exit_name or cfg.TEST.EXIT, rules, corruption)
        return per_record(features, records)
    was_training = model.training
    model.eval()
    chosen.eval()
    features = extract_features(
        chosen,
        build_eval_loader(cfg, splits.root, frames, device=device, corruption=corruption),
        frames,
        device=device,
        mean=cfg.INPUT.MEAN,
        std=cfg.INPUT.STD,
        flip=cfg.TEST.FLIP,
    )
    model.train(was_training)
    return per_record(features, records)


def per_record(features: FeatureSet, records: Sequence[ImageRecord]) -> FeatureSet:
    """One row per record, of features of images and of frames of tracks."""
    if features.tracks is None:
        return features
    return replace(labels_of(records), features=pool_tracks(features).features)


def features_by_query(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    query_modalities: Sequence[Modality],
    backend: Backend | None = None,
    corruption: CorruptionRule | None = None,
) -> dict[Modality, FeatureSet]:
    """Features for the protocols whose queries are of each modality.

    Queries leave the model at ``TEST.EXIT``; images of the other modality, which are these
    protocols' galleries, at ``TEST.GALLERY_EXIT``.
    """
    options: dict[str, Any] = {"device": device, "backend": backend, "corruption": corruption}
    extract = partial(features_of, cfg, model, splits, records, **options)
    features = extract()
    if gallery_exit(cfg) == cfg.TEST.EXIT:
        return dict.fromkeys(query_modalities, features)
    other = extract(exit_name=gallery_exit(cfg))
    return {modality: mixed(features, other, modality) for modality in query_modalities}


def corrupted_by_query(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    records: Sequence[ImageRecord],
    clean: Mapping[Modality, FeatureSet],
    rule: CorruptionRule,
    *,
    device: torch.device,
    backend: Backend | None = None,
) -> dict[Modality, FeatureSet]:
    """``features_by_query`` with corrupted images; only these pass the model again.

    Args:
        clean: features of all records, by the queries' modality.
        rule: which images are corrupted, and how.
    Raises:
        DataError: there is none.
    """
    rows = np.array([bool(rule.kinds_of(record.modality)) for record in records])
    own = [record for record, own in zip(records, rows, strict=True) if own]
    if not own:
        raise DataError(f"{splits.root} has no image that TEST.CORRUPTION corrupts")
    changed = features_by_query(
        cfg,
        model,
        splits,
        own,
        device=device,
        query_modalities=list(clean),
        backend=backend,
        corruption=rule,
    )
    merged: dict[int, FeatureSet] = {}  # sets that several modalities share stay one set
    for modality, features in clean.items():
        if id(features) not in merged:
            numbers = features.features.copy()
            numbers[rows] = changed[modality].features
            merged[id(features)] = replace(features, features=numbers)
    return {modality: merged[id(features)] for modality, features in clean.items()}


class NoHeldOutError(DataError):
    """The data set has no validation identities, or its options hold none out."""


def records_of(protocol: RetrievalProtocol, splits: Splits) -> Sequence[ImageRecord]:
    """The images that a protocol scores; ``NoHeldOutError`` if none of them were held out."""
    if not protocol.held_out:
        return splits.test
    if not splits.val:
        raise NoHeldOutError(
            f"{protocol.name} needs validation identities, and {splits.root} has none: set "
            "DATA.SPLIT train, which holds out the identities that the set names for validation, "
            "or else every fifth training identity (five are needed at least)"
        )
    return splits.val


def records_in(splits: Splits, split: str) -> Sequence[ImageRecord]:
    """The images of ``test``, ``val`` or ``train``; ``DataError`` if there is none."""
    records = {"test": splits.test, "val": splits.val, "train": splits.train}[split]
    if not records:
        remedy = "; DATA.SPLIT train holds some out" if split == "val" else ""
        raise DataError(f"{splits.root}: no {split} image{remedy}")
    return records


def mixed(queries: FeatureSet, gallery: FeatureSet, query_modality: Modality) -> FeatureSet:
    """One set of the same images: one modality's rows of the first, the other's of the second."""
    is_query = (queries.modality == query_modality)[:, None]
    return replace(queries, features=np.where(is_query, queries.features, gallery.features))


def training_ranges(
    cfg: CfgNode,
    splits: Splits,
    headers: Iterable[ImageHeader],
    checkpoint: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """What every ``auto`` becomes: ``KEY``, ``VALUE``, …, and lines about how that was found.

    Args:
        headers: of all images; deep ones (more than eight bits) with their values.
        checkpoint: what training continues from; its ranges stay.
    """
    saved = {} if checkpoint is None else saved_options(checkpoint)
    known = with_found(flatten(cfg), saved)
    seen = {header.path: header for header in headers}
    ranges, lines = [], []
    for modality, key in KEYS.items():
        if known[key] != "auto":
            ranges += [key, override_text(known[key])]
        elif found := auto_range(modality, [splits.train, splits.val + splits.test], seen):
            ranges += [key, override_text(list(found.limits))]
            lines.append(f"{key} auto: {found}")
    return ranges, lines


def with_ranges(cfg: CfgNode, splits: Splits, records: Sequence[ImageRecord]) -> CfgNode:
    """The configuration with a range for each modality of which some records are deep.

    Where the run has none (it was trained on eight bits, or by version 0.1), it is found from the
    training images of the set that is scored or, if they have eight bits, from ``records``.

    Raises:
        DataError: an image cannot be read.
    """
    overrides = []
    for modality, key in KEYS.items():
        own = [record for record in records if record.modality is modality]
        if flatten(cfg)[key] != "auto" or not own:
            continue
        seen = _headers(splits, own)
        if any(header.deep for header in seen.values()):
            train = [record for record in splits.train if record.modality is modality]
            seen |= _headers(splits, train)
            found = auto_range(modality, [train, own], seen)
            assert found is not None
            overrides += [key, override_text(list(found.limits))]
            log.warning("%s is auto in this run, and becomes: %s", key, found)
    return apply_overrides(cfg, overrides) if overrides else cfg


def warn_of_few_levels(cfg: CfgNode, root: Path, records: Sequence[ImageRecord]) -> None:
    """Says so if a run's range does not fit the images, such as degrees to a range of counts.

    Looks at some images of each modality that has a range.
    """
    for modality, rule in pixel_rules(cfg).items():
        paths = [record.path for record in records if record.modality is modality]
        line = few_levels(root, paths, modality, rule) if rule.range is not None else ""
        if line:
            shown = override_text(flatten(cfg)[KEYS[modality]])
            log.warning("%s, at %s %s", line, KEYS[modality], shown)


def _headers(splits: Splits, records: Sequence[ImageRecord]) -> dict[str, ImageHeader]:
    found = require_readable(splits.root, [record.path for record in records])
    return {header.path: header for header in found}
