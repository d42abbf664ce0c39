"""Distillation: a student learns the teacher's softened class probabilities or its embedding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.structures import Batch, ModelOutput


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float,
    *,
    scale_t2: bool = True,
    detach: bool = True,
) -> Tensor:
    """KL(teacher ‖ student) between softened class probabilities.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C).
        temperature: T > 0 that divides both.
        scale_t2: multiply by T²; otherwise gradients shrink with 1 / T², and a sweep of T mostly
            sweeps the weight.
        detach: treat the teacher as a constant, even if it is a head of the same model.
    Returns:
        () nats, mean over the batch; 0 for equal probabilities.
    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, §2.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student logits {tuple(student_logits.shape)} and teacher logits "
            f"{tuple(teacher_logits.shape)} differ in shape: both need the same identities"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if detach:
        teacher_logits = teacher_logits.detach()
    student = F.log_softmax(student_logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2 if scale_t2 else divergence


def unit_hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance between vectors scaled to unit length.

    Args:
        student, teacher: (B, D).
    Returns:
        () mean over the batch, in [0, 4]: 2 − 2 · cosine.
    """
    difference = F.normalize(student, dim=1) - F.normalize(teacher, dim=1)
    return difference.square().sum(dim=1).mean()


def raw_hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance between embeddings, mean over the batch.

    Args:
        student, teacher: (B, D).
    Source: Zhang et al., Be Your Own Teacher, ICCV 2019, eq. 5.
    """
    return (student - teacher).square().sum(dim=1).mean()


class FeatureDistillation(nn.Module):
    """The term that draws a projection of the student's feature to the teacher's.

    Both are features of the deepest head, which retrieval compares by their cosines.

    Args:
        student_dim, teacher_dim: lengths of the features.
    Source: the learnt projection as in Romero et al., FitNets, ICLR 2015; unit length [ours].
    """

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, output: ModelOutput, batch: Batch) -> Tensor:
        """() in [0, 4], see ``unit_hint_loss``."""
        return unit_hint_loss(self.projection(output.deep.feature.float()), teacher_feature(output))


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference between the student's and the teacher's cosines within a batch.

    Args:
        student: (B, D), receives gradient.
        teacher: (B, E), constant here.
    Returns:
        () mean over all B² pairs, in [0, 4]; 0 for equal cosines, whatever D and E are.
    Raises:
        ValueError: numbers of rows differ.
    Source: Tung and Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019. They scale the
        rows of the matrices of products, here the vectors are scaled.
    """
    if len(student) != len(teacher):
        raise ValueError(f"{len(student)} rows of the student and {len(teacher)} of the teacher")
    student, teacher = (F.normalize(one, dim=1) for one in (student, teacher.detach()))
    return F.mse_loss(student @ student.T, teacher @ teacher.T)


def teacher_feature(output: ModelOutput) -> Tensor:
    """(B, E) of the external teacher, a constant."""
    assert output.teacher is not None and output.teacher.feature is not None, "no teacher feature"
    return output.teacher.feature.detach().float()


def _deep_logits(output: ModelOutput) -> Tensor:
    return output.deep.logits.float()


def _averaged_logits(output: ModelOutput) -> Tensor:
    assert output.averaged is not None, "the averaged model teaches, but has not seen the batch"
    return output.averaged.logits.float()


def _deep_and_parts_logits(output: ModelOutput) -> Tensor:
    every = [output.deep.logits.unsqueeze(1), *(part.logits for part in output.parts)]
    return torch.cat([logits.float() for logits in every], dim=1).mean(dim=1)


def _ensemble_logits(output: ModelOutput) -> Tensor:
    return torch.stack([head.logits.float() for head in output.heads.values()]).mean(dim=0)


AVERAGE_TEACHER = "ema"
# MODEL.SDM.TEACHER → logits (B, C) that the students learn: of the deepest classifier, mean over it
# and the parts', mean over all exits, of the averaged model's deepest classifier
SDM_TEACHERS: dict[str, Callable[[ModelOutput], Tensor]] = {
    "global": _deep_logits,
    "global+parts": _deep_and_parts_logits,
    "ensemble": _ensemble_logits,
    AVERAGE_TEACHER: _averaged_logits,
}
