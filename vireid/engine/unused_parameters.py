"""Which parameters a loss reaches, and how none of a network's is left out on several processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vireid.engine.distributed import World
from vireid.structures import ModelOutput

# DistributedDataParallel leads all outputs through one node, one by one, when it looks for unused
# parameters.
SINK = "_DDPSinkBackward"


def zero_term(output: ModelOutput) -> Tensor:
    """() 0 that depends on everything in ``output``.

    Added to a loss, it gives every parameter of the network a gradient, if only of zeros, which
    DistributedDataParallel waits for.
    """
    outputs = (*output.heads.values(), *output.parts)
    tensors = [tensor for o in outputs for tensor in (o.embedding, o.feature, o.logits)]
    return 0 * torch.stack([tensor.float().sum() for tensor in tensors]).sum()


def unused_parameters(
    loss: Tensor, parameters: Sequence[nn.Parameter], world: World
) -> list[nn.Parameter]:
    """The parameters that ``loss`` depends on in no process.

    A gradient of zeros is not the same as none: weight decay goes on, and Adam makes large steps
    of it.
    """
    leaves = _leaves(loss)
    flags = torch.tensor([id(p) in leaves for p in parameters], device=loss.device)
    reached = world.any(flags).tolist()
    return [p for p, found in zip(parameters, reached, strict=True) if not found]


def _leaves(loss: Tensor) -> set[int]:
    """Identities of the leaf tensors in the graph of ``loss``."""
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
