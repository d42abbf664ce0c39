"""Images → features, and what a protocol needs to know about each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from vireid.data.loading import batches, explain_loader_errors
from vireid.data.transforms import normalize
from vireid.structures import FeatureSet, ImageRecord


@explain_loader_errors()
@torch.inference_mode()
def extract_features(
    model: Callable[[Tensor, Tensor], Tensor],
    loader: DataLoader,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    mean: Sequence[float],
    std: Sequence[float],
    flip: bool = False,
) -> FeatureSet:
    """Retrieval features in float32, one row per record, in the records' order.

    Args:
        model: images (B, 3, H, W), is_infrared (B,) → (B, D); in evaluation mode.
        loader: yields every record once, in order.
        mean, std: normalisation of the model's training.
        flip: average the features of an image and of its mirror image.
    """
    rows = []
    for batch in tqdm(
        batches(loader), total=len(loader), desc="features", disable=None, leave=False
    ):
        flags = batch.is_infrared  # stays on the CPU: the model need not wait for a GPU
        images = normalize(batch.images.to(device, non_blocking=True), mean, std)
        features = model(images, flags).float()
        if flip:
            features = (features + model(images.flip(3), flags).float()) / 2
        rows.append(features.cpu())
    return replace(labels_of(records), features=torch.cat(rows).numpy())


def labels_of(records: Sequence[ImageRecord]) -> FeatureSet:
    """What the records say of the images or tracks; ``features`` is (N, 0)."""
    roles = np.array([int(record.role) for record in records], dtype=np.uint8)
    lists = np.array([record.test_list for record in records], dtype=np.int64)
    tracks = np.array([record.track for record in records], dtype=np.int64)
    return FeatureSet(
        features=np.empty((len(records), 0), dtype=np.float32),
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array([record.camid for record in records], dtype=np.int64),
        modality=np.array([int(record.modality) for record in records], dtype=np.uint8),
        paths=np.array([record.path for record in records]),
        role=roles if roles.any() else None,
        test_list=lists if lists.any() else None,
        tracks=tracks if tracks.any() else None,
    )
