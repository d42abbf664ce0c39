"""Vector → embedding, feature and logits."""

from __future__ import annotations

from torch import Tensor, nn

from vireid.structures import HeadOutput


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
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, embedding: Tensor) -> HeadOutput:
        """(B, D) → embedding (B, D), feature (B, D), logits (B, C)."""
        feature = self.bnneck(embedding)
        return HeadOutput(embedding, feature, self.classifier(feature))
