"""Directional pooling: means of a square map along its rows, columns and diagonals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIRECTIONS = ("horizontal", "vertical", "diagonal", "antidiagonal", "global")
MODES = ("linear", "wrap")
NORMS = ("branch", "channel", "none")


def line_of_position(direction: str, side: int, *, mode: str = "linear") -> Tensor:
    """Index of the line that each position of a square map belongs to.

    Args:
        direction: one of ``DIRECTIONS``. ``horizontal``: one line per row; ``vertical``: per
            column; ``diagonal``: per value of column − row; ``antidiagonal``: per value of
            column + row; ``global``: one line of all positions.
        side: n, number of rows and of columns.
        mode: of the diagonals. ``linear``: the 2n − 1 diagonals, of 1 to n positions; ``wrap``: n
            lines of n positions, which continue at the opposite edge.
    Returns:
        (n · n,) int64 from 0, positions row by row.
    Raises:
        ValueError: unknown direction or mode.
    """
    if direction not in DIRECTIONS or mode not in MODES:
        raise ValueError(
            f"direction {direction!r}, mode {mode!r}: choose one of {DIRECTIONS} and one of {MODES}"
        )
    rows, columns = torch.arange(side).repeat_interleave(side), torch.arange(side).repeat(side)
    if direction == "diagonal":
        return (columns - rows) % side if mode == "wrap" else columns - rows + side - 1
    if direction == "antidiagonal":
        return (columns + rows) % side if mode == "wrap" else columns + rows
    return {"horizontal": rows, "vertical": columns, "global": torch.zeros_like(rows)}[direction]


class DirectionalMean(nn.Module):
    """Mean over each line of a square map.

    Args:
        direction, side, mode: see ``line_of_position``.
    Source: Zhu et al., Vehicle Re-Identification Using Quadruple Directional Deep Learning
        Features, IEEE TITS (doi 10.1109/TITS.2019.2901312), whose abstract names the four
        directions; where diagonals end is a choice of this project.
    """

    members: Tensor
    counts: Tensor

    def __init__(self, direction: str, side: int, *, mode: str = "linear") -> None:
        super().__init__()
        # A matrix of ones and zeros, not index_add, which is not deterministic on every device.
        # It is constant, so that no checkpoint holds it.
        members = F.one_hot(line_of_position(direction, side, mode=mode)).float()
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("counts", members.sum(dim=0), persistent=False)

    @property
    def length(self) -> int:
        """L, the number of lines."""
        return len(self.counts)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, n, n) → (B, C, L)."""
        return maps.flatten(2) @ self.members / self.counts


class DirectionalPool(nn.Module):
    """Directional means of a map, scaled to unit length and concatenated; float32 or float64.

    Args:
        directions: of ``DIRECTIONS``, one per branch.
        side: n; the maps must be n × n.
        channels: C of one branch.
        separate: every branch has its own C channels of the map (B, branches · C, n, n);
            otherwise all pool the same map (B, C, n, n).
        mode: see ``line_of_position``.
        spatial_norm: what is scaled to unit length. ``branch``: a branch's whole vector;
            ``channel``: each channel's part of it; ``none``: nothing.
    Attributes:
        dims: length of each branch's vector.
    Source: Zhu et al. (see ``DirectionalMean``): directional maps are "spatially normalized
        and concatenated"; over which axes is a choice of this project.
    """

    def __init__(
        self,
        directions: Sequence[str],
        *,
        side: int,
        channels: int,
        separate: bool,
        mode: str = "linear",
        spatial_norm: str = "branch",
    ) -> None:
        super().__init__()
        if spatial_norm not in NORMS:
            raise ValueError(f"spatial norm {spatial_norm!r} is unknown; choose one of {NORMS}")
        means = [DirectionalMean(d, side, mode=mode) for d in directions]
        self.means = nn.ModuleList(means)
        self.dims = tuple(channels * mean.length for mean in means)
        self._side, self._separate, self._norm = side, separate, spatial_norm

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C or branches · C, n, n) → (B, Σ dims); a channel's lines are neighbours.

        Raises:
            ValueError: the map has another size.
        """
        if tuple(maps.shape[2:]) != (self._side, self._side):
            found = " × ".join(map(str, maps.shape[2:]))
            raise ValueError(
                f"a map of {found} positions, but directional pooling was built for {self._side} × "
                f"{self._side}: images must have the square INPUT.SIZE of the configuration"
            )
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps if maps.dtype == torch.float64 else maps.float()
            count = len(self.means)
            shares = maps.chunk(count, dim=1) if self._separate else [maps] * count
            return torch.cat(
                [self._unit(mean(share)) for mean, share in zip(self.means, shares, strict=True)],
                dim=1,
            )

    def _unit(self, lines: Tensor) -> Tensor:
        """(B, C, L) → (B, C · L)."""
        if self._norm == "channel":
            return F.normalize(lines, dim=2).flatten(1)
        vector = lines.flatten(1)
        return F.normalize(vector, dim=1) if self._norm == "branch" else vector
