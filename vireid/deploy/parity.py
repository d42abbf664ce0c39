"""Whether two ways of computing features come to the same, in numbers and in ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid.errors import CheckpointError

LARGEST = 1e-4  # difference of two numbers of unit features that float32 runtimes may have
AGREEMENT = 0.99  # least share of the nearest that both must have in common
NEAREST = 10


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found.

    Args:
        difference: largest absolute difference of two numbers of the same unit feature.
        agreement: share of each image's nearest others that both have, mean over the images.
        nearest: how many others those are.
        images: compared.
    """

    difference: float
    agreement: float
    nearest: int
    images: int

    def __str__(self) -> str:
        return (
            f"largest difference {self.difference:.2g}, top-{self.nearest} agreement "
            f"{100 * self.agreement:.2f} % over {self.images} images"
        )

    def require(self, what: str) -> None:
        """
        Args:
            what: was compared, for the message.
        Raises:
            CheckpointError: the difference is beyond what rounding explains.
        """
        if not (self.difference <= LARGEST and self.agreement >= AGREEMENT):
            raise CheckpointError(
                f"{what} computes other features than torch: {self}; allowed are {LARGEST:g} and "
                f"{100 * AGREEMENT:g} %; nothing was written"
            )


def compare(expected: np.ndarray, found: np.ndarray, nearest: int = NEAREST) -> Parity:
    """
    Args:
        expected, found: (N, D) unit features of the same images, N ≥ 2.
        nearest: how many others of each image to compare; fewer where there are not so many.
    """
    nearest = min(nearest, len(expected) - 1)
    both = zip(_nearest(expected, nearest), _nearest(found, nearest), strict=True)
    shares = [len(set(one) & set(other)) / nearest for one, other in both]
    difference = float(np.abs(expected.astype(np.float64) - found).max())
    return Parity(difference, float(np.mean(shares)), nearest, len(expected))


def _nearest(features: np.ndarray, count: int) -> list[list[int]]:
    """Indices of the most similar other rows of each row; equal ones in their order."""
    similar = features.astype(np.float64) @ features.astype(np.float64).T
    np.fill_diagonal(similar, -np.inf)
    return np.argsort(-similar, axis=1, kind="stable")[:, :count].tolist()
