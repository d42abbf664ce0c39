"""What crosses the boundaries between packages: records, batches, network outputs, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # scoring features from a file needs no torch, which takes seconds to import
    import torch
    from torch import Tensor


class Modality(IntEnum):
    """The spectrum of an image; the values are those of ``modality`` in features.npz."""

    VISIBLE = 0
    INFRARED = 1  # near-infrared and thermal alike


class Role(IntEnum):
    """What a data set lets an image of one modality be; the values of ``role`` in features.npz."""

    BOTH = 0
    QUERY = 1
    GALLERY = 2


TEST_LISTS = (800, 1600, 2400)  # VehicleID's, by their vehicles; each holds those before it


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image on disk.

    Args:
        path: relative to the data set's root, with ``/`` on every system.
        pid: identity as the data set numbers it.
        camid: camera as the data set numbers it, from 1.
        role: whether it may search, be found, or both.
        test_list: size of the smallest test list that holds it; 0 where there are no such lists.
    """

    path: str
    pid: int
    camid: int
    modality: Modality
    role: Role = Role.BOTH
    test_list: int = 0


SPLITS = ("test", "val", "train")  # the groups of a data set's images, by name


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set, read: which images train, which choose a model, which score it.

    Args:
        train: images of the training identities.
        val: images of identities held out from training; empty when all of them train.
        test: images of identities that training never sees.
        split_trial: which of several train/test splits this is (RegDB: 1–10), else ``None``.
        gallery_permutations: file that holds the published gallery draws, if the set has one.
    """

    root: Path
    train: tuple[ImageRecord, ...]
    val: tuple[ImageRecord, ...]
    test: tuple[ImageRecord, ...]
    split_trial: int | None = None
    gallery_permutations: Path | None = None

    @property
    def train_pids(self) -> tuple[int, ...]:
        """Training identities, ascending; the position of a pid is its class label."""
        return tuple(sorted({record.pid for record in self.train}))


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with what the losses need to know about them.

    Args:
        images: (B, 3, H, W) uint8 from the loader, or float once normalised.
        labels: (B,) int64 contiguous training labels, or pids when a data set is only read.
        is_infrared: (B,) bool.
        indices: (B,) int64 position of each image in its list of records.
    """

    images: Tensor
    labels: Tensor
    is_infrared: Tensor
    indices: Tensor

    def to(self, device: torch.device) -> Batch:
        moved = (getattr(self, f.name).to(device, non_blocking=True) for f in fields(self))
        return Batch(*moved)

    def pin_memory(self) -> Batch:
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


BRANCH = "branch"  # how the names of branches' heads begin, before their number


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """What one head says of a batch.

    Args:
        embedding: (B, D) before BNNeck, for metric losses.
        feature: (B, D) after BNNeck, for retrieval.
        logits: (B, C).
    """

    embedding: Tensor
    feature: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class PartOutput:
    """What the parts of one granularity say of a batch.

    Args:
        embedding: (B, g · d) the g parts' vectors side by side, top to bottom; before BNNeck, for
            metric losses.
        feature: (B, g · d) after BNNeck, for retrieval.
        logits: (B, K, C) of K classifiers: one per part, or one for all parts together.
    """

    embedding: Tensor
    feature: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Every head's output by its name, in training and in evaluation alike.

    Args:
        heads: ``deep``, and the shallow students or the branches that the network has.
        parts: one per granularity; none without part features.
        teacher: (B, C) logits of a frozen teacher of the same images, where there is one.
    """

    heads: dict[str, HeadOutput] = field(default_factory=dict)
    parts: tuple[PartOutput, ...] = ()
    teacher: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> ModelOutput:
        """The same outputs with ``change`` applied to every tensor."""
        heads = {
            name: HeadOutput(change(head.embedding), change(head.feature), change(head.logits))
            for name, head in self.heads.items()
        }
        parts = tuple(
            PartOutput(change(part.embedding), change(part.feature), change(part.logits))
            for part in self.parts
        )
        return ModelOutput(heads, parts, None if self.teacher is None else change(self.teacher))

    @property
    def branches(self) -> list[HeadOutput]:
        """Heads of the branches, in their order; none of a network without."""
        return [head for name, head in self.heads.items() if name.startswith(BRANCH)]

    @property
    def deep(self) -> HeadOutput:
        """The deepest head: what is deployed, and every student's teacher."""
        return self.heads["deep"]


@dataclass(frozen=True, slots=True)
class LossReport:
    """The total loss and the unweighted terms that it was made of, by name; all () tensors."""

    total: Tensor
    terms: Mapping[str, Tensor]

    def named(self) -> dict[str, Tensor]:
        """``loss`` first, then ``loss_<term>``, detached."""
        named = {"loss": self.total} | {f"loss_{name}": term for name, term in self.terms.items()}
        return {name: value.detach() for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of N images with what a protocol needs to know about each.

    Args:
        features: (N, D) float32 or float64.
        pids: (N,) int64.
        camids: (N,) int64, from 1.
        modality: (N,) uint8, values of :class:`Modality`.
        paths: (N,) str, relative to the data set's root, ``/``-separated.
        role: (N,) uint8, values of :class:`Role`; None where any image may be either.
        test_list: (N,) int64, the smallest test list that holds each image (``subset`` in
            features.npz); None where the data set has no such lists.
    """

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modality: np.ndarray
    paths: np.ndarray
    role: np.ndarray | None = None
    test_list: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    def subset(self, rows: np.ndarray) -> FeatureSet:
        """The given rows (indices or booleans), in that order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in columns.items() if v is not None})
