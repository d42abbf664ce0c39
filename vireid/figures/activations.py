"""Activation maps: where each exit of a model finds the energy of its feature, image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from vireid.data.build import build_eval_loader, build_splits
from vireid.data.datasets.names import label_of
from vireid.data.loading import batches
from vireid.data.transforms import normalize
from vireid.errors import DataError, UsageError
from vireid.figures.map_files import read_maps, require_energies, require_images, write_maps
from vireid.figures.overlays import Panel, PanelGroup, PanelRow, Words, draw_panels
from vireid.models.build import POOLS
from vireid.models.parts import stripe_bounds
from vireid.models.reid_model import ReidModel
from vireid.runs.features import records_in, with_ranges
from vireid.runs.rendered_data import require_rendered
from vireid.runs.trained_run import open_model
from vireid.structures import ImageRecord, Modality, Splits
from vireid.utils.identities import unidentified

LABELS = ("images", "paths", "pids", "camids", "modality")  # arrays of the file, besides the maps
BAR = "Energy, from 0 (only the grey image) to the largest value of each panel:"
NOTE = (
    "Energy: the squared channels, summed at each place of the map that an exit pools into its "
    "feature."
)
STRIPES = " Stripes: share of the deep map's energy in each horizontal stripe."
NO_PID, NO_CAMID = -1, 0  # of files outside a data set
_POOL_TYPES = tuple(type(make(3.0)) for make in POOLS.values())


@dataclass(frozen=True, slots=True)
class Activations:
    """Energy maps of N images.

    Args:
        images: (N, H, W, 3) uint8, as the model received them.
        paths, pids, camids, modality: (N,) of each image.
        labels: (N,) what a reader calls each image.
        maps: by exit, ``shallow1`` … ``deep``: (N, h, w) sum over channels of the squared map that
            the exit's pooling receives.
        granularities: numbers of stripes that the deepest map is cut into; none without parts.
    """

    images: np.ndarray
    paths: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modality: np.ndarray
    labels: np.ndarray
    maps: dict[str, np.ndarray]
    granularities: tuple[int, ...]

    def shares(self, granularity: int) -> np.ndarray:
        """(N, granularity) share of the deepest map's energy in each stripe, top to bottom.

        Rows in two overlapping stripes count in both.
        """
        deep = self.maps["deep"]
        total = np.maximum(deep.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
        bounds = stripe_bounds(deep.shape[1], granularity)
        stripes = [deep[:, first:last].sum(axis=(1, 2)) / total for first, last in bounds]
        return np.stack(stripes, axis=1)


def run_activations(
    cfg: CfgNode,
    *,
    run: Path,
    split: str = "test",
    names: Sequence[str] = (),
    count: int = 2,
    seed: int = 0,
) -> Activations:
    """Activation maps of some of a split's images, from one forward pass of a run's model.

    Args:
        cfg: the run's configuration.
        split: ``test``, ``val`` or ``train``.
        names, count, seed: see :func:`choose_records`.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
        DataError: the split holds no image, or not those that are named.
    """
    model, device = open_model(cfg, run)
    require_rendered(cfg)
    splits = build_splits(cfg, parts=())
    records = records_in(splits, split)
    known = [_as_number(name, splits.identities) for name in names]
    chosen = choose_records(records, names=known, count=count, seed=seed)
    cfg = with_ranges(cfg, splits, chosen)
    loader = build_eval_loader(cfg, splits.root, chosen, device=torch.device("cpu"))
    images = torch.cat([batch.images for batch in batches(loader)])
    labels = [record_label(record, splits) for record in chosen]
    normalisation = {"mean": cfg.INPUT.MEAN, "std": cfg.INPUT.STD}
    return activations_of(model, images, chosen, labels=labels, device=device, **normalisation)


def file_activations(
    cfg: CfgNode, *, run: Path, images: np.ndarray, files: Sequence[Path], modality: Modality
) -> Activations:
    """Activation maps of images outside the data set.

    Args:
        images: (N, H, W, 3) uint8, of the model's input size.
        files: of each image.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
    """
    model, device = open_model(cfg, run)
    records = [ImageRecord(str(file), NO_PID, NO_CAMID, modality) for file in files]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    labels = [str(file) for file in files]
    normalisation = {"mean": cfg.INPUT.MEAN, "std": cfg.INPUT.STD}
    return activations_of(model, tensor, records, labels=labels, device=device, **normalisation)


def record_label(record: ImageRecord, splits: Splits) -> str:
    """What a reader calls an image of a data set, by the names of the set if it has any."""
    pid, camid = label_of(record.pid, splits.identities), label_of(record.camid, splits.cameras)
    return label(pid, camid)


def label(pid: int | str, camid: int | str) -> str:
    """What a reader calls an image of an identity and a camera."""
    return f"identity {pid}, camera {camid}"


def _as_number(name: str, identities: Mapping[int, str]) -> str:
    """The number of an identity that the data set names; other names stay as they are."""
    return next((str(pid) for pid, known in identities.items() if known == name), name)


def choose_records(
    records: Sequence[ImageRecord], *, names: Sequence[str] = (), count: int = 2, seed: int = 0
) -> list[ImageRecord]:
    """The first image of each modality of some identities, or images by name.

    Junk and distractors show no known identity, so that they are found by name only.

    Args:
        names: paths, or identities by their number.
        count: identities, drawn at random, where there are no names.
    Raises:
        DataError: no image has one of the names, or no identity has images of all modalities.
        UsageError: ``count`` is more than there are.
    """
    if names:
        return [record for name in names for record in _named(records, name)]
    first: dict[int, dict[Modality, ImageRecord]] = {}
    unknown = unidentified({record.pid for record in records})
    for record in (record for record in records if record.pid not in unknown):
        first.setdefault(record.pid, {}).setdefault(record.modality, record)
    present = [m for m in Modality if any(m in found for found in first.values())]
    complete = sorted(pid for pid, found in first.items() if len(found) == len(present))
    if not complete:
        raise DataError("no identity has images of both modalities: name images")
    if not 1 <= count <= len(complete):
        raise UsageError(f"--ids {count}: {len(complete)} identities have images of all modalities")
    pids = np.random.default_rng(seed).choice(complete, count, replace=False)
    return [first[pid][modality] for pid in sorted(pids.tolist()) for modality in present]


def _named(records: Sequence[ImageRecord], name: str) -> list[ImageRecord]:
    found = [record for record in records if record.path == name]
    if not found and name.isdecimal():
        images = [record for record in records if record.pid == int(name)]
        first = {record.modality: record for record in reversed(images)}
        found = [first[modality] for modality in Modality if modality in first]
    if not found:
        raise DataError(
            f"no image and no identity {name!r}: name them as the data set does, such as "
            f"{records[0].path} or {records[0].pid}"
        )
    return found


def activations_of(
    model: ReidModel,
    images: Tensor,
    records: Sequence[ImageRecord],
    *,
    labels: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
) -> Activations:
    """Activation maps of images, in the given order.

    Args:
        images: (N, 3, H, W) uint8.
        labels: what a reader calls each image.
        mean, std: normalisation that the model was trained with.
    """
    infrared = torch.tensor([record.modality is Modality.INFRARED for record in records])
    order = infrared.to(torch.uint8).argsort(stable=True)
    inputs = normalize(images[order].to(device), mean, std)
    maps = energy_maps(model, inputs, infrared[order].to(device))
    original = order.argsort().numpy()
    aggregate = None if model.parts is None else model.parts.features.aggregate
    return Activations(
        images=images.permute(0, 2, 3, 1).numpy(),
        paths=np.array([record.path for record in records]),
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array([record.camid for record in records], dtype=np.int64),
        modality=np.array([int(record.modality) for record in records], dtype=np.uint8),
        labels=np.array(labels),
        maps={name: found[original] for name, found in maps.items()},
        granularities=() if aggregate is None else aggregate.granularities,
    )


@torch.inference_mode()
def energy_maps(model: ReidModel, images: Tensor, is_infrared: Tensor) -> dict[str, np.ndarray]:
    """The squared map that each exit's pooling receives, summed over channels.

    Args:
        images: (B, 3, H, W) normalised; visible images first.
        is_infrared: (B,) bool.
    Returns:
        per exit (B, h, w) float64, shallowest first.
    """
    # A model with batch norm per modality sorts its rows so; in another order the maps would
    # belong to other images.
    assert bool((is_infrared.diff().int() >= 0).all()), "visible images come first"
    received: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: received.update({name: inputs[0]})

    poolings = {name: _pooling(head) for name, head in model.shallow.items()}
    was_training = model.training
    with ExitStack() as hooks:
        for name, pooling in {**poolings, "deep": model.pool}.items():
            hooks.callback(pooling.register_forward_pre_hook(keep(name)).remove)
        model.eval()(images, is_infrared)
    model.train(was_training)
    return {
        name: maps.double().square().sum(dim=1).cpu().numpy() for name, maps in received.items()
    }


def _pooling(head: nn.Module) -> nn.Module:
    (pooling,) = [module for module in head.modules() if isinstance(module, _POOL_TYPES)]
    return pooling


def write_activations(path: Path, found: Activations) -> None:
    """Writes an .npz from which the figure can be drawn without the model."""
    arrays = {name: getattr(found, name) for name in (*LABELS, "labels")}
    arrays["granularities"] = np.array(found.granularities, dtype=np.int64)
    write_maps(path, arrays | {f"map_{name}": maps for name, maps in found.maps.items()})


def read_activations(path: Path) -> Activations:
    """What :func:`write_activations` wrote; :class:`DataError` for any other file."""
    return read_maps(path, _from_arrays, kind="activations", figure="activations")


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Activations:
    maps = {name[4:]: arrays[name] for name in arrays if name.startswith("map_")}
    granularities = tuple(int(number) for number in arrays["granularities"])
    known = {name: arrays[name] for name in LABELS}
    whose = zip(known["pids"].tolist(), known["camids"].tolist(), strict=True)
    labels = arrays.get("labels", np.array([label(pid, camid) for pid, camid in whose]))
    found = Activations(**known, labels=labels, maps=maps, granularities=granularities)
    counts = {len(found.images), len(found.paths), *(len(one) for one in maps.values())}
    if "deep" not in maps or len(counts) > 1:
        raise ValueError("it lacks the deepest map, or maps of some images")
    require_images(arrays)
    for one in maps.values():
        require_energies(one, 3)
    if not all(1 <= number <= maps["deep"].shape[1] for number in granularities):
        raise ValueError("its maps have fewer rows than stripes")
    return found


def draw_activations(found: Activations, path: Path, *, cells: bool = False) -> None:
    """A row per image: the image, its energy at every exit, and every stripe's share of it.

    Args:
        cells: maps are drawn cell by cell instead of smoothly.
    Raises:
        UsageError: too many images for one figure.
    """
    rows = [_row(found, number) for number in range(len(found.images))]
    words = Words(BAR, NOTE + (STRIPES if found.granularities else ""))
    draw_panels(path, rows, words, cells=cells)


def _row(found: Activations, number: int) -> PanelRow:
    image = found.images[number]
    panels = {"image": Panel(image)}
    panels |= {name: Panel(image, maps[number]) for name, maps in found.maps.items()}
    for granularity in found.granularities:
        shares = found.shares(granularity)[number]
        panels[f"{granularity} stripes"] = Panel(image, shares=shares)
    modality = Modality(int(found.modality[number])).name.lower()
    groups = [PanelGroup("" if number else title, [panel]) for title, panel in panels.items()]
    return PanelRow(f"{modality}, {found.labels[number]}", groups)
