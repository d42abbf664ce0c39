"""Vectors → what losses and retrieval need of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vireid.models.parts import MultiGranularityParts
from vireid.structures import BRANCH, HeadOutput, PartOutput

CLASSIFIER_STD = 0.001  # of the initial weights: no class is preferred at the start [field: BoT]


class BNNeckHead(nn.Module):
    """Batch normalisation between what metric losses see and what is classified and retrieved.

    Args:
        dim: length of the embedding.
        num_classes: training identities.
    Source: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-Identification, 2019.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.bnneck = nn.BatchNorm1d(dim)
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)

    def forward(self, embedding: Tensor) -> HeadOutput:
        """(B, D) → embedding (B, D), feature (B, D), logits (B, C)."""
        feature = self.bnneck(embedding)
        return HeadOutput(embedding, feature, self.classifier(feature))


class BranchHeads(nn.Module):
    """A classifier on each branch's stretch of the joint feature, for training alone.

    Args:
        dims: lengths of the branches' vectors, which make up the joint one in this order.
        num_classes: training identities.
    """

    def __init__(self, dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self._dims = list(dims)
        self.classifiers = nn.ModuleList(nn.Linear(d, num_classes, bias=False) for d in dims)
        for classifier in self.classifiers:
            nn.init.normal_(classifier.weight, std=CLASSIFIER_STD)

    def forward(self, joint: HeadOutput) -> dict[str, HeadOutput]:
        """(B, Σ dims) → ``branch1``, ``branch2``, …: (B, D_k), (B, D_k), (B, C)."""
        stretches = zip(
            joint.embedding.split(self._dims, dim=1),
            joint.feature.split(self._dims, dim=1),
            self.classifiers,
            strict=True,
        )
        return {
            f"{BRANCH}{number}": HeadOutput(embedding, feature, classify(feature))
            for number, (embedding, feature, classify) in enumerate(stretches, start=1)
        }


class PartFeatures(nn.Module):
    """Part vectors, and the same behind a BNNeck.

    The BNNeck has no scale or shift of its own: what follows, a classifier or a distance between
    vectors of unit length, needs none.

    Args:
        aggregate: map → vectors of the parts, by granularity.
        bnneck: without it, features are the embeddings.
    """

    def __init__(self, aggregate: MultiGranularityParts, *, bnneck: bool) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.bnnecks = nn.ModuleList(
            nn.BatchNorm1d(granularity * aggregate.dim, affine=False) if bnneck else nn.Identity()
            for granularity in aggregate.granularities
        )

    def forward(self, maps: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(B, C, H, W) → per granularity embedding and feature (B, g · d)."""
        embeddings = [parts.flatten(1) for parts in self.aggregate(maps)]
        return [
            (embedding, bnneck(embedding))
            for embedding, bnneck in zip(embeddings, self.bnnecks, strict=True)
        ]


class PartsHead(nn.Module):
    """Part features and their classifiers.

    Args:
        features: map → features of the parts, by granularity.
        classifier: ``part``: every part has a classifier of its own; ``granularity``: one for all
            parts of a granularity side by side.
        num_classes: training identities.
    """

    def __init__(self, features: PartFeatures, *, classifier: str, num_classes: int) -> None:
        super().__init__()
        self.features = features
        granularities, dim = features.aggregate.granularities, features.aggregate.dim
        shapes = [(g, dim) if classifier == "part" else (1, g * dim) for g in granularities]
        self.classifiers = nn.ModuleList(
            GroupedClassifier(groups, length, num_classes) for groups, length in shapes
        )

    def forward(self, maps: Tensor) -> tuple[PartOutput, ...]:
        """(B, C, H, W) → one output per granularity."""
        return tuple(
            PartOutput(embedding, feature, classify(feature))
            for (embedding, feature), classify in zip(
                self.features(maps), self.classifiers, strict=True
            )
        )


class GroupedClassifier(nn.Module):
    """A classifier for each of K stretches of a vector: (B, K · d) → (B, K, C)."""

    def __init__(self, groups: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, num_classes, dim))
        nn.init.normal_(self.weight, std=CLASSIFIER_STD)

    def forward(self, features: Tensor) -> Tensor:
        stretches = features.unflatten(1, (len(self.weight), -1))
        return torch.einsum("bkd,kcd->bkc", stretches, self.weight)
