"""The features that a network's scores are made of, by the options of the test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.config.validate import trained_exits
from vireid.data.build import build_eval_loader
from vireid.engine.extract import extract_features
from vireid.errors import DataError, UsageError
from vireid.evaluation.protocols import RetrievalProtocol
from vireid.models.inference_model import InferenceModel, build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.structures import FeatureSet, ImageRecord, Modality, Splits

log = logging.getLogger(__name__)

TORCH = "torch"


class Runtime(Protocol):
    """Another library than torch that computes a network's features (``TEST.BACKEND``).

    Attributes:
        used: its name; ``torch`` once a network had to be left to torch.
    """

    used: str

    def __call__(
        self, network: InferenceModel, size: Sequence[int], count: int
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """What takes the network's place, for ``count`` images of [height, width]."""
        ...


def backend_name(runtime: Runtime | None) -> str:
    """What computed the features."""
    return TORCH if runtime is None else runtime.used


def features_of(
    cfg: CfgNode,
    model: ReidModel,
    splits: Splits,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    exit_name: str = "",
    runtime: Runtime | None = None,
) -> FeatureSet:
    """One exit's features of the records; the network is left in the mode that it was in.

    Args:
        exit_name: instead of ``TEST.EXIT``.
        runtime: instead of torch.
    Raises:
        UsageError: the network has no such exit or embedding.
    """
    chosen = build_inference_model(
        model, exit_name=exit_name or cfg.TEST.EXIT, embedding=cfg.TEST.EMBED
    )
    was_training = model.training
    model.eval()
    chosen.eval()
    count = len(records) * (1 + cfg.TEST.FLIP)
    features = extract_features(
        chosen if runtime is None else runtime(chosen, cfg.INPUT.SIZE, count),
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
    runtime: Runtime | None = None,
) -> dict[Modality, FeatureSet]:
    """Features for the protocols whose queries are of each modality.

    Queries leave the network at ``TEST.EXIT``; images of the other modality, which are these
    protocols' galleries, at ``TEST.GALLERY_EXIT``.
    """
    extract = partial(features_of, cfg, model, splits, records, device=device, runtime=runtime)
    features = extract()
    if gallery_exit(cfg) == cfg.TEST.EXIT:
        return dict.fromkeys(query_modalities, features)
    other = extract(exit_name=gallery_exit(cfg))
    return {modality: mixed(features, other, modality) for modality in query_modalities}


def records_of(protocol: RetrievalProtocol, splits: Splits) -> Sequence[ImageRecord]:
    """The images that a protocol is about.

    Raises:
        DataError: a validation protocol, but no identities were held out.
    """
    if not protocol.held_out:
        return splits.test
    if not splits.val:
        raise DataError(f"{protocol.name} needs validation identities: set DATA.SPLIT train")
    return splits.val


def require_two_sides(cfg: CfgNode, protocols: Sequence[RetrievalProtocol]) -> None:
    """Two exits' features can be told apart by modality only.

    Raises:
        UsageError: another exit for the gallery, where images of one modality search one another.
    """
    alike = [p.name for p in protocols if p.query_modality is p.gallery_modality]
    if alike and gallery_exit(cfg) != cfg.TEST.EXIT:
        raise UsageError(
            f"TEST.GALLERY_EXIT={cfg.TEST.GALLERY_EXIT!r}: {alike[0]} searches images of the "
            f"queries' modality, which all leave the network at TEST.EXIT={cfg.TEST.EXIT!r}: set "
            "TEST.GALLERY_EXIT ''"
        )


def mixed(queries: FeatureSet, gallery: FeatureSet, query_modality: Modality) -> FeatureSet:
    """One set of the same images: one modality's rows of the first, the other's of the second."""
    asking = (queries.modality == query_modality)[:, None]
    return replace(queries, features=np.where(asking, queries.features, gallery.features))


def embedding_name(cfg: CfgNode) -> str:
    """What ``TEST.EMBED`` comes to for this network and exit."""
    whole_only = cfg.TEST.EXIT != "deep" or not cfg.MODEL.MGIM.ENABLED
    return "global" if whole_only else cfg.TEST.EMBED


def exit_names(cfg: CfgNode) -> str:
    """The exit, or ``<queries'> / <gallery's>``."""
    query, gallery = cfg.TEST.EXIT, gallery_exit(cfg)
    return query if gallery == query else f"{query} / {gallery}"


def gallery_exit(cfg: CfgNode) -> str:
    """The exit of the gallery's images: ``TEST.GALLERY_EXIT``, or that of the queries."""
    return cfg.TEST.GALLERY_EXIT or cfg.TEST.EXIT


def require_one_exit(cfg: CfgNode) -> None:
    """A file of features, or of a network, is of one exit.

    Raises:
        UsageError: another exit for the gallery.
    """
    if gallery_exit(cfg) != cfg.TEST.EXIT:
        raise UsageError(
            f"TEST.GALLERY_EXIT={cfg.TEST.GALLERY_EXIT!r}: a file holds one exit's features, here "
            f"TEST.EXIT {cfg.TEST.EXIT}; set TEST.GALLERY_EXIT '' and extract each exit by itself"
        )


def untrained_features(cfg: CfgNode) -> list[str]:
    """What is scored although no loss term trains it: exits, or the ``parts``."""
    kinds, trained = embedding_name(cfg).split("+"), trained_exits(cfg)
    exits = dict.fromkeys((cfg.TEST.EXIT, gallery_exit(cfg))) if "global" in kinds else ()
    return [name for name in (*exits, *kinds) if not trained.get(name, True)]


def warn_of_untrained(cfg: CfgNode) -> None:
    """Says which of the scored features no loss of their own has trained."""
    for name in untrained_features(cfg):
        log.warning("%s is scored (TEST.*), but the weights of all its losses are 0", name)
