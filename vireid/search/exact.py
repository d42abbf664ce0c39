"""Exact search: every vector is compared; they are streamed, so that memory does not grow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from vireid.search.columns import VECTOR
from vireid.search.gallery import Gallery
from vireid.search.lance_errors import lance_errors

ROWS = 2048  # vectors that are read and compared at once
NONE = -float("inf")  # score where there is no row


@dataclass(frozen=True, slots=True)
class Nearest:
    """Each query's most similar rows, best first.

    Args:
        scores: (Q, K) cosines; -inf where there is no further row.
        rows: (Q, K) int64 LanceDB's row ids, of this version of the table.
    """

    scores: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Rows that are left out of a query's results.

    Args:
        own: by query, the row ids of the same images.
        cameras: by query, the cameras whose images are left out.
    """

    own: Mapping[int, Sequence[int]] = field(default_factory=dict)
    cameras: Sequence[Sequence[str]] = ()


def search_exact(
    gallery: Gallery,
    queries: np.ndarray,
    top: int,
    *,
    condition: str = "",
    exclusions: Exclusions | None = None,
    device: torch.device | str = "cpu",
) -> Nearest:
    """Compares all rows that a condition leaves with all queries.

    Args:
        queries: (Q, D) float32 of length 1.
        top: K.
        condition: of SQL, as ``Gallery.filtering`` gives it.
    """
    out = exclusions or Exclusions()
    asked = torch.tensor(queries, device=device)
    scores = torch.full((len(queries), 0), NONE, device=device)
    rows = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
    with lance_errors(gallery.place):
        for block in _blocks(gallery, condition, with_cameras=any(out.cameras)):
            vectors, ids, cameras = block
            products = asked @ vectors.to(device).T
            _leave_out(products, ids, cameras, out)
            scores, rows = _best(scores, rows, products, ids.to(device), top)
    return _in_order(scores.cpu().numpy(), rows.cpu().numpy())


def _blocks(
    gallery: Gallery, condition: str, *, with_cameras: bool
) -> Iterator[tuple[Tensor, Tensor, object]]:
    """(n, D) vectors, (n,) row ids, and cameras."""
    columns = [VECTOR, "camid"] if with_cameras else [VECTOR]
    found = gallery.table.search().select(columns).with_row_id(True).limit(None)
    found = found.where(condition) if condition else found
    for batch in found.to_batches(batch_size=ROWS):
        if batch.num_rows:
            flat = batch[VECTOR].flatten().to_numpy(zero_copy_only=False)
            with warnings.catch_warnings():  # that it may not be written to, which nothing does
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                vectors = torch.from_numpy(flat).view(batch.num_rows, gallery.dim)
            ids = torch.from_numpy(batch["_rowid"].to_numpy().astype(np.int64))
            yield vectors, ids, batch["camid"] if with_cameras else None


def _best(
    scores: Tensor, rows: Tensor, products: Tensor, ids: Tensor, top: int
) -> tuple[Tensor, Tensor]:
    """The best of what was found so far and of a block: (Q, K) scores, best first, and rows."""
    count = min(top, len(ids))
    if scores.shape[1] < top:
        best, at = products.topk(count, dim=1)
        scores, rows = torch.cat([scores, best], dim=1), torch.cat([rows, ids[at]], dim=1)
        scores, kept = scores.topk(min(top, scores.shape[1]), dim=1)
        return scores, rows.gather(1, kept)
    # Far into a gallery few blocks hold a better row, and to find those few is faster than to sort.
    better = (products.amax(dim=1) > scores[:, -1]).nonzero().view(-1)
    if len(better):
        best, at = products[better].topk(count, dim=1)
        best, kept = torch.cat([scores[better], best], dim=1).topk(top, dim=1)
        scores[better] = best
        rows[better] = torch.cat([rows[better], ids[at]], dim=1).gather(1, kept)
    return scores, rows


def _leave_out(products: Tensor, ids: Tensor, cameras: object, out: Exclusions) -> None:
    for query, rows in out.own.items():
        for row in rows:
            products[query, (ids == row).nonzero().view(-1)] = NONE
    for camera in {camera for own in out.cameras for camera in own}:
        same = pc.equal(cameras, camera).fill_null(False).to_numpy(zero_copy_only=False)
        asking = [k for k, own in enumerate(out.cameras) if camera in own]
        mask = torch.from_numpy(same).to(products.device)
        products[asking] = products[asking].masked_fill(mask, NONE)


def _in_order(scores: np.ndarray, rows: np.ndarray) -> Nearest:
    """Best first; equal scores in the order of their rows."""
    order = np.lexsort((rows, -scores), axis=1)
    return Nearest(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))
