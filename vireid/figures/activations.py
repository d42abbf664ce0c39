"""A run's network, looked at once."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from vireid.data.build import build_eval_loader, build_splits
from vireid.data.dataset import batches
from vireid.data.transforms import normalize
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.figures.style import HEAT, TALLEST, drawn
from vireid.models.build import POOLS
from vireid.models.parts import stripe_bounds
from vireid.models.reid_model import ReidModel
from vireid.runs.rendered_data import prepare_data
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import ImageRecord, Modality
from vireid.utils.io import replace_file, require_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


_POOLS = tuple(type(make(3.0)) for make in POOLS.values())
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Activations:
    """Energy maps of N images.

    Args:
        images: (N, H, W, 3) uint8, as the network saw them.
        paths, pids, camids, modality: (N,) of each image.
        maps: by exit, ``shallow1`` … ``deep``: (N, h, w) sum over channels of the squared map that
            the exit's pooling receives.
        granularities: numbers of stripes that the deepest map is cut into; none without parts.
    """

    images: np.ndarray
    paths: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modality: np.ndarray
    maps: dict[str, np.ndarray]
    granularities: tuple[int, ...]

    def shares(self, granularity: int) -> np.ndarray:
        """(N, granularity) share of the deepest map's energy in each stripe, top to bottom.

        Where stripes overlap, what two of them hold counts in both.
        """
        deep = self.maps["deep"]
        total = np.maximum(deep.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
        bounds = stripe_bounds(deep.shape[1], granularity)
        stripes = [deep[:, first:last].sum(axis=(1, 2)) / total for first, last in bounds]
        return np.stack(stripes, axis=1)


@torch.inference_mode()
def energy_maps(model: ReidModel, images: Tensor, is_infrared: Tensor) -> dict[str, np.ndarray]:
    """One forward pass; what every exit's pooling receives, squared and summed over channels.

    That is the map behind the exit's own layers, and the only thing that its feature is made of.

    Args:
        images: (B, 3, H, W) normalised; visible ones first.
        is_infrared: (B,) bool.
    Returns:
        per exit (B, h, w) float64, shallowest first.
    """
    # A network with two sets of statistics sorts its rows so; maps in another order would be
    # somebody else's.
    assert bool((is_infrared.diff().int() >= 0).all()), "visible images come first"
    was_training = model.training
    with _pooled(model) as received:
        model.eval()(images, is_infrared)
    model.train(was_training)
    return {
        name: maps.double().square().sum(dim=1).cpu().numpy() for name, maps in received.items()
    }


@contextmanager
def _pooled(model: ReidModel) -> Iterator[dict[str, Tensor]]:
    """What enters each exit's pooling during the block."""
    received: dict[str, Tensor] = {}
    handles = []
    poolings = {name: _pooling(head.aggregate) for name, head in model.shallow.items()}
    for name, pooling in {**poolings, "deep": model.pool}.items():

        def keep(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            received[name] = inputs[0]

        handles.append(pooling.register_forward_pre_hook(keep))
    try:
        yield received
    finally:
        for handle in handles:
            handle.remove()


def _pooling(aggregate: nn.Module) -> nn.Module:
    (pooling,) = [module for module in aggregate.modules() if isinstance(module, _POOLS)]
    return pooling


def look(
    model: ReidModel,
    images: Tensor,
    records: Sequence[ImageRecord],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
) -> Activations:
    """Activations of images, in the given order.

    Args:
        images: (N, 3, H, W) uint8.
        mean, std: normalisation that the network was trained with.
    """
    infrared = torch.tensor([record.modality is Modality.INFRARED for record in records])
    order = infrared.to(torch.uint8).argsort(stable=True)
    inputs = normalize(images[order].to(device), mean, std)
    maps = energy_maps(model, inputs, infrared[order].to(device))
    back = order.argsort().numpy()
    aggregate = None if model.parts is None else model.parts.features.aggregate
    return Activations(
        images=images.permute(0, 2, 3, 1).numpy(),
        paths=np.array([record.path for record in records]),
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array([record.camid for record in records], dtype=np.int64),
        modality=np.array([int(record.modality) for record in records], dtype=np.uint8),
        maps={name: found[back] for name, found in maps.items()},
        granularities=() if aggregate is None else aggregate.granularities,
    )


def require_maps(path: Path) -> None:
    """Fails where a file of the maps' name holds something else.

    Raises:
        UsageError: it does, or it cannot be written.
    """
    require_target(path)
    if path.exists():
        try:
            read_activations(path)
        except DataError as error:
            raise UsageError(
                f"{path} holds something else than maps: name another --out"
            ) from error


def write_activations(path: Path, found: Activations) -> None:
    """An .npz from which the picture can be drawn without the network.

    Raises:
        UsageError: it cannot be written.
    """
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "images": found.images,
        "paths": found.paths,
        "pids": found.pids,
        "camids": found.camids,
        "modality": found.modality,
        "granularities": np.array(found.granularities, dtype=np.int64),
        **{f"map_{name}": maps for name, maps in found.maps.items()},
    }
    replace_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_activations(path: Path) -> Activations:
    """What :func:`write_activations` wrote.

    Raises:
        DataError: missing, damaged, or another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held: Mapping[str, np.ndarray] = {name: file[name] for name in file.files}
        if int(held["format"]) != FORMAT:
            raise ValueError(f"format {held['format']}, not {FORMAT}")
        maps = {name[4:]: held[name] for name in held if name.startswith("map_")}
        granularities = tuple(int(number) for number in held["granularities"])
        labels = (held[name] for name in ("images", "paths", "pids", "camids", "modality"))
        found = Activations(*labels, maps=maps, granularities=granularities)
        counts = {len(found.images), len(found.paths), *(len(one) for one in maps.values())}
        if "deep" not in maps or len(counts) > 1:
            raise ValueError("it lacks the deepest map, or some images'")
        return found
    except Exception as error:  # numpy raises a dozen types on damaged files
        raise DataError(
            f"{path} holds no activations ({type(error).__name__}: {error}): name the .npz that "
            "the activations tool wrote beside its picture"
        ) from error


def choose_records(
    records: Sequence[ImageRecord], *, names: Sequence[str] = (), count: int = 2, seed: int = 0
) -> list[ImageRecord]:
    """An image of each modality of some identities, or images by name.

    Args:
        names: paths, or identities by their number.
        count: identities, drawn at random, where there are no names.
    Raises:
        DataError: a name that no image has, or no identity with images of all modalities.
        UsageError: ``count`` is more than there are.
    """
    if names:
        return [record for name in names for record in _named(records, name)]
    first: dict[int, dict[Modality, ImageRecord]] = {}
    for record in records:
        first.setdefault(record.pid, {}).setdefault(record.modality, record)
    present = [m for m in Modality if any(m in found for found in first.values())]
    both = sorted(pid for pid, found in first.items() if len(found) == len(present))
    if not both:
        raise DataError("no identity has images of both modalities: name images")
    if not 1 <= count <= len(both):
        raise UsageError(f"--ids {count}: {len(both)} identities have images of all modalities")
    pids = np.random.default_rng(seed).choice(both, count, replace=False)
    return [first[pid][modality] for pid in sorted(pids.tolist()) for modality in present]


def _named(records: Sequence[ImageRecord], name: str) -> list[ImageRecord]:
    found = [record for record in records if record.path == name]
    if not found and name.isdecimal():
        of = [record for record in records if record.pid == int(name)]
        first = {record.modality: record for record in reversed(of)}
        found = [first[modality] for modality in Modality if modality in first]
    if not found:
        raise DataError(
            f"no image and no identity {name!r}: name them as the data set does, such as "
            f"{records[0].path} or {records[0].pid}"
        )
    return found


CELL, ALPHA = 0.8, 0.55  # inches across an image; of what lies on it
NOTE = (
    "Energy of the map that each exit pools (squares summed over channels): dark 0, bright the "
    "image's own largest"
)
STRIPES = "; stripes: share of the deepest map's energy"


def draw_activations(found: Activations, path: Path) -> None:
    """The image, its energy at every exit, and the share of it in every stripe.

    Args:
        path: PNG, PDF or SVG.
    Raises:
        UsageError: too many images for one picture.
    """
    columns = ["image", *found.maps, *(f"{g} stripes" for g in found.granularities)]
    slope = found.images.shape[1] / found.images.shape[2]
    width, height = 0.5 + (CELL + 0.06) * len(columns), (CELL * slope + 0.08) * len(found.images)
    if height > TALLEST:
        raise UsageError(f"{len(found.images)} images are too many for one picture")
    with drawn(path, width, height + 0.75) as figure:
        fields = figure.subplots(len(found.images), len(columns), squeeze=False)
        for axes, name in zip(fields[0], columns, strict=True):
            axes.set_title(name, fontsize=7.5)
        for row in range(len(found.images)):
            _draw_row(fields[row], found, row)
        for axes in fields.flatten():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        note = NOTE + (STRIPES if found.granularities else "")
        figure.supxlabel("\n".join(textwrap.wrap(note, int(width * 17))), fontsize=6.5)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)


def _draw_row(fields: np.ndarray, found: Activations, row: int) -> None:
    image = found.images[row]
    modality = Modality(int(found.modality[row])).name.lower()
    fields[0].set_ylabel(
        f"{modality}\nid {found.pids[row]}, camera {found.camids[row]}", fontsize=7
    )
    fields[0].imshow(image)
    grey = 0.2 + 0.6 * image.astype(float).mean(axis=2) / 255  # pale: the energy is to be seen
    exits = list(found.maps.items())
    for axes, (_, maps) in zip(fields[1:], exits, strict=False):
        _draw_heat(axes, grey, maps[row])
    for axes, granularity in zip(fields[1 + len(exits) :], found.granularities, strict=True):
        _draw_stripes(axes, grey, found.shares(granularity)[row])


def _draw_heat(axes: Axes, grey: np.ndarray, energy: np.ndarray) -> None:
    """The map's own cells, not smoothed: between them the network says nothing."""
    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    heat: dict[str, Any] = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "alpha": ALPHA}
    axes.imshow(energy, cmap=HEAT, vmin=0, vmax=energy.max() or 1, interpolation="nearest", **heat)


def _draw_stripes(axes: Axes, grey: np.ndarray, shares: np.ndarray) -> None:
    import matplotlib
    from matplotlib.patheffects import withStroke

    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    colors = matplotlib.colormaps[HEAT]
    ends = np.linspace(0, height, len(shares) + 1) - 0.5
    for share, top, bottom in zip(shares, ends[:-1], ends[1:], strict=True):
        axes.axhspan(top, bottom, color=colors(share / max(shares.max(), 1e-12)), alpha=ALPHA, lw=0)
        axes.axhline(top, color="white", linewidth=0.8) if top > 0 else None
        halo = [withStroke(linewidth=1.5, foreground="white")]
        place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5}
        middle = ((width - 1) / 2, (top + bottom) / 2)
        axes.text(*middle, f"{100 * share:.0f} %", path_effects=halo, **place)
