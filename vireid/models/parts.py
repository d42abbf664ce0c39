"""Part features: vectors of horizontal stripes at several granularities, and their relations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from vireid.models.part_relations import RELATIONS, PartLinear, Unrelated


def stripe_bounds(rows: int, granularity: int) -> list[tuple[int, int]]:
    """Start (inclusive) and end (exclusive) row of each stripe, as in adaptive pooling.

    Neighbouring stripes overlap by a row where ``granularity`` does not divide ``rows``.
    """
    return [
        (k * rows // granularity, -(-(k + 1) * rows // granularity)) for k in range(granularity)
    ]


class StripePool(nn.Module):
    """Pools every stripe of every granularity.

    Args:
        pool: (B, C, H, W) → (B, C). Pooling each row and then the results must equal pooling
            everything at once; it does for means, generalised means and maxima.
        granularities: numbers of stripes.
    """

    def __init__(self, pool: nn.Module, granularities: Sequence[int]) -> None:
        super().__init__()
        self.pool = pool
        self._granularities = tuple(granularities)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) → (B, N, C), N = Σ granularities; stripes from top to bottom."""
        batch, channels, height, width = maps.shape
        rows = self.pool(maps.reshape(batch, channels * height, 1, width))
        rows = rows.view(batch, channels, height, 1)
        stripes = [
            self.pool(rows[:, :, start:end])
            for granularity in self._granularities
            for start, end in stripe_bounds(height, granularity)
        ]
        return torch.stack(stripes, dim=1)


class MultiGranularityParts(nn.Module):
    """Part vectors: stripes are pooled, reduced to ``dim``, and related to one another.

    Args:
        pool: see ``StripePool``.
        channels: C of the map.
        granularities: numbers of stripes, e.g. 2, 3 and 6.
        dim: d, length of a part's vector.
        relation: a key of ``RELATIONS``.
        scope: ``within``: a part is related to those of its own granularity; ``all``: to every
            part.
        reduce_sharing: a key of ``SHARINGS``: which parts share the weights of the reduction.
        relation_sharing: ``all`` or ``granularity``: which parts share the relation's weights; the
            second only with scope ``within``.
    Raises:
        ValueError: weights per granularity for relations across granularities.
    Source: Park and Ham, Relation Network for Person Re-identification, AAAI 2020 (one-vs-rest
        relations at several granularities); which weights are shared is a choice of this project.
    """

    related: Tensor

    def __init__(
        self,
        pool: nn.Module,
        *,
        channels: int,
        granularities: Sequence[int],
        dim: int,
        relation: str,
        scope: str = "within",
        reduce_sharing: str = "granularity",
        relation_sharing: str = "all",
    ) -> None:
        super().__init__()
        if scope == "all" and relation_sharing != "all":
            raise ValueError("relations across granularities share their weights: use all")
        self.granularities, self.dim = tuple(granularities), dim
        self.pool = StripePool(pool, granularities)
        self._reduced = _slices(granularities, reduce_sharing)
        self.reduce = nn.ModuleList(PartLinear(channels, dim) for _ in self._reduced)
        self._related = _slices(granularities, relation_sharing)
        related = _related(granularities, scope)
        self.relate = nn.ModuleList(
            # A relation between parts that are alone would have weights that nothing uses.
            RELATIONS[relation](channels, dim)
            if related[s, s].sum() > len(related[s])
            else Unrelated(channels, dim)
            for s in self._related
        )
        self.register_buffer("related", related, persistent=False)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """(B, C, H, W) → per granularity (B, g, d)."""
        pooled = self.pool(maps)
        reduced = torch.cat(
            [reduce(pooled[:, s]) for reduce, s in zip(self.reduce, self._reduced, strict=True)],
            dim=1,
        )
        related = torch.cat(
            [
                relate(pooled[:, s], reduced[:, s], self.related[s, s])
                for relate, s in zip(self.relate, self._related, strict=True)
            ],
            dim=1,
        )
        return list(related.split(self.granularities, dim=1))


# MODEL.MGIM.REDUCE_SHARING → granularities → how many neighbouring parts share weights each time
SHARINGS: dict[str, Callable[[Sequence[int]], list[int]]] = {
    "all": lambda granularities: [sum(granularities)],
    "granularity": list,
    "part": lambda granularities: [1] * sum(granularities),
}


def _slices(granularities: Sequence[int], sharing: str) -> list[slice]:
    """Which of all parts, in their order, share weights."""
    ends = accumulate(SHARINGS[sharing](granularities), initial=0)
    return [slice(start, end) for start, end in pairwise(ends)]


def _related(granularities: Sequence[int], scope: str) -> Tensor:
    """(N, N) bool: whether two parts are related; every part is related to itself."""
    if scope == "all":
        return torch.ones(sum(granularities), sum(granularities), dtype=torch.bool)
    return torch.block_diag(*(torch.ones(g, g) for g in granularities)).bool()
