"""A trained model that teaches another one and does not change itself."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from vireid.models.reid_model import ReidModel
from vireid.structures import ModelOutput, TeacherOutput

POSTERIORS = ("joint_fc", "mean_branch_logits", "mean_branch_prob")


class FrozenTeacher(nn.Module):
    """A model that always stays in evaluation mode and computes no gradients.

    Args:
        model: trained; its parameters stop requiring gradients.
        posterior: which class probabilities it teaches. ``joint_fc``: the deepest classifier's;
            ``mean_branch_logits``: those of the branches' mean logits; ``mean_branch_prob``: the
            mean of the branches' probabilities.
        logits: whether it gives logits.
        feature: whether it gives the feature of its deepest head.
    Raises:
        ValueError: an unknown posterior, or one of branches that the model does not have.
    """

    def __init__(
        self,
        model: ReidModel,
        *,
        posterior: str = "joint_fc",
        logits: bool = True,
        feature: bool = False,
    ) -> None:
        super().__init__()
        if posterior not in POSTERIORS:
            raise ValueError(f"posterior {posterior!r} is unknown; choose one of {POSTERIORS}")
        if posterior != POSTERIORS[0] and model.branches is None:
            raise ValueError(f"posterior {posterior!r} needs branches, but this model has none")
        self.model = model.requires_grad_(False)
        self._posterior, self._logits, self._feature = posterior, logits, feature
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor, is_infrared: Tensor) -> TeacherOutput:
        """
        Args:
            images: (B, 3, H, W), normalised as in the model's own training.
            is_infrared: (B,) bool.
        Returns:
            float32 logits of the chosen posterior and feature, as far as they are asked for.
        """
        output = self.model(images, is_infrared)
        return TeacherOutput(
            posterior_logits(output, self._posterior) if self._logits else None,
            output.deep.feature.float() if self._feature else None,
        )

    def train(self, mode: bool = True) -> FrozenTeacher:
        return super().train(False)


def posterior_logits(output: ModelOutput, posterior: str) -> Tensor:
    """(B, C) float32 logits whose softmax is the posterior, see ``FrozenTeacher``.

    A temperature softens them like any other logits: ``mean_branch_prob`` is averaged first and
    softened afterwards.
    """
    if posterior == "joint_fc":
        return output.deep.logits.float()
    logits = torch.stack([head.logits.float() for head in output.branches])
    if posterior == "mean_branch_logits":
        return logits.mean(dim=0)
    # The log of the mean of probabilities, each of which may be too small for a float.
    return logits.log_softmax(dim=2).logsumexp(dim=0) - log(len(logits))
