"""Heads: embedding, feature and logits of vectors; of the whole image, of branches, of parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vireid.models.parts import MultiGranularityParts
from vireid.structures import BRANCH, HeadOutput, PartOutput

CLASSIFIER_STD = 0.001  # of the initial weights: all classes start equally likely [field: BoT]


class BNNeckHead(nn.Module):
    """A BatchNorm between the embedding (metric losses) and the feature (classifier, retrieval).

    Args:
        dim: length of the embedding.
        num_classes: training identities.
    Attributes:
        dim: as given.
    Source: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-Identification, 2019.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.dim = dim
        self.bnneck = nn.BatchNorm1d(dim)
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)

    def forward(self, embedding: Tensor) -> HeadOutput:
        """(B, D) → embedding (B, D), feature (B, D), logits (B, C)."""
        feature = self.bnneck(embedding)
        return HeadOutput(embedding, feature, self.classifier(feature))


class BranchHeads(nn.Module):
    """A classifier on each branch's slice of the joint feature, for training only.

    Args:
        dims: lengths of the branches' vectors, which form the joint vector in this order.
        num_classes: training identities.
    """

    def __init__(self, dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self._dims = list(dims)
        classifiers = [nn.Linear(d, num_classes, bias=False) for d in dims]
        for classifier in classifiers:
            nn.init.normal_(classifier.weight, std=CLASSIFIER_STD)
        self.classifiers = nn.ModuleList(classifiers)

    def forward(self, joint: HeadOutput) -> dict[str, HeadOutput]:
        """(B, Σ dims) → ``branch1``, ``branch2``, …: (B, D_k), (B, D_k), (B, C)."""
        slices = zip(
            joint.embedding.split(self._dims, dim=1),
            joint.feature.split(self._dims, dim=1),
            self.classifiers,
            strict=True,
        )
        return {
            f"{BRANCH}{number}": HeadOutput(embedding, feature, classify(feature))
            for number, (embedding, feature, classify) in enumerate(slices, start=1)
        }


class PartFeatures(nn.Module):
    """Part vectors before and after a BNNeck.

    The BNNeck has no scale and no shift: neither a classifier nor a distance between vectors of
    unit length needs them.

    Args:
        aggregate: map → vectors of the parts, by granularity.
        bnneck: False makes the features equal the embeddings.
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
        classifier: ``part``: one per part; ``granularity``: one on all parts of a granularity,
            concatenated.
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
    """A classifier for each of K slices of a vector: (B, K · d) → (B, K, C)."""

    def __init__(self, groups: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, num_classes, dim))
        nn.init.normal_(self.weight, std=CLASSIFIER_STD)

    def forward(self, features: Tensor) -> Tensor:
        slices = features.unflatten(1, (len(self.weight), -1))
        return torch.einsum("bkd,kcd->bkc", slices, self.weight)
