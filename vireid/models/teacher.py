"""A trained model that teaches another one and does not change itself."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from vireid.models.reid_model import ReidModel
from vireid.structures import ModelOutput

POSTERIORS = ("joint_fc", "mean_branch_logits", "mean_branch_prob")


class FrozenTeacher(nn.Module):
    """A model that always stays in evaluation mode and computes no gradients.

    Args:
        model: trained; its parameters stop requiring gradients.
        posterior: which class probabilities it teaches. ``joint_fc``: the deepest classifier's;
            ``mean_branch_logits``: those of the branches' mean logits; ``mean_branch_prob``: the
            mean of the branches' probabilities.
    Raises:
        ValueError: an unknown posterior, or one of branches that the model does not have.
    """

    def __init__(self, model: ReidModel, *, posterior: str = "joint_fc") -> None:
        super().__init__()
        if posterior not in POSTERIORS:
            raise ValueError(f"posterior {posterior!r} is unknown; choose one of {POSTERIORS}")
        if posterior != POSTERIORS[0] and model.branches is None:
            raise ValueError(f"posterior {posterior!r} needs branches, but this model has none")
        self.model = model.requires_grad_(False)
        self._posterior = posterior
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor, is_infrared: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, H, W), normalised as in the model's own training.
            is_infrared: (B,) bool.
        Returns:
            (B, C) float32 logits of the chosen posterior.
        """
        return posterior_logits(self.model(images, is_infrared), self._posterior)

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
