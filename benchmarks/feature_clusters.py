"""Features of as many images as one likes, drawn like those that a network made of a data set.

Each identity has two centres, of its visible and of its infrared images, and these lie around them.
All spreads are normal distributions with the covariances that the network's features have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vireid.errors import DataError
from vireid.structures import FeatureSet, Modality

CHUNK = 65_536  # rows drawn at once
TOGETHER = 1024  # identities drawn at once


@dataclass(frozen=True, slots=True)
class Spread:
    """What was measured; a factor F (r, n) draws z F from standard normal z.

    Args:
        mean: (2 D,) of the identities' visible and infrared centres, side by side.
        between: factor of the same from identity to identity.
        within: factors (r, D) of visible and of infrared images around their centre.
        identities: how many were measured.
    """

    mean: np.ndarray
    between: np.ndarray
    within: tuple[np.ndarray, np.ndarray]
    identities: int

    def gallery(self, count: int, per_identity: int, seed: int) -> Iterator[np.ndarray]:
        """(n, D) float32 visible unit vectors in blocks; images of one identity are consecutive."""
        for start in range(0, count, CHUNK):
            pids = np.arange(start, min(start + CHUNK, count)) // per_identity
            yield self._images(pids, Modality.VISIBLE, (seed, 1, start))

    def queries(self, pids: np.ndarray, seed: int, *, draw: int = 0) -> np.ndarray:
        """(Q, D) float32 infrared unit vectors of identities of a gallery of this seed.

        Args:
            draw: number of the draw; each gives other images.
        """
        return self._images(pids, Modality.INFRARED, (seed, 2, draw))

    def _images(self, pids: np.ndarray, modality: Modality, seed: tuple[int, ...]) -> np.ndarray:
        dim, centres = len(self.mean) // 2, np.empty((len(pids), len(self.mean) // 2))
        for block in np.unique(pids // TOGETHER):  # the same whichever of them are asked for
            rng = np.random.default_rng((seed[0], 0, int(block)))
            both = self.mean + _normal(rng, self.between, TOGETHER)
            chosen = pids // TOGETHER == block
            own = both.reshape(TOGETHER, 2, dim)[:, int(modality)]
            centres[chosen] = own[pids[chosen] % TOGETHER]
        around = _normal(np.random.default_rng(seed), self.within[int(modality)], len(pids))
        found = centres + around
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def measure(features: FeatureSet, dim: int) -> Spread:
    """The spreads of a run's features, in their ``dim`` directions of most variance.

    These are mixed by a rotation, as a network's numbers are: none of them stands for a direction.
    Directions that the features do not have stay empty. Centres are means of few images, so that a
    part of the spread within identities counts as between them, too.

    Raises:
        DataError: no identity has images of both modalities, or none several of one.
    """
    units = features.features.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    basis = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)[2][:dim]
    mixed = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))[0]
    found = units @ basis.T @ mixed[: len(basis)]
    infrared = features.modality == int(Modality.INFRARED)
    pids = np.intersect1d(features.pids[infrared], features.pids[~infrared])
    centres, around = _centres(found[~infrared], features.pids[~infrared], pids)
    others, around_others = _centres(found[infrared], features.pids[infrared], pids)
    both = np.hstack([centres, others])
    within = _factor(around), _factor(around_others)
    return Spread(both.mean(axis=0), _factor(both), within, len(pids))


def _centres(
    rows: np.ndarray, pids: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(P, D) means, and (n, D) what images differ from them, made up for the degree of freedom."""
    if not any(int((pids == pid).sum()) > 1 for pid in wanted):
        raise DataError("features: no identity with images of both modalities, several of each")
    centres = np.stack([rows[pids == pid].mean(axis=0) for pid in wanted])
    around = [
        (rows[pids == pid] - centre) * np.sqrt(n / (n - 1))
        for pid, centre in zip(wanted, centres, strict=True)
        if (n := int((pids == pid).sum())) > 1
    ]
    return centres, np.concatenate(around)


def _factor(rows: np.ndarray) -> np.ndarray:
    """(r, D) F with F' F the covariance of the rows."""
    _, lengths, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return lengths[:, None] * directions / np.sqrt(max(1, len(rows) - 1))


def _normal(rng: np.random.Generator, factor: np.ndarray, count: int) -> np.ndarray:
    return rng.standard_normal((count, len(factor)), dtype=np.float32) @ factor.astype(np.float32)
