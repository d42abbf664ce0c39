"""How hard each loss term pulls at the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vireid.engine.distributed import World

ALONE = World()


def gradient_norms(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    parameters: Sequence[nn.Parameter],
    *,
    world: World = ALONE,
) -> dict[str, float]:
    """Euclidean norm of each weighted term's gradient; 0 for a term that does not reach them.

    The graph is kept, and no ``.grad`` is touched. On several processes these are the norms of
    what they find together, as one process would for the global batch.

    Args:
        terms: () losses by name, before their weights.
        weights: what each counts for in the total.
        parameters: whose gradients are taken together.
    """
    return {
        f"grad_{name}": _norm(weights[name] * term, parameters, world)
        for name, term in terms.items()
    }


def _norm(loss: Tensor, parameters: Sequence[nn.Parameter], world: World) -> float:
    if not loss.requires_grad:
        return 0.0
    found = torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    # Each process knows the part through its own images; see World.gather_rows for the mean.
    return float(world.mean(torch.cat([gradient.float().flatten() for gradient in found])).norm())
