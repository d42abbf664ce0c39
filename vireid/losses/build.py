"""From options to a criterion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from yacs.config import CfgNode

from vireid.losses.criterion import Criterion, Term, WeightedTerm
from vireid.losses.cross_modal import cross_modal_kl_loss, margin_mmd_loss
from vireid.losses.distillation import (
    SDM_TEACHERS,
    FeatureDistillation,
    distillation_loss,
    raw_hint_loss,
    relation_loss,
    teacher_feature,
    unit_hint_loss,
)
from vireid.losses.identity import identity_loss, part_identity_loss
from vireid.losses.triplet import (
    batch_hard_triplet_loss,
    center_cluster_loss,
    circle_loss,
    hetero_center_triplet_loss,
    part_metric_loss,
    weighted_triplet_loss,
)
from vireid.structures import Batch, HeadOutput, ModelOutput


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


def _center_cluster(options: CfgNode) -> Term:
    margin = options.MARGIN
    return lambda output, batch: center_cluster_loss(
        output.deep.embedding.float(), batch.labels, margin=margin
    )


def _circle(options: CfgNode) -> Term:
    margin, gamma = options.MARGIN, options.GAMMA
    return lambda output, batch: circle_loss(
        output.deep.embedding.float(), batch.labels, margin=margin, gamma=gamma
    )


def _cross_modal_kl(options: CfgNode) -> Term:
    return lambda output, batch: cross_modal_kl_loss(
        output.deep.logits.float(), batch.labels, batch.is_infrared
    )


def _mmd(options: CfgNode) -> Term:
    margin = options.MARGIN
    return lambda output, batch: margin_mmd_loss(
        output.deep.embedding.float(), batch.labels, batch.is_infrared, margin=margin
    )


# LOSS.<KEY> → its term on the deep head; the columns of metrics.csv are loss_<key in lower case>.
TERMS: dict[str, Callable[[CfgNode], Term]] = {
    "IDENTITY": _identity,
    "TRIPLET": _triplet,
    "WEIGHTED_TRIPLET": _weighted_triplet,
    "HETERO_CENTER": _hetero_center,
    "CENTER_CLUSTER": _center_cluster,
    "CIRCLE": _circle,
    "CROSS_MODAL_KL": _cross_modal_kl,
    "MMD": _mmd,
}
# MODEL.SDM.HINT → vector (B, D) of a head, before or after its BNNeck, and loss of student's and
# teacher's; besides these, "none"
HINT_LOSSES: dict[
    str, tuple[Callable[[HeadOutput], Tensor], Callable[[Tensor, Tensor], Tensor]]
] = {
    "l2_norm": (lambda head: head.embedding, unit_hint_loss),
    "mse_raw": (lambda head: head.embedding, raw_hint_loss),
    "feature": (lambda head: head.feature, unit_hint_loss),
}
# LOSS.PART_TRIPLET.KIND → its options → a loss of embeddings (B, D) and labels (B,)
PART_METRICS: dict[str, Callable[[CfgNode], Callable[[Tensor, Tensor], Tensor]]] = {
    "batch_hard": lambda options: partial(batch_hard_triplet_loss, margin=options.MARGIN),
    "weighted": lambda options: weighted_triplet_loss,
}


def build_criterion(cfg: CfgNode, feature_dims: tuple[int, int] | None = None) -> Criterion:
    """The terms of ``LOSS`` with a weight, for the outputs that the model and its teacher have.

    Args:
        feature_dims: lengths of the deepest features of the model and of its external teacher,
            which ``DISTILL.FEATURE_WEIGHT`` needs.
    """
    terms = {
        key.lower(): WeightedTerm(cfg.LOSS[key].WEIGHT, make(cfg.LOSS[key]))
        for key, make in TERMS.items()
    }
    if cfg.MODEL.MGIM.ENABLED:
        terms |= _part_terms(cfg.LOSS)
    if cfg.MODEL.DIRECTIONAL.ENABLED:
        term = _branch_identity(cfg.LOSS.IDENTITY.LABEL_SMOOTHING)
        terms["branch_identity"] = WeightedTerm(cfg.LOSS.BRANCH_IDENTITY.WEIGHT, term)
    if cfg.TEACHER.WEIGHTS:
        terms |= _teacher_terms(cfg.DISTILL, feature_dims)
    if cfg.MODEL.SDM.ENABLED:
        for number, weight in enumerate(cfg.MODEL.SDM.WEIGHTS[: len(cfg.MODEL.SDM.TAPS)], start=1):
            terms |= _student_terms(
                cfg.MODEL.SDM, f"shallow{number}", cfg.LOSS.SDM.WEIGHT * weight, cfg.LOSS.IDENTITY
            )
    return Criterion({name: term for name, term in terms.items() if term.weight})


def _branch_identity(smoothing: float) -> Term:
    """Classification by each branch, summed."""

    def compute(output: ModelOutput, batch: Batch) -> Tensor:
        losses = [
            identity_loss(branch.logits.float(), batch.labels, label_smoothing=smoothing)
            for branch in output.branches
        ]
        return torch.stack(losses).sum()

    return compute


def _teacher_terms(
    options: CfgNode, feature_dims: tuple[int, int] | None
) -> dict[str, WeightedTerm]:
    """The terms of the external teacher; see ``build_criterion``."""
    terms = {
        "distill_kl": WeightedTerm(options.WEIGHT, _distillation(options)),
        "distill_relation": WeightedTerm(options.RELATION_WEIGHT, _relation),
    }
    if options.FEATURE_WEIGHT:
        assert feature_dims is not None, "DISTILL.FEATURE_WEIGHT needs the lengths of features"
        term = FeatureDistillation(*feature_dims)
        terms["distill_feature"] = WeightedTerm(options.FEATURE_WEIGHT, term)
    return terms


def _distillation(options: CfgNode) -> Term:
    """Distillation from the deepest head of another model to this one's."""
    loss = partial(distillation_loss, temperature=options.TEMPERATURE, scale_t2=options.SCALE_T2)

    def compute(output: ModelOutput, batch: Batch) -> Tensor:
        assert output.teacher is not None and output.teacher.logits is not None, "no teacher logits"
        return loss(output.deep.logits.float(), output.teacher.logits.float())

    return compute


def _relation(output: ModelOutput, batch: Batch) -> Tensor:
    return relation_loss(output.deep.feature.float(), teacher_feature(output))


def _part_terms(options: CfgNode) -> dict[str, WeightedTerm]:
    classify = partial(
        part_identity_loss,
        label_smoothing=options.IDENTITY.LABEL_SMOOTHING,
        reduction=options.PART_IDENTITY.REDUCTION,
    )
    metric = PART_METRICS[options.PART_TRIPLET.KIND](options.PART_TRIPLET)
    return {
        "part_identity": WeightedTerm(
            options.PART_IDENTITY.WEIGHT,
            lambda output, batch: classify([p.logits.float() for p in output.parts], batch.labels),
        ),
        "part_triplet": WeightedTerm(
            options.PART_TRIPLET.WEIGHT,
            lambda output, batch: part_metric_loss(
                [part.embedding.float() for part in output.parts], batch.labels, metric
            ),
        ),
    }


def _student_terms(
    options: CfgNode, student: str, weight: float, identity: CfgNode
) -> dict[str, WeightedTerm]:
    """The terms of one student head.

    Args:
        options: ``MODEL.SDM``.
        weight: of all the head's terms.
        identity: ``LOSS.IDENTITY``.
    """
    detach, teacher_logits = options.DETACH_TEACHER, SDM_TEACHERS[options.TEACHER]
    classify = partial(identity_loss, label_smoothing=identity.LABEL_SMOOTHING)
    distill = partial(
        distillation_loss,
        temperature=options.TEMPERATURE,
        scale_t2=options.SCALE_T2,
        detach=detach,
    )
    terms = {
        f"sdm_identity_{student}": WeightedTerm(
            weight * (1 - options.ALPHA),
            lambda output, batch: classify(output.heads[student].logits.float(), batch.labels),
        ),
        f"sdm_kl_{student}": WeightedTerm(
            weight * options.ALPHA,
            lambda output, batch: distill(
                output.heads[student].logits.float(), teacher_logits(output)
            ),
        ),
    }
    if options.HINT in HINT_LOSSES:
        vector, hint_loss = HINT_LOSSES[options.HINT]

        def hint(output: ModelOutput, batch: Batch) -> Tensor:
            target = vector(output.averaged or output.deep).float()
            own = vector(output.heads[student]).float()
            return hint_loss(own, target.detach() if detach else target)

        terms[f"sdm_hint_{student}"] = WeightedTerm(weight * options.BETA, hint)
    return terms
