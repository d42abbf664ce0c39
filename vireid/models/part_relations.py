"""Relations between the parts of an image: modules that add information of the other parts.

All take ``pooled`` (B, N, C), the pooled parts, ``reduced`` (B, N, d), the same reduced to their
final length, and ``related`` (N, N) bool, which parts are related (each to itself), and return
(B, N, d).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRAPH_TEMPERATURE = 0.1  # of the softmax over cosine similarities [ours]


class PartLinear(nn.Module):
    """Linear map, batch normalisation over images and parts, ReLU.

    Args:
        channels, dim: lengths of a part's vector before and after.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, dim, bias=False)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, parts: Tensor) -> Tensor:
        """(B, N, channels) → (B, N, dim)."""
        flat = self.norm(self.linear(parts).flatten(0, 1))
        return F.relu(flat).view(*parts.shape[:2], -1)


class Unrelated(nn.Module):
    """No relation: the reduced parts, as in PCB and MGN."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()

    def forward(self, pooled: Tensor, reduced: Tensor, related: Tensor) -> Tensor:
        return reduced


class OneVsRest(nn.Module):
    """``q = r + ψ([r; ρ(mean of the other parts)])``; ``q = r`` for a part without others.

    Source: Park and Ham, Relation Network for Person Re-identification, AAAI 2020.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.rest = PartLinear(channels, dim)
        self.join = PartLinear(2 * dim, dim)
        self._accompanied: Tensor | None = None

    def forward(self, pooled: Tensor, reduced: Tensor, related: Tensor) -> Tensor:
        others = related & ~torch.eye(len(related), dtype=torch.bool, device=related.device)
        if not self.training:  # an exported model must not have shapes that depend on values
            return self._masked(pooled, reduced, others)
        accompanied = self._rows(others)
        if not len(accompanied):
            return reduced
        share = others / others.sum(dim=1, keepdim=True)
        rest = self.rest(share[accompanied].to(pooled.dtype) @ pooled)
        joined = self.join(torch.cat([reduced[:, accompanied], rest], dim=2))
        return reduced.index_add(1, accompanied, joined)

    def _rows(self, others: Tensor) -> Tensor:
        """Indices of the parts that have others. Looked up once, since the mask never changes and
        each look-up would wait for the GPU."""
        if self._accompanied is None or self._accompanied.device != others.device:
            self._accompanied = others.any(dim=1).nonzero().flatten()
        return self._accompanied

    def _masked(self, pooled: Tensor, reduced: Tensor, others: Tensor) -> Tensor:
        """The same in evaluation mode, where computing parts without others does no harm."""
        counts = others.sum(dim=1, keepdim=True)
        rest = self.rest((others / counts.clamp(min=1)).to(pooled.dtype) @ pooled)
        joined = self.join(torch.cat([reduced, rest], dim=2))
        return torch.where(counts > 0, reduced + joined, reduced)


class PartAttention(nn.Module):
    """Scaled dot-product attention between parts, normalised and added.

    Source: after the intra-modality weighted-part attention of Ye et al., Dynamic Dual-Attentive
        Aggregation Learning (DDAG), ECCV 2020; scaling, normalisation and place are ours.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        inner = dim // 2
        self.query, self.key, self.value = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pooled: Tensor, reduced: Tensor, related: Tensor) -> Tensor:
        # One head, as a separate dimension: attention in ONNX needs it.
        query, key, value = (
            linear(reduced).unsqueeze(1) for linear in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=related)
        return reduced + self.norm(self.out(attended.squeeze(1)))


class PartGraph(nn.Module):
    """One graph convolution over parts, weighted by their cosine similarity."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.update = PartLinear(dim, dim)

    def forward(self, pooled: Tensor, reduced: Tensor, related: Tensor) -> Tensor:
        unit = F.normalize(reduced.float(), dim=2)
        similarity = (unit @ unit.transpose(1, 2)) / GRAPH_TEMPERATURE
        weights = similarity.masked_fill(~related, -torch.inf).softmax(dim=2)
        return reduced + self.update(weights.to(reduced.dtype) @ reduced)


# MODEL.MGIM.RELATION → (channels of the pooled parts, length of the reduced ones) → a relation
RELATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "one_vs_rest": OneVsRest,
    "attention": PartAttention,
    "graph": PartGraph,
    "none": Unrelated,
}
