"""The weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vireid.structures import Batch, LossReport, ModelOutput

Term = Callable[[ModelOutput, Batch], Tensor]


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A () loss of a model's output, and its weight in the total."""

    weight: float
    compute: Term


class Criterion(nn.Module):
    """``total = Σ weight · term``; each term is also reported by name, without its weight.

    A module because terms may own parameters: optimisers take ``criterion.parameters()`` too.

    Args:
        terms: by name, in the order of the log's columns; the parameters of those that are modules
            are the criterion's.
    """

    def __init__(self, terms: Mapping[str, WeightedTerm]) -> None:
        super().__init__()
        self._terms = dict(terms)
        modules = {n: t.compute for n, t in terms.items() if isinstance(t.compute, nn.Module)}
        self.learnt = nn.ModuleDict(modules)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term in the total."""
        return {name: term.weight for name, term in self._terms.items()}

    def forward(self, output: ModelOutput, batch: Batch) -> LossReport:
        """Computes the terms in float32 at any precision of the model."""
        with torch.autocast(batch.labels.device.type, enabled=False):
            values = {name: term.compute(output, batch) for name, term in self._terms.items()}
        weighted = [term.weight * values[name] for name, term in self._terms.items()]
        return LossReport(torch.stack(weighted).sum(), values)
