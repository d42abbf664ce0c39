"""A trained network that teaches another one and learns nothing itself."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from vireid.models.reid_model import ReidModel
from vireid.structures import ModelOutput

POSTERIORS = ("joint_fc", "mean_branch_logits", "mean_branch_prob")


class FrozenTeacher(nn.Module):
    """A network in evaluation mode, whatever mode is asked for, and without gradients.

    Args:
        model: trained; its parameters take no gradient from here on.
        posterior: whose word counts. ``joint_fc``: the deepest classifier's;
            ``mean_branch_logits``: the mean of the branches' classifiers; ``mean_branch_prob``:
            the mean of their probabilities.
    Raises:
        ValueError: an unknown posterior, or one of branches that the network has not.
    """

    def __init__(self, model: ReidModel, *, posterior: str = "joint_fc") -> None:
        super().__init__()
        if posterior not in POSTERIORS:
            raise ValueError(f"posterior {posterior!r} is unknown; choose one of {POSTERIORS}")
        if posterior != POSTERIORS[0] and model.branches is None:
            raise ValueError(f"posterior {posterior!r} needs branches, which this network has not")
        self.model = model.requires_grad_(False)
        self._posterior = posterior
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor, is_infrared: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, H, W), normalised as the network was trained with.
            is_infrared: (B,) bool.
        Returns:
            (B, C) float32 logits of the chosen posterior.
        """
        return posterior_logits(self.model(images, is_infrared), self._posterior)

    def train(self, mode: bool = True) -> FrozenTeacher:
        return super().train(False)


def posterior_logits(output: ModelOutput, posterior: str) -> Tensor:
    """(B, C) float32 logits whose softmax is the posterior, see :class:`FrozenTeacher`.

    Softened by a temperature they are treated like any other logits: ``mean_branch_prob`` is
    averaged first and softened afterwards.
    """
    if posterior == "joint_fc":
        return output.deep.logits.float()
    logits = torch.stack([head.logits.float() for head in output.branches])
    if posterior == "mean_branch_logits":
        return logits.mean(dim=0)
    # The log of a mean of probabilities that may each be too small for a float.
    return logits.log_softmax(dim=2).logsumexp(dim=0) - log(len(logits))
