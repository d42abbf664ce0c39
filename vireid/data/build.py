"""From options to data: splits, and loaders over them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from yacs.config import CfgNode

from vireid.data.cache import ImageCache, cached_images
from vireid.data.corruptions.draw import CorruptionRule
from vireid.data.dataset import ImageDataset
from vireid.data.datasets import DATASETS
from vireid.data.loading import (
    PREFETCH,
    Collate,
    leave_signals_to_parent,
    semaphores_work,
    use_shared_memory,
)
from vireid.data.pixels import PERCENTILE, PixelRule
from vireid.data.sampler import IdentityBatchSampler
from vireid.data.tracks import frame_records
from vireid.data.transforms import eval_transform, train_transform
from vireid.data.verify import missing_modalities
from vireid.errors import DataError, UsageError
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.threads import processors


def build_splits(cfg: CfgNode, *, parts: Sequence[str] = ("train", "test")) -> Splits:
    """Reads the data set that ``DATA`` names.

    Args:
        parts: that must have images of every modality.
    Raises:
        DataError: see the data set's ``load``; also if a modality has no image in one of ``parts``.
    """
    info = DATASETS[cfg.DATA.DATASET]
    data = cfg.DATA
    splits = info.read(data.ROOT, data, split=data.SPLIT, split_trial=data.TRIAL)
    if "train" in parts and splits.test and not splits.train:
        raise DataError(
            f"{splits.root} holds test images only: a trained model can be scored on them "
            "(evaluate --run), but no model can be trained on them"
        )
    if "test" in parts and splits.train and not splits.test:
        raise DataError(
            f"{splits.root} holds training images only: some identities must be test identities "
            "(docs/datasets.md)"
        )
    for problem in missing_modalities(splits, info.modalities, parts):
        raise DataError(f"{splits.root}: {problem}")
    return splits


def pixel_rules(cfg: CfgNode) -> dict[Modality, PixelRule]:
    """How the images of each modality become RGB; ``auto`` is a range that is not known yet."""
    rules = {}
    for modality in Modality:
        limits = cfg.INPUT[modality.name].RANGE
        known = limits if limits == PERCENTILE else None if limits == "auto" else tuple(limits)
        rules[modality] = PixelRule(known, tuple(cfg.INPUT.BACKGROUND))
    return rules


def corruption_rule(cfg: CfgNode) -> CorruptionRule:
    """How the images of protocols ``…+corrupted`` are corrupted; ``none`` means visible ones."""
    test = cfg.TEST
    both = test.CORRUPTION == "both"
    side = Modality.INFRARED if test.CORRUPTION == "infrared" else Modality.VISIBLE
    return CorruptionRule(
        frozenset(Modality if both else {side}),
        tuple(test.CORRUPTION_KINDS),
        test.CORRUPTION_SEVERITY,
        test.CORRUPTION_SEED,
        tuple(cfg.INPUT.SIZE) if test.CORRUPTION_RESIZED else None,
    )


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
    transforms, second_view, grey = _augmentation(cfg)
    dataset = ImageDataset(
        splits.root,
        splits.train,
        [label_of[record.pid] for record in splits.train],
        transforms,
        second_view=second_view,
        grey=grey,
        grey_epochs=cfg.INPUT.GREY_EPOCHS,
        seed=cfg.SEED,
        cache=_cache(cfg, splits.root, splits.train),
        rules=pixel_rules(cfg),
    )
    views = len({record.modality for record in splits.train}) + cfg.INPUT.SECOND_VISIBLE
    each = cfg.SAMPLER.IMAGES * cfg.SAMPLER.FRAMES * views
    batch = cfg.SAMPLER.IDENTITIES // world_size * each
    options = _loading(cfg, device, batch=batch)
    loader = DataLoader(
        dataset, batch_sampler=sampler, persistent_workers=options["num_workers"] > 0, **options
    )
    return loader, sampler


def _sampler(cfg: CfgNode, splits: Splits, rank: int, world_size: int) -> IdentityBatchSampler:
    if cfg.SAMPLER.FRAMES > 1 and not DATASETS[cfg.DATA.DATASET].tracks:
        raise UsageError(
            f"SAMPLER.FRAMES {cfg.SAMPLER.FRAMES} takes several frames of each track, and "
            f"{cfg.DATA.DATASET} has single images: set SAMPLER.FRAMES 1"
        )
    identities = _batch_identities(cfg.SAMPLER.IDENTITIES, splits, world_size)
    if identities // world_size * cfg.SAMPLER.IMAGES < 2:
        raise UsageError(
            f"SAMPLER.IDENTITIES={identities} × SAMPLER.IMAGES={cfg.SAMPLER.IMAGES} "
            f"over {world_size} process(es) leaves one image of a modality to a process, which "
            "BatchNorm cannot normalise: raise either of them"
        )
    return IdentityBatchSampler(
        splits.train,
        identities=identities,
        images=cfg.SAMPLER.IMAGES,
        seed=cfg.SEED,
        frames=cfg.SAMPLER.FRAMES,
        second_visible=cfg.INPUT.SECOND_VISIBLE,
        rank=rank,
        world_size=world_size,
    )


def _batch_identities(asked: int, splits: Splits, world_size: int) -> int:
    """P: ``SAMPLER.IDENTITIES``, or as many as a smaller training set has for all processes.

    Raises:
        DataError: there are too few to train with.
    """
    there = len(splits.train_pids)
    if there < 2:
        raise DataError(
            f"{splits.root} has one training identity, but training needs two or more: add images "
            "of others"
        )
    if asked <= there or asked % world_size:  # the sampler refuses what cannot be shared out
        return asked
    if there < world_size:
        raise DataError(
            f"{splits.root} has {there} training identities, too few for {world_size} processes: "
            f"train with {there} processes at most"
        )
    return there - there % world_size


def _augmentation(
    cfg: CfgNode,
) -> tuple[dict[Modality, v2.Transform], v2.Transform | None, v2.Transform | None]:
    """Training transforms by modality; of a visible image's second view; of grey epochs."""
    options, infrared = cfg.INPUT, cfg.INPUT.INFRARED
    augment = partial(
        train_transform,
        tuple(options.SIZE),
        pad=options.PAD,
        flip=options.FLIP,
        scale=options.SCALE,
        rotate=options.ROTATE,
        jitter=options.JITTER,
        invert=options.INVERT,
        erase=options.ERASE,
        erase_area=tuple(options.ERASE_AREA),
        channel_erase=options.CHANNEL_ERASE,
        mean=options.MEAN,
        corrupt=options.CORRUPT,
    )
    transforms = {
        Modality.VISIBLE: augment(
            grayscale=options.GRAYSCALE,
            channel_exchange=options.CHANNEL_EXCHANGE,
            channel_mix=options.CHANNEL_MIX,
        ),
        Modality.INFRARED: augment(
            erase=options.ERASE if infrared.ERASE < 0 else infrared.ERASE,
            jitter=options.JITTER if infrared.JITTER[0] < 0 else infrared.JITTER,
            invert=options.INVERT if infrared.INVERT < 0 else infrared.INVERT,
            channel_exchange=infrared.CHANNEL_EXCHANGE,
            corrupt=infrared.CORRUPT,
            modality=Modality.INFRARED,
        ),
    }
    second_view = augment(channel_exchange=1.0) if options.SECOND_VISIBLE else None
    return transforms, second_view, augment(grayscale=1.0) if options.GREY_EPOCHS else None


def build_eval_loader(
    cfg: CfgNode,
    root: Path,
    records: Sequence[ImageRecord],
    *,
    device: torch.device,
    corruption: CorruptionRule | None = None,
) -> DataLoader:
    """Every record once, in order; labels are the data set's own pids.

    Args:
        corruption: of the images as they are on disk; ``DATA.CACHE`` is then not used.
    """
    pids = [record.pid for record in records]
    transforms = dict.fromkeys(Modality, eval_transform(tuple(cfg.INPUT.SIZE)))
    cache = None if corruption else _cache(cfg, root, records)
    dataset = ImageDataset(
        root,
        records,
        pids,
        transforms,
        cache=cache,
        rules=pixel_rules(cfg),
        corruption=corruption,
    )
    batch = min(cfg.TEST.BATCH, len(records))
    return DataLoader(dataset, batch_size=cfg.TEST.BATCH, **_loading(cfg, device, batch=batch))


def _cache(cfg: CfgNode, root: Path, records: Sequence[ImageRecord]) -> ImageCache | None:
    if not cfg.DATA.CACHE:
        return None
    size, rules = tuple(cfg.INPUT.SIZE), pixel_rules(cfg)
    return cached_images(cfg.DATA.CACHE, root, frame_records(records), size=size, rules=rules)


def _loading(cfg: CfgNode, device: torch.device, *, batch: int) -> dict[str, Any]:
    """Options of a DataLoader whose batches have ``batch`` images."""
    # More processes than processors only take turns; their number changes no result.
    workers = min(cfg.DATA.WORKERS, processors())
    workers = workers if semaphores_work() else 0
    height, width = cfg.INPUT.SIZE
    return {
        "num_workers": workers,
        "prefetch_factor": PREFETCH if workers else None,
        "timeout": cfg.DATA.TIMEOUT if workers else 0,
        "collate_fn": Collate(use_shared_memory(workers, batch * 3 * height * width)),
        # A loader draws a number whenever it is read. From the generator of training, the number
        # of validations and stops would change what follows.
        "generator": torch.Generator(),
        "worker_init_fn": leave_signals_to_parent,
        "pin_memory": device.type == "cuda",
    }
