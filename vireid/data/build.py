"""From options to data: splits, and loaders over them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from vireid.data import regdb, sysu
from vireid.data.dataset import ImageDataset, collate
from vireid.data.samplers import IdentityBatchSampler
from vireid.data.synthetic.layouts import LAYOUTS
from vireid.data.synthetic.render import RENDERER_VERSION
from vireid.data.transforms import eval_transforms, train_transforms
from vireid.errors import DataError, UsageError
from vireid.structures import ImageRecord, Splits

DATASETS: dict[str, Callable[..., Splits]] = {"sysu": sysu.load, "regdb": regdb.load}


def build_splits(cfg: CfgNode) -> Splits:
    """Reads the data set that ``DATA`` names.

    Raises:
        DataError: see the data set's ``load``; also when there is nothing to train on or to test.
    """
    load = DATASETS[cfg.DATA.DATASET]
    splits = load(cfg.DATA.ROOT, split=cfg.DATA.SPLIT, split_trial=cfg.DATA.TRIAL)
    for part in ("train", "test"):
        for modality in sorted({"VISIBLE", "INFRARED"}):
            if not any(record.modality.name == modality for record in getattr(splits, part)):
                raise DataError(f"{splits.root}: no {modality.lower()} image in the {part} split")
    return splits


def synthetic_root(cfg: CfgNode, parent: Path = Path("datasets")) -> Path:
    """Where the synthetic set of these options belongs.

    The folder's name carries a digest of everything that decides its content, so that changed
    options or a changed renderer never meet an old set.
    """
    content = json.dumps([RENDERER_VERSION, _synthetic_parameters(cfg)])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return parent / f"synthetic_{cfg.DATA.DATASET}_{digest[:10]}"


def prepare_data(cfg: CfgNode) -> None:
    """Renders the synthetic set if the options ask for one and it is not there yet.

    Raises:
        UsageError: this data set's layout cannot be rendered, or the sizes make no sense.
    """
    root, layout = Path(cfg.DATA.ROOT), cfg.DATA.DATASET
    if not cfg.DATA.SYNTHETIC.ENABLED or root != synthetic_root(cfg) or root.is_dir():
        return
    if layout not in LAYOUTS:
        raise UsageError(
            f"DATA.SYNTHETIC cannot write the layout of {layout}; it can write {sorted(LAYOUTS)}"
        )
    try:
        LAYOUTS[layout](root, **_synthetic_parameters(cfg), progress=True, workers=0)
    except ValueError as error:
        raise UsageError(f"DATA.SYNTHETIC: {error}") from error
    except OSError as error:
        if not root.is_dir():  # otherwise another run finished the same set first
            raise UsageError(f"cannot write the synthetic set {root}: {error}") from error


def _synthetic_parameters(cfg: CfgNode) -> dict[str, Any]:
    options = cfg.DATA.SYNTHETIC
    return {
        "train_ids": options.TRAIN_IDS,
        "test_ids": options.TEST_IDS,
        "images_per_camera": options.IMAGES_PER_CAMERA,
        "size": tuple(options.SIZE),
        "seed": options.SEED,
    }


def build_train_loader(
    cfg: CfgNode, splits: Splits, *, device: torch.device, rank: int = 0, world_size: int = 1
) -> tuple[DataLoader, IdentityBatchSampler]:
    """The training loader and its sampler, whose ``epoch`` and ``first_step`` the loop sets.

    Raises:
        DataError: fewer identities than a batch needs.
        UsageError: the batch cannot be shared out among the processes.
    """
    if cfg.SAMPLER.IDENTITIES // world_size * cfg.SAMPLER.IMAGES < 2:
        raise UsageError(
            f"SAMPLER.IDENTITIES={cfg.SAMPLER.IDENTITIES} × SAMPLER.IMAGES={cfg.SAMPLER.IMAGES} "
            f"over {world_size} process(es) leaves one image of a modality to a process, which "
            "BatchNorm cannot normalise: raise either of them"
        )
    try:
        sampler = IdentityBatchSampler(
            splits.train,
            identities=cfg.SAMPLER.IDENTITIES,
            images=cfg.SAMPLER.IMAGES,
            seed=cfg.SEED,
            rank=rank,
            world_size=world_size,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    label_of = {pid: label for label, pid in enumerate(splits.train_pids)}
    transforms = train_transforms(
        tuple(cfg.INPUT.SIZE),
        pad=cfg.INPUT.PAD,
        flip=cfg.INPUT.FLIP,
        erase=cfg.INPUT.ERASE,
        erase_area=tuple(cfg.INPUT.ERASE_AREA),
        grayscale=cfg.INPUT.GRAYSCALE,
        channel_exchange=cfg.INPUT.CHANNEL_EXCHANGE,
        mean=cfg.INPUT.MEAN,
    )
    labels = [label_of[record.pid] for record in splits.train]
    dataset = ImageDataset(splits.root, splits.train, labels, transforms, seed=cfg.SEED)
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        persistent_workers=cfg.DATA.WORKERS > 0,
        **_loading(cfg, device),
    )
    return loader, sampler


def build_eval_loader(
    cfg: CfgNode, root: Path, records: Sequence[ImageRecord], *, device: torch.device
) -> DataLoader:
    """Every record once, in order; labels are the data set's own pids."""
    pids = [record.pid for record in records]
    dataset = ImageDataset(root, records, pids, eval_transforms(tuple(cfg.INPUT.SIZE)))
    return DataLoader(dataset, batch_size=cfg.TEST.BATCH, **_loading(cfg, device))


def _loading(cfg: CfgNode, device: torch.device) -> dict:
    return {
        # More processes than processors only take turns; their number changes no result.
        "num_workers": min(cfg.DATA.WORKERS, os.cpu_count() or 1),
        "collate_fn": collate,
        "worker_init_fn": _leave_signals_to_the_loop,
        "pin_memory": device.type == "cuda",
    }


def _leave_signals_to_the_loop(worker: int) -> None:
    """A signal to the process group must not take the loop's data away: the loop ends these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
