"""Data that several packages exchange: records, batches, model outputs, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:  # scoring features from a file needs no torch, which takes seconds to import
    import torch
    from torch import Tensor


class Modality(IntEnum):
    """The spectrum of an image: ``VISIBLE`` is 0, ``INFRARED`` is 1, as in features.npz."""

    VISIBLE = 0
    INFRARED = 1  # near-infrared and thermal alike


# What people call the modalities: in CSV files, as folders, and on the command line, in any case.
MODALITY_NAMES = {
    **dict.fromkeys(("visible", "vis", "rgb", "color", "colour"), Modality.VISIBLE),
    **dict.fromkeys(
        ("infrared", "ir", "nir", "swir", "mwir", "lwir", "tir", "thermal"), Modality.INFRARED
    ),
}


def modality_named(name: str) -> Modality:
    """The modality that people call ``name``.

    Raises:
        ValueError: none of ``MODALITY_NAMES``; lists them.

    >>> modality_named("Thermal").name
    'INFRARED'
    """
    known = MODALITY_NAMES.get(name.strip().lower())
    if known is None:
        raise ValueError(f"{name!r:.100} is unknown; choose one of {', '.join(MODALITY_NAMES)}")
    return known


class Role(IntEnum):
    """What an image may be in a test: ``BOTH`` is 0, ``QUERY`` 1, ``GALLERY`` 2."""

    BOTH = 0
    QUERY = 1
    GALLERY = 2


@overload
def is_junk(pids: int) -> bool: ...
@overload
def is_junk(pids: np.ndarray) -> np.ndarray: ...
def is_junk(pids: int | np.ndarray) -> bool | np.ndarray:
    """Whether images are junk, such as false detections: those whose identity is negative.

    Junk is in no list: it is no query, no gallery image and no training image.
    """
    return pids < 0


DISTRACTOR = 0  # identity of distractors, where a set has junk images, too
TEST_LISTS = (800, 1600, 2400)  # VehicleID's, by number of vehicles; each contains the smaller ones


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image on disk, or one track: consecutive images of a person in one camera.

    Args:
        path: relative to the data set's root, with ``/`` on every system; of a track, that of its
            first frame.
        pid: the data set's number of the identity; negative for junk (``is_junk``).
        camid: the data set's number of the camera, from 1.
        role: whether it may be a query, a gallery image, or both.
        test_list: size of the smallest test list that contains it; 0 without such lists.
        frames: paths of a track's frames, in their order; empty for an image.
        track: the data set's number of the track, from 1; 0 for an image.
    """

    path: str
    pid: int
    camid: int
    modality: Modality
    role: Role = Role.BOTH
    test_list: int = 0
    frames: tuple[str, ...] = ()
    track: int = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all its images: one, or a track's frames."""
        return self.frames or (self.path,)


SPLITS = ("test", "val", "train")  # names of the groups of a data set's images


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set: its images for training, validation and test.

    Args:
        train: images of the training identities.
        val: images of identities held out from training; empty when none are held out.
        test: images of the test identities.
        split_trial: number of this train/test split (RegDB: 1–10); None if there is only one.
        gallery_permutations: file of the published gallery draws, if the set has one.
        identities: number → name of the identities of all parts, for sets that name them.
        cameras: number → name of their cameras, for sets that name them. Where a set does not say
            which camera took an image, one is assumed for each modality.
        left_out: training images of junk and distractors, which no part holds.
        notes: one line for whatever is unusual about the files, but no mistake.
    """

    root: Path
    train: tuple[ImageRecord, ...]
    val: tuple[ImageRecord, ...]
    test: tuple[ImageRecord, ...]
    split_trial: int | None = None
    gallery_permutations: Path | None = None
    identities: Mapping[int, str] = field(default_factory=dict, hash=False)
    cameras: Mapping[int, str] = field(default_factory=dict, hash=False)
    left_out: tuple[ImageRecord, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def train_pids(self) -> tuple[int, ...]:
        """Training identities, ascending; the position of a pid is its class label."""
        return tuple(sorted({record.pid for record in self.train}))


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with their labels and modalities.

    Args:
        images: (B, 3, H, W) uint8 from the loader, or float once normalised.
        labels: (B,) int64 contiguous training labels; pids outside of training.
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

    def per_track(self, frames: int) -> Batch:
        """One label per track, of a batch that holds ``frames`` images of each track in a row."""
        first = slice(None, None, frames)
        return Batch(self.images, self.labels[first], self.is_infrared[first], self.indices[first])


BRANCH = "branch"  # the heads of branches are named branch1, branch2, …


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """One head's output for a batch.

    Args:
        embedding: (B, D) before BNNeck, for metric losses.
        feature: (B, D) after BNNeck, for retrieval.
        logits: (B, C).
    """

    embedding: Tensor
    feature: Tensor
    logits: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> HeadOutput:
        """The same output with ``change`` applied to every tensor."""
        return HeadOutput(change(self.embedding), change(self.feature), change(self.logits))


@dataclass(frozen=True, slots=True)
class PartOutput:
    """The output of one granularity's parts for a batch.

    Args:
        embedding: (B, g · d) the g parts' vectors, concatenated from top to bottom; before BNNeck,
            for metric losses.
        feature: (B, g · d) after BNNeck, for retrieval.
        logits: (B, K, C) of K classifiers: one per part, or one for all parts together.
    """

    embedding: Tensor
    feature: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class TeacherOutput:
    """What a frozen teacher gives of a batch; None for what no loss needs.

    Args:
        logits: (B, C).
        feature: (B, E) of its deepest head, after BNNeck.
    """

    logits: Tensor | None = None
    feature: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> TeacherOutput:
        """The same output with ``change`` applied to every tensor."""
        tensors = (self.logits, self.feature)
        return TeacherOutput(*(None if one is None else change(one) for one in tensors))


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """Every head's output by its name, in training and in evaluation alike.

    Args:
        heads: ``deep``, and the student heads or branches of the model.
        parts: one per granularity; empty without part features.
        teacher: what a frozen teacher gives of the same images, if there is one.
        averaged: the deepest head of the model with averaged weights, where that one teaches.
    """

    heads: dict[str, HeadOutput] = field(default_factory=dict)
    parts: tuple[PartOutput, ...] = ()
    teacher: TeacherOutput | None = None
    averaged: HeadOutput | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> ModelOutput:
        """The same outputs with ``change`` applied to every tensor."""
        heads = {name: head.map(change) for name, head in self.heads.items()}
        parts = tuple(
            PartOutput(change(part.embedding), change(part.feature), change(part.logits))
            for part in self.parts
        )
        teacher = None if self.teacher is None else self.teacher.map(change)
        averaged = None if self.averaged is None else self.averaged.map(change)
        return ModelOutput(heads, parts, teacher, averaged)

    def per_track(self, frames: int) -> ModelOutput:
        """The mean over every ``frames`` rows: the outputs of tracks, of those of their frames."""
        return self.map(lambda rows: rows.unflatten(0, (-1, frames)).mean(dim=1))

    @property
    def branches(self) -> list[HeadOutput]:
        """The heads of the branches in their order; empty without branches."""
        return [head for name, head in self.heads.items() if name.startswith(BRANCH)]

    @property
    def deep(self) -> HeadOutput:
        """The deepest head, which is deployed and teaches the student heads."""
        return self.heads["deep"]


@dataclass(frozen=True, slots=True)
class LossReport:
    """The total loss, and its terms without their weights, by name; all are () tensors."""

    total: Tensor
    terms: Mapping[str, Tensor]

    def named(self) -> dict[str, Tensor]:
        """``loss`` first, then ``loss_<term>``, detached."""
        named = {"loss": self.total} | {f"loss_{name}": term for name, term in self.terms.items()}
        return {name: value.detach() for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of N images or tracks, and what a protocol needs to know about each.

    Args:
        features: (N, D) float32 or float64.
        pids: (N,) int64; a negative one marks junk (``is_junk``).
        camids: (N,) int64, from 1.
        modality: (N,) uint8, values of ``Modality``.
        paths: (N,) str, relative to the data set's root, ``/``-separated.
        role: (N,) uint8, values of ``Role``; None if every image may be both.
        test_list: (N,) int64, size of the smallest test list that contains each image (``subset``
            in features.npz); None without such lists.
        tracks: (N,) int64, number of each row's track; rows of one track have one number. None for
            images.
    """

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modality: np.ndarray
    paths: np.ndarray
    role: np.ndarray | None = None
    test_list: np.ndarray | None = None
    tracks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def unit(self) -> str:
        """What a row is, once the rows of tracks are averaged: ``image`` or ``track``."""
        return "image" if self.tracks is None else "track"

    def subset(self, rows: np.ndarray) -> FeatureSet:
        """The given rows (indices or booleans), in that order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in columns.items() if v is not None})
