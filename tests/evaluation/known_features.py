"""Features whose scores other people's evaluation code has told (``expected.json``).

An image's feature is its identity's vector, its camera's vector times 0.8, and noise, scaled to
length 1 and rounded to float32. All come from one generator, in the order in which they stand here.
"""

from __future__ import annotations

import numpy as np

from vireid.structures import FeatureSet, Modality

DIM = 32
Image = tuple[str, int, int, Modality]  # path, identity, camera, modality


def regdb_features(seed: int) -> FeatureSet:
    """Ten images of each odd identity up to 411 and modality; each camera has one modality."""
    images: list[Image] = []
    for modality, folder in ((Modality.VISIBLE, "Visible"), (Modality.INFRARED, "Thermal")):
        for pid in range(1, 413, 2):
            for k in range(10):
                path = f"{folder}/{pid}/{folder.lower()}_{pid:03d}_{k}.bmp"
                images.append((path, pid, modality + 1, modality))
    return _features(images, np.random.default_rng(seed), noise=1.4)


def llcm_features(seed: int) -> FeatureSet:
    """71 identities; each passes half of the cameras and leaves one to eight images there."""
    rng = np.random.default_rng(seed)
    images: list[Image] = []
    for modality, kind in ((Modality.VISIBLE, "vis"), (Modality.INFRARED, "nir")):
        for camera in range(1, 10):
            if (kind, camera) == ("nir", 3):
                continue  # that camera has no infrared images
            for pid in range(700, 1051, 5):
                if rng.random() >= 0.5:
                    continue
                for k in range(int(rng.integers(1, 9))):
                    name = f"{pid:04d}_c{camera:02d}_s{k:06d}.jpg"
                    path = f"test_{kind}/cam{camera}/{pid:04d}/{name}"
                    images.append((path, pid, camera, modality))
    return _features(images, rng, noise=1.2)


def sysu_features(counts: dict[tuple[int, int], int], seed: int) -> FeatureSet:
    """(camera, identity) → number of images."""
    images = [
        (f"cam{camera}/{pid:04d}/{k:04d}.jpg", pid, camera, Modality(int(camera in (3, 6))))
        for (camera, pid), number in counts.items()
        for k in range(1, number + 1)
    ]
    return _features(images, np.random.default_rng(seed), noise=1.4)


def official_cells(
    counts: dict[tuple[int, int], int], sizes: dict[int, int], seed: int, noise: float
) -> dict[int, np.ndarray]:
    """``feature`` of each camera's .mat: a cell per identity, with a float64 row per image.

    Args:
        sizes: cells of each camera.
    """
    rng = np.random.default_rng(seed)
    identities, cameras = rng.standard_normal((534, DIM)), rng.standard_normal((7, DIM))
    cells = {}
    for camera, size in sizes.items():
        cells[camera] = np.empty((size, 1), dtype=object)
        for pid in range(1, size + 1):
            rows = np.zeros((counts.get((camera, pid), 0), DIM))
            if len(rows):
                rows += identities[pid] + 0.8 * cameras[camera]
                rows += noise * rng.standard_normal(rows.shape)
            cells[camera][pid - 1, 0] = rows
    return cells


def _features(images: list[Image], rng: np.random.Generator, noise: float) -> FeatureSet:
    paths, pids, camids, modality = (np.array(column) for column in zip(*images, strict=True))
    identities = rng.standard_normal((max(pids) + 1, DIM))
    cameras = rng.standard_normal((len(Modality), max(camids) + 1, DIM))
    features = identities[pids] + 0.8 * cameras[modality, camids]
    features = features + noise * rng.standard_normal(features.shape)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return FeatureSet(features.astype(np.float32), pids, camids, modality.astype(np.uint8), paths)
