"""Gradients of a loss: how large each term's are, and which parameters have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vireid.engine.distributed import World
from vireid.structures import HeadOutput, ModelOutput, PartOutput

# DistributedDataParallel passes every output through one node of this name, one input per output,
# when it looks for unused parameters.
SINK = "_DDPSinkBackward"
ALONE = World()


def gradient_norms(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    parameters: Sequence[nn.Parameter],
    *,
    world: World = ALONE,
) -> dict[str, float]:
    """Euclidean norm of each weighted term's gradient; 0 for a term that does not use them.

    The graph is kept, and no ``.grad`` is touched. On several processes the norms are those that
    one process would find for the global batch.

    Args:
        terms: () losses by name, before their weights.
        weights: of each term in the total loss.
        parameters: whose gradients are taken together; all require them.
    """
    return {
        f"grad_{name}": _norm(weights[name] * term, parameters, world)
        for name, term in terms.items()
    }


def _norm(loss: Tensor, parameters: Sequence[nn.Parameter], world: World) -> float:
    if not loss.requires_grad or not parameters:
        return 0.0
    found = torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    # Each process knows the part through its own images; see World.gather_rows for the mean.
    return float(world.mean(torch.cat([gradient.float().flatten() for gradient in found])).norm())


def zero_term(output: ModelOutput) -> Tensor:
    """() 0 that depends on everything in ``output``.

    Added to a loss, it gives every parameter of the model a gradient, possibly of zeros, which
    DistributedDataParallel waits for.
    """
    outputs: list[HeadOutput | PartOutput] = [*output.heads.values(), *output.parts]
    tensors = [tensor for o in outputs for tensor in (o.embedding, o.feature, o.logits)]
    return 0 * torch.stack([tensor.float().sum() for tensor in tensors]).sum()


def unused_parameters(
    loss: Tensor, parameters: Sequence[nn.Parameter], world: World
) -> list[nn.Parameter]:
    """The parameters that ``loss`` depends on in no process.

    Their gradients must be None, not zero: with zeros, weight decay and Adam would change them.
    """
    leaves = _leaves(loss)
    flags = torch.tensor([id(p) in leaves for p in parameters], device=loss.device)
    used = world.any(flags).tolist()
    return [p for p, in_use in zip(parameters, used, strict=True) if not in_use]


def _leaves(loss: Tensor) -> set[int]:
    """``id`` of every leaf tensor in the graph of ``loss``."""
    found: set[int] = set()
    seen = set()
    waiting = [(loss.grad_fn, 0)]
    while waiting:
        node, number = waiting.pop()
        through = node is not None and node.name() == SINK
        if node is None or (node, number * through) in seen:
            continue
        seen.add((node, number * through))
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += node.next_functions[number : number + 1] if through else node.next_functions
    return found
