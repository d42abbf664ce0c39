"""How hard each loss term pulls at the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def gradient_norms(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], parameters: Sequence[nn.Parameter]
) -> dict[str, float]:
    """Euclidean norm of each weighted term's gradient; 0 for a term that does not reach them.

    The graph is kept, and no ``.grad`` is touched. On several processes these are the gradients
    through this process's own images.

    Args:
        terms: () losses by name, before their weights.
        weights: what each counts for in the total.
        parameters: whose gradients are taken together.
    """
    return {f"grad_{name}": _norm(weights[name] * term, parameters) for name, term in terms.items()}


def _norm(loss: Tensor, parameters: Sequence[nn.Parameter]) -> float:
    if not loss.requires_grad:
        return 0.0
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    norms = [gradient.float().norm() for gradient in found if gradient is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0
