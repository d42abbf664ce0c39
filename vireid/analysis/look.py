"""A run's network, looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from yacs.config import CfgNode

from vireid.analysis.activations import Activations, choose_records, look
from vireid.data.build import build_eval_loader, build_splits, prepare_data
from vireid.data.dataset import batches
from vireid.engine.device import resolve_device, use_threads
from vireid.engine.score import read_trained, trained_model
from vireid.errors import DataError


def look_at_run(
    cfg: CfgNode,
    *,
    run: Path,
    split: str = "test",
    names: Sequence[str] = (),
    count: int = 2,
    seed: int = 0,
) -> Activations:
    """Activations of some of a split's images, in one forward pass.

    Args:
        cfg: the run's configuration.
        split: ``test``, ``val`` or ``train``.
        names, count, seed: see :func:`activations.choose_records`.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another network.
        DataError: the split holds no image, or not those asked for.
    """
    path, checkpoint = read_trained(cfg, run)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    prepare_data(cfg)
    splits = build_splits(cfg)
    records = {"test": splits.test, "val": splits.val, "train": splits.train}[split]
    if not records:
        raise DataError(f"{splits.root}: no {split} image; DATA.SPLIT train holds some out")
    chosen = choose_records(records, names=names, count=count, seed=seed)
    model = trained_model(cfg, checkpoint, path).to(device)
    loader = build_eval_loader(cfg, splits.root, chosen, device=torch.device("cpu"))
    images = torch.cat([batch.images for batch in batches(loader)])
    normalisation = {"mean": cfg.INPUT.MEAN, "std": cfg.INPUT.STD}
    return look(model, images, chosen, device=device, **normalisation)
