"""From options to a criterion."""

from __future__ import annotations

from collections.abc import Callable

from yacs.config import CfgNode

from vireid.losses.criterion import Criterion, Term, WeightedTerm
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import (
    batch_hard_triplet_loss,
    hetero_center_triplet_loss,
    weighted_triplet_loss,
)


def _identity(options: CfgNode) -> Term:
    smoothing = options.LABEL_SMOOTHING
    return lambda output, batch: identity_loss(
        output.deep.logits.float(), batch.labels, label_smoothing=smoothing
    )


def _triplet(options: CfgNode) -> Term:
    margin = options.MARGIN
    return lambda output, batch: batch_hard_triplet_loss(
        output.deep.embedding.float(), batch.labels, margin=margin
    )


def _weighted_triplet(options: CfgNode) -> Term:
    return lambda output, batch: weighted_triplet_loss(output.deep.embedding.float(), batch.labels)


def _hetero_center(options: CfgNode) -> Term:
    margin = options.MARGIN
    return lambda output, batch: hetero_center_triplet_loss(
        output.deep.embedding.float(), batch.labels, batch.is_infrared, margin=margin
    )


# LOSS.<KEY> → what computes it; the log's columns are loss_<key in lower case>.
TERMS: dict[str, Callable[[CfgNode], Term]] = {
    "IDENTITY": _identity,
    "TRIPLET": _triplet,
    "WEIGHTED_TRIPLET": _weighted_triplet,
    "HETERO_CENTER": _hetero_center,
}


def build_criterion(cfg: CfgNode) -> Criterion:
    """The terms of ``LOSS`` whose weight is not zero."""
    return Criterion(
        {
            key.lower(): WeightedTerm(options.WEIGHT, TERMS[key](options))
            for key, options in cfg.LOSS.items()
            if options.WEIGHT
        }
    )
