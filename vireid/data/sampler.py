"""Which images make up the batches of an epoch: a pure function of (seed, epoch)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
from torch.utils.data import Sampler

from vireid.data.dataset import SampleKey
from vireid.errors import DataError, UsageError
from vireid.structures import ImageRecord, Modality


def identity_batches(
    records: Sequence[ImageRecord], *, identities: int, images: int, seed: int, epoch: int
) -> list[list[int]]:
    """P identities × K images of each modality per batch, for one epoch.

    Every epoch has as many batches as the larger modality fills, as in all published code.
    Identities are dealt from shuffled packs, so that all come about equally often; so are an
    identity's images, each once before any comes again. An identity with one modality gives K
    images of that one.

    Args:
        identities: P, over all processes.
        images: K.
    Returns:
        batches of indices into ``records``; within a batch identity by identity, visible first.
    Raises:
        DataError: fewer than P identities.
    """
    groups: dict[int, dict[Modality, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, record in enumerate(records):
        groups[record.pid][record.modality].append(index)
    if len(groups) < identities:
        raise DataError(
            f"a batch needs SAMPLER.IDENTITIES={identities} different identities, but the "
            f"training set has {len(groups)}: lower SAMPLER.IDENTITIES"
        )
    rng = np.random.default_rng([seed, epoch])
    larger = max(sum(len(group[m]) for group in groups.values()) for m in Modality)
    count = max(1, larger // (identities * images))
    packs = {
        (pid, m): _dealt(groups[pid][m], rng)
        for pid in sorted(groups)
        for m in Modality
        if groups[pid][m]
    }
    chosen = _identity_rounds(sorted(groups), identities, rng)
    return [
        [
            i
            for pid in next(chosen)
            for m in Modality
            if (pid, m) in packs
            for i in islice(packs[pid, m], images)
        ]
        for _ in range(count)
    ]


def _identity_rounds(
    pids: list[int], identities: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Groups of distinct identities; the rest of a shuffle that fills no group is skipped."""
    while True:
        order = rng.permutation(pids).tolist()
        for start in range(0, len(order) - identities + 1, identities):
            yield order[start : start + identities]


def _dealt(items: list[int], rng: np.random.Generator) -> Iterator[int]:
    """Items in random order without end, each once before any comes again."""
    while True:
        yield from rng.permutation(items).tolist()


class IdentityBatchSampler(Sampler[list[SampleKey]]):
    """Batches of keys for one epoch, from one step on, for one of several processes.

    Each process gets P / world_size identities of every batch, so that all processes together see
    exactly what one process would. Set ``epoch`` and ``first_step`` before iterating.

    Args:
        frames: images of each drawn track, one of each of as many segments; they come in a row.
        second_visible: every visible image comes twice, the second time as view 1.
        identities: P, over all processes; also an attribute.
    Raises:
        DataError: fewer than P identities.
        UsageError: P is not divisible by ``world_size``.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        *,
        identities: int,
        images: int,
        seed: int,
        frames: int = 1,
        second_visible: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if identities % world_size:
            raise UsageError(
                f"SAMPLER.IDENTITIES={identities} must be divisible by the {world_size} processes"
            )
        self._batches = partial(
            identity_batches, records, identities=identities, images=images, seed=seed
        )
        self.identities = identities
        self._records, self._second_visible, self._frames = records, second_visible, frames
        self._rank, self._world_size = rank, world_size
        self.epoch = self.first_step = 0
        self._length = len(self._batches(epoch=0))

    def __len__(self) -> int:
        """Steps of a whole epoch; the same for every epoch."""
        return self._length

    def __iter__(self) -> Iterator[list[SampleKey]]:
        position = 0
        for step, batch in enumerate(self._batches(epoch=self.epoch)):
            images = ((i, segment) for i in batch for segment in range(self._frames))
            keys = [
                SampleKey(i, self.epoch, position + n, segment=segment, segments=self._frames)
                for n, (i, segment) in enumerate(images)
            ]
            position += len(keys)
            if self._second_visible:
                visible = [k for k in keys if self._records[k.index].modality is Modality.VISIBLE]
                keys += [replace(key, view=1) for key in visible]
            if step >= self.first_step:
                yield self._shard(keys)

    def _shard(self, keys: list[SampleKey]) -> list[SampleKey]:
        pids = list(dict.fromkeys(self._records[key.index].pid for key in keys))
        share = len(pids) // self._world_size
        mine = set(pids[self._rank * share : (self._rank + 1) * share])
        return [key for key in keys if self._records[key.index].pid in mine]
