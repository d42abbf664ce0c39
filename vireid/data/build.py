"""From options to data: splits, and loaders over them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from yacs.config import CfgNode

from vireid.data.cache import ImageCache, cached_images
from vireid.data.dataset import ImageDataset, collate
from vireid.data.datasets import csv_set, llcm, regdb, sysu, vehicleid, veri
from vireid.data.sampler import IdentityBatchSampler
from vireid.data.transforms import eval_transforms, train_transforms
from vireid.errors import DataError, UsageError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.synthetic.pedestrians.render import RENDERER_VERSION
from vireid.synthetic.writers import LAYOUTS

DATASETS: dict[str, Callable[..., Splits]] = {
    "sysu": sysu.load,
    "regdb": regdb.load,
    "llcm": llcm.load,
    "csv": csv_set.load,
    "veri": veri.load,
    "vehicleid": vehicleid.load,
}
# What is published about each
PUBLISHED: dict[str, Mapping[str, int]] = {
    "sysu": sysu.EXPECTED,
    "regdb": regdb.EXPECTED,
    "llcm": llcm.EXPECTED,
    "veri": veri.EXPECTED,
    "vehicleid": vehicleid.EXPECTED,
}
# Of those that have not all of them
MODALITIES: dict[str, Sequence[Modality]] = {
    "veri": veri.MODALITIES,
    "vehicleid": vehicleid.MODALITIES,
}


def modalities_of(dataset: str) -> Sequence[Modality]:
    """The modalities that a data set's training and test images have."""
    return MODALITIES.get(dataset, tuple(Modality))


def expected_identities(cfg: CfgNode) -> int | None:
    """How many identities train, as published or as rendered; None where only the files tell."""
    if cfg.DATA.SPLIT == "train":
        return None
    if cfg.DATA.SYNTHETIC.ENABLED and Path(cfg.DATA.ROOT) == synthetic_root(cfg):
        return cfg.DATA.SYNTHETIC.TRAIN_IDS
    return PUBLISHED.get(cfg.DATA.DATASET, {}).get("training identities")


def build_splits(cfg: CfgNode) -> Splits:
    """Reads the data set that ``DATA`` names.

    Raises:
        DataError: see the data set's ``load``; also when there is nothing to train on or to test.
    """
    load = DATASETS[cfg.DATA.DATASET]
    splits = load(cfg.DATA.ROOT, split=cfg.DATA.SPLIT, split_trial=cfg.DATA.TRIAL)
    for part in ("train", "test"):
        for modality in modalities_of(cfg.DATA.DATASET):
            if not any(record.modality is modality for record in getattr(splits, part)):
                name = modality.name.lower()
                raise DataError(f"{splits.root}: no {name} image in the {part} split")
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
        DataError: fewer identities than a batch needs; an image that the cache cannot hold.
        UsageError: the batch cannot be shared out among the processes; ``DATA.CACHE`` cannot be
            written.
    """
    sampler = _sampler(cfg, splits, rank, world_size)
    label_of = {pid: label for label, pid in enumerate(splits.train_pids)}
    labels = [label_of[record.pid] for record in splits.train]
    cache = _cache(cfg, splits.root, splits.train)
    transforms, second_view = _augmentation(cfg)
    dataset = ImageDataset(
        splits.root,
        splits.train,
        labels,
        transforms,
        second_view=second_view,
        seed=cfg.SEED,
        cache=cache,
    )
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        persistent_workers=cfg.DATA.WORKERS > 0,
        **_loading(cfg, device),
    )
    return loader, sampler


def _sampler(cfg: CfgNode, splits: Splits, rank: int, world_size: int) -> IdentityBatchSampler:
    if cfg.SAMPLER.IDENTITIES // world_size * cfg.SAMPLER.IMAGES < 2:
        raise UsageError(
            f"SAMPLER.IDENTITIES={cfg.SAMPLER.IDENTITIES} × SAMPLER.IMAGES={cfg.SAMPLER.IMAGES} "
            f"over {world_size} process(es) leaves one image of a modality to a process, which "
            "BatchNorm cannot normalise: raise either of them"
        )
    try:
        return IdentityBatchSampler(
            splits.train,
            identities=cfg.SAMPLER.IDENTITIES,
            images=cfg.SAMPLER.IMAGES,
            seed=cfg.SEED,
            second_visible=cfg.INPUT.SECOND_VISIBLE,
            rank=rank,
            world_size=world_size,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _augmentation(cfg: CfgNode) -> tuple[dict[Modality, v2.Transform], v2.Transform | None]:
    """Training transforms by modality, and that of a visible image's second view, if any."""
    options, infrared = cfg.INPUT, cfg.INPUT.INFRARED
    augment = partial(
        train_transforms,
        tuple(options.SIZE),
        pad=options.PAD,
        flip=options.FLIP,
        erase=options.ERASE,
        erase_area=tuple(options.ERASE_AREA),
        mean=options.MEAN,
    )
    transforms = augment(
        grayscale=options.GRAYSCALE,
        channel_exchange=options.CHANNEL_EXCHANGE,
        infrared_erase=options.ERASE if infrared.ERASE < 0 else infrared.ERASE,
        infrared_exchange=infrared.CHANNEL_EXCHANGE,
    )
    second = augment(channel_exchange=1.0)[Modality.VISIBLE] if options.SECOND_VISIBLE else None
    return transforms, second


def build_eval_loader(
    cfg: CfgNode, root: Path, records: Sequence[ImageRecord], *, device: torch.device
) -> DataLoader:
    """Every record once, in order; labels are the data set's own pids."""
    pids = [record.pid for record in records]
    transforms, cache = eval_transforms(tuple(cfg.INPUT.SIZE)), _cache(cfg, root, records)
    dataset = ImageDataset(root, records, pids, transforms, cache=cache)
    return DataLoader(dataset, batch_size=cfg.TEST.BATCH, **_loading(cfg, device))


def _cache(cfg: CfgNode, root: Path, records: Sequence[ImageRecord]) -> ImageCache | None:
    if not cfg.DATA.CACHE:
        return None
    return cached_images(cfg.DATA.CACHE, root, records, size=tuple(cfg.INPUT.SIZE))


def _loading(cfg: CfgNode, device: torch.device) -> dict:
    return {
        # More processes than processors only take turns; their number changes no result.
        "num_workers": min(cfg.DATA.WORKERS, os.cpu_count() or 1),
        "collate_fn": collate,
        # A loader draws a number whenever it is read: not from the generator of training, whose
        # state would tell how often that validated or stopped.
        "generator": torch.Generator(),
        "worker_init_fn": _leave_signals_to_the_loop,
        "pin_memory": device.type == "cuda",
    }


def _leave_signals_to_the_loop(worker: int) -> None:
    """Ctrl-C and a batch system signal the process group: the loop, which ends these, is to have
    its data until it has saved."""
    if hasattr(os, "setpgid"):  # not on Windows
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the loop's exit ends them
