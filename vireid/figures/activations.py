"""Activation maps: where each exit of a model finds the energy of its feature, image by image."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from vireid.data.build import build_eval_loader, build_splits
from vireid.data.datasets.names import unidentified
from vireid.data.loading import batches
from vireid.data.transforms import normalize
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import DataError, UsageError
from vireid.figures.style import HEAT, TALLEST, drawn
from vireid.models.build import POOLS
from vireid.models.parts import stripe_bounds
from vireid.models.reid_model import ReidModel
from vireid.runs.features import records_in, with_ranges
from vireid.runs.rendered_data import require_rendered
from vireid.runs.trained_run import read_trained, trained_model
from vireid.structures import ImageRecord, Modality
from vireid.utils.io import replace_file, require_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = 1
LABELS = ("images", "paths", "pids", "camids", "modality")  # arrays of the file, besides the maps
CELL, ALPHA = 0.8, 0.55  # inches across an image; opacity of what covers it
NOTE = (
    "Energy of the map that each exit pools (squares summed over channels): dark 0, bright the "
    "image's own largest"
)
STRIPES = "; stripes: share of the deepest map's energy"
_POOL_TYPES = tuple(type(make(3.0)) for make in POOLS.values())


@dataclass(frozen=True, slots=True)
class Activations:
    """Energy maps of N images.

    Args:
        images: (N, H, W, 3) uint8, as the model received them.
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
    path, checkpoint = read_trained(cfg, run)
    use_threads(cfg.THREADS)
    device = resolve_device(cfg.DEVICE)
    require_rendered(cfg)
    splits = build_splits(cfg, parts=())
    records = records_in(splits, split)
    known = [_as_number(name, splits.identities) for name in names]
    chosen = choose_records(records, names=known, count=count, seed=seed)
    model = trained_model(cfg, checkpoint, path).to(device)
    cfg = with_ranges(cfg, splits, chosen)
    loader = build_eval_loader(cfg, splits.root, chosen, device=torch.device("cpu"))
    images = torch.cat([batch.images for batch in batches(loader)])
    normalisation = {"mean": cfg.INPUT.MEAN, "std": cfg.INPUT.STD}
    return activations_of(model, images, chosen, device=device, **normalisation)


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
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
) -> Activations:
    """Activation maps of images, in the given order.

    Args:
        images: (N, 3, H, W) uint8.
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


def require_maps(path: Path) -> None:
    """Raises :class:`UsageError` if maps cannot be written, or would replace something else."""
    require_target(path)
    if path.exists():
        try:
            read_activations(path)
        except DataError as error:
            raise UsageError(
                f"{path} holds something else than maps: name another --out"
            ) from error


def write_activations(path: Path, found: Activations) -> None:
    """Writes an .npz from which the figure can be drawn without the model."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        **{name: getattr(found, name) for name in LABELS},
        "granularities": np.array(found.granularities, dtype=np.int64),
        **{f"map_{name}": maps for name, maps in found.maps.items()},
    }
    replace_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_activations(path: Path) -> Activations:
    """What :func:`write_activations` wrote; :class:`DataError` for any other file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Mapping[str, np.ndarray] = {name: file[name] for name in file.files}
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"format {arrays['format']}, not {FORMAT}")
        maps = {name[4:]: arrays[name] for name in arrays if name.startswith("map_")}
        granularities = tuple(int(number) for number in arrays["granularities"])
        labels = {name: arrays[name] for name in LABELS}
        found = Activations(**labels, maps=maps, granularities=granularities)
        counts = {len(found.images), len(found.paths), *(len(one) for one in maps.values())}
        if "deep" not in maps or len(counts) > 1:
            raise ValueError("it lacks the deepest map, or maps of some images")
        return found
    except Exception as error:  # numpy raises a dozen types on damaged files
        raise DataError(
            f"{path} holds no activations ({type(error).__name__}: {error}): name the .npz that "
            "the activations tool wrote beside its picture"
        ) from error


def draw_activations(found: Activations, path: Path) -> None:
    """A row per image: the image, its energy at every exit, and every stripe's share of it.

    Raises:
        UsageError: too many images for one figure.
    """
    columns = ["image", *found.maps, *(f"{g} stripes" for g in found.granularities)]
    count, rows, across, _ = found.images.shape
    width = 0.5 + (CELL + 0.06) * len(columns)
    height = (CELL * rows / across + 0.08) * count
    if height > TALLEST:
        raise UsageError(f"{count} images are too many for one picture")
    with drawn(path, width, height + 0.75) as figure:
        grid = figure.subplots(count, len(columns), squeeze=False)
        for row, cells in enumerate(grid):
            _draw_row(cells, found, row)
        for axes, title in zip(grid[0], columns, strict=True):
            axes.set_title(title, fontsize=7.5)
        for axes in grid.flatten():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        note = NOTE + (STRIPES if found.granularities else "")
        figure.supxlabel("\n".join(textwrap.wrap(note, int(width * 17))), fontsize=6.5)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)


def _draw_row(cells: np.ndarray, found: Activations, row: int) -> None:
    image = found.images[row]
    modality = Modality(int(found.modality[row])).name.lower()
    label = f"{modality}\nid {found.pids[row]}, camera {found.camids[row]}"
    cells[0].set_ylabel(label, fontsize=7)
    cells[0].imshow(image)
    pale = 0.2 + 0.6 * image.astype(float).mean(axis=2) / 255  # so that the energy can be seen
    for axes in cells[1:]:
        axes.imshow(pale, cmap="gray", vmin=0, vmax=1)
    height, width = pale.shape
    heat: dict[str, Any] = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5), "alpha": ALPHA}
    heat |= {"cmap": HEAT, "vmin": 0, "interpolation": "nearest"}  # no values between the cells
    for axes, maps in zip(cells[1:], found.maps.values(), strict=False):
        axes.imshow(maps[row], vmax=maps[row].max() or 1, **heat)
    for axes, granularity in zip(cells[1 + len(found.maps) :], found.granularities, strict=True):
        _draw_stripes(axes, found.shares(granularity)[row], height, width)


def _draw_stripes(axes: Axes, shares: np.ndarray, height: int, width: int) -> None:
    import matplotlib
    from matplotlib.patheffects import withStroke

    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5}
    text["path_effects"] = [withStroke(linewidth=1.5, foreground="white")]
    colors = matplotlib.colormaps[HEAT](shares / max(shares.max(), 1e-12))
    ends = np.linspace(0, height, len(shares) + 1) - 0.5
    for share, color, top, bottom in zip(shares, colors, ends[:-1], ends[1:], strict=True):
        axes.axhspan(top, bottom, color=color, alpha=ALPHA, lw=0)
        axes.text((width - 1) / 2, (top + bottom) / 2, f"{100 * share:.0f} %", **text)
    for end in ends[1:-1]:
        axes.axhline(end, color="white", linewidth=0.8)
