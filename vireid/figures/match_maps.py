"""Query–match maps: which regions make the features of two images alike, by their gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from vireid.data.transforms import normalize
from vireid.errors import UsageError
from vireid.figures.map_files import read_maps, require_energies, require_images, write_maps
from vireid.figures.overlays import Panel, PanelGroup, PanelRow, Words, draw_panels, require_size
from vireid.figures.style import load_matplotlib
from vireid.models.build import STAGES
from vireid.models.inference_model import InferenceModel, build_inference_model
from vireid.runs.exits import require_one_exit
from vireid.runs.trained_run import open_model
from vireid.structures import Modality

# Classes of the library pytorch_grad_cam. Both sum, over the channels, a cell's activation times a
# gradient: its own, or the mean gradient of all cells. The mean is unfit for features of stripes,
# where a channel may raise the similarity in one stripe and lower it in another.
METHODS = {"hirescam": "HiResCAM", "gradcam": "GradCAM"}
INSTALL = "pip install 'vireid[maps]'"
# Smaller values are rounding errors of the cosine, such as those of two equal images, whose cosine
# is 1 and has no slope.
LEAST = 1e-6
BATCH = 16  # images whose gradients are computed at once
ACROSS = 3  # pairs in a row of the figure
BAR = (
    "How much a region raises the similarity, from 0 (only the grey image) to the largest value of "
    "each panel:"
)
NOTE = (
    "Each pair has three panels: regions of the query that raise the similarity to the gallery "
    "image, regions of the gallery image that raise it, and the gallery image. ✓ same identity, "
    "✗ another. Similarity: cosine of the two features. Maps: {method} of {stage}."
)
IMAGES = ("images", "paths", "labels", "modality")  # arrays of the file, N rows each
PAIRS = ("query", "match", "titles", "similarity", "maps")  # P rows each


@dataclass(frozen=True, slots=True)
class MatchImages:
    """N images that are compared.

    Args:
        images: (N, H, W, 3) uint8, as the model receives them.
        paths, labels, modality: (N,) of each; a label is what a reader calls the image.
    """

    images: np.ndarray
    paths: np.ndarray
    labels: np.ndarray
    modality: np.ndarray


@dataclass(frozen=True, slots=True)
class Pairs:
    """P comparisons of two of the images.

    Args:
        query, match: (P,) rows of the images.
        titles: (P,) what is written above a pair, such as its rank.
    """

    query: np.ndarray
    match: np.ndarray
    titles: np.ndarray


@dataclass(frozen=True, slots=True)
class MatchMaps:
    """Maps of P pairs.

    Args:
        similarity: (P,) cosine of the two features.
        maps: (P, 2, h, w) of the query and of the match, from 0 up: how much each cell of the
            stage's map raises the similarity.
        stage, method: where and how they were computed.
    """

    images: MatchImages
    pairs: Pairs
    similarity: np.ndarray
    maps: np.ndarray
    stage: str
    method: str


def require_library() -> None:
    """Raises :class:`UsageError` where the package that computes the maps is not installed."""
    try:
        _library()
    except ImportError as error:
        raise UsageError(f"query–match maps need the package grad-cam ({error}): {INSTALL}") from (
            error
        )


def _library() -> Any:
    load_matplotlib()  # which the package imports, with the user's settings
    import pytorch_grad_cam

    return pytorch_grad_cam


def run_match_maps(
    cfg: CfgNode,
    images: MatchImages,
    pairs: Pairs,
    *,
    run: Path,
    stage: str = "",
    method: str = "hirescam",
) -> MatchMaps:
    """Maps by a run's model, for the features that ``TEST`` chooses (exit, embedding, flip).

    Args:
        cfg: the run's configuration, with what the user changed.
        stage: ``conv1`` … ``conv5``; empty for the exit's last one.
        method: a key of ``METHODS``.
    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another model.
        UsageError: the model has no such exit, embedding or stage, or the pairs are too many for
            one figure.
    """
    require_one_exit(cfg)
    whole, device = open_model(cfg, run)
    model = build_inference_model(whole, exit_name=cfg.TEST.EXIT, embedding=cfg.TEST.EMBED)
    model.eval().requires_grad_(False)
    stage = stage or _stage_names(model)[-1]
    count = len(pairs.query)
    empty = MatchMaps(images, pairs, np.zeros(count), np.zeros((count, 2, 1, 1)), stage, method)
    require_size(_rows(empty), _words(stage, method))  # before minutes of work
    tensor = torch.from_numpy(images.images).permute(0, 3, 1, 2).contiguous().to(device)
    similarity, maps = similarity_maps(
        model,
        normalize(tensor, cfg.INPUT.MEAN, cfg.INPUT.STD),
        torch.from_numpy(images.modality == Modality.INFRARED),
        np.stack([pairs.query, pairs.match], axis=1),
        stage=stage,
        method=method,
        flip=cfg.TEST.FLIP,
    )
    return MatchMaps(images, pairs, similarity, maps, stage, method)


def similarity_maps(
    model: InferenceModel,
    images: Tensor,
    is_infrared: Tensor,
    pairs: np.ndarray,
    *,
    stage: str,
    method: str = "hirescam",
    flip: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarities of pairs, and how much each cell of both images' maps raises them.

    Args:
        model: in evaluation mode.
        images: (N, 3, H, W) normalised.
        is_infrared: (N,) bool, on the processor.
        pairs: (P, 2) rows of ``images``.
        stage: whose output is weighted.
        flip: features are means over an image and its mirror image; so are the maps then.
    Returns:
        (P,) and (P, 2, h, w) float64; of the second, the row's first map belongs to the first image
        of the pair, with the other's feature held fixed.
    Raises:
        UsageError: the model has no such stage.
    Source: Draelos and Carin, HiResCAM, 2020; Selvaraju et al., Grad-CAM, ICCV 2017. The cosine
        takes the place of a class's score.
    """
    rows, others = pairs.reshape(-1), pairs[:, ::-1].reshape(-1)  # every image of every pair
    infrared = is_infrared.numpy()[rows]
    features: dict[int, Tensor] = {}
    found: dict[int, np.ndarray] = {}
    embeddings = {side: _Embedding(model, infrared=side, flip=flip) for side in (False, True)}
    for row in np.unique(rows).tolist():
        with torch.inference_mode():
            features[row] = embeddings[bool(is_infrared[row])](images[row : row + 1])[0]
    # Tensors of inference mode may not take part in gradients.
    features = {row: feature.clone() for row, feature in features.items()}
    for side in np.unique(infrared).tolist():
        layer = _stage(model, stage, infrared=side)
        of_side = np.flatnonzero(infrared == side)
        with _opened(method, embeddings[side], layer) as cam:
            for places in np.split(of_side, range(BATCH, len(of_side), BATCH)):
                fixed = [features[other] for other in others[places].tolist()]
                maps = _maps(cam, images[torch.from_numpy(rows[places])], fixed)
                found |= dict(zip(places.tolist(), maps, strict=True))
    stacked = np.stack([found[place] for place in range(len(rows))]).astype(np.float64)
    cosines = [F.cosine_similarity(features[a], features[b], dim=0) for a, b in pairs.tolist()]
    return np.array([one.item() for one in cosines]), stacked.reshape(-1, 2, *stacked.shape[1:])


class _Embedding(nn.Module):
    """Images of one modality → features; ``flip``: means with their mirror images."""

    def __init__(self, model: InferenceModel, *, infrared: bool, flip: bool) -> None:
        super().__init__()
        self.model, self.infrared, self.flip = model, infrared, flip

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, D)."""
        # One call, so that the library keeps the maps of both.
        both = torch.cat([images, images.flip(3)]) if self.flip else images
        features = self.model(both, torch.full((len(both),), self.infrared))
        return features.unflatten(0, (-1, len(images))).mean(dim=0)


def _maps(cam: Any, images: Tensor, fixed: Sequence[Tensor]) -> np.ndarray:
    """(B, h, w): what raises the similarity of each image's feature to a fixed one."""
    targets = [partial(F.cosine_similarity, feature, dim=0) for feature in fixed]
    # What this returns is scaled to 0 … 1, image by image; the cells' own values follow.
    cam(images.clone().requires_grad_(), targets)
    kept = cam.activations_and_grads
    values = [one.numpy() for one in (kept.activations[0], kept.gradients[0])]
    raw = np.maximum(cam.get_cam_image(images, cam.target_layers[0], targets, *values, False), 0)
    raw[raw < LEAST] = 0
    if len(raw) == len(images):
        return raw
    return (raw[: len(images)] + raw[len(images) :, :, ::-1]) / 2


@contextmanager
def _opened(method: str, model: nn.Module, layer: nn.Module) -> Iterator[Any]:
    """The library's object for one layer; its hooks are removed at the end."""
    cam = getattr(_library(), METHODS[method])(model=model, target_layers=[layer])
    try:  # not the library's own context, which hides an IndexError
        yield cam
    finally:
        cam.activations_and_grads.release()


def _stage_names(model: InferenceModel) -> tuple[str, ...]:
    return STAGES[: len(model.backbone.visible) + len(model.backbone.shared)]


def _stage(model: InferenceModel, name: str, *, infrared: bool) -> nn.Module:
    """The stage that images of a modality pass through."""
    names = _stage_names(model)
    if name not in names:
        raise UsageError(f"--stage {name}: this exit's stages are {', '.join(names)}")
    backbone = model.backbone
    stream = backbone.infrared if infrared else backbone.visible
    return [*stream, *backbone.shared][names.index(name)]


def write_match_maps(path: Path, found: MatchMaps) -> None:
    """Writes an .npz from which the figure can be drawn without the model."""
    arrays = {name: getattr(found.images, name) for name in IMAGES}
    arrays |= {name: getattr(found.pairs, name) for name in ("query", "match", "titles")}
    arrays |= {name: getattr(found, name) for name in ("similarity", "maps")}
    write_maps(
        path, arrays | {name: np.array(getattr(found, name)) for name in ("stage", "method")}
    )


def read_match_maps(path: Path) -> MatchMaps:
    """What :func:`write_match_maps` wrote; :class:`DataError` for any other file."""
    return read_maps(path, _from_arrays, kind="query–match maps", figure="match")


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> MatchMaps:
    images = MatchImages(*(arrays[name] for name in IMAGES))
    pairs = Pairs(arrays["query"], arrays["match"], arrays["titles"])
    names = str(arrays["stage"]), str(arrays["method"])
    found = MatchMaps(images, pairs, arrays["similarity"], arrays["maps"], *names)
    counts = {len(arrays[name]) for name in PAIRS}, {len(arrays[name]) for name in IMAGES}
    if any(len(each) > 1 for each in counts):
        raise ValueError("it lacks maps of some pairs")
    require_images(arrays)
    require_energies(found.maps, 4)
    if not np.isin([pairs.query, pairs.match], np.arange(len(images.images))).all():
        raise ValueError("its pairs are not of its images")
    if found.method not in METHODS or not np.isfinite(found.similarity).all():
        raise ValueError("its method is unknown, or a similarity is no number")
    return found


def draw_match_maps(found: MatchMaps, path: Path, *, cells: bool = False) -> None:
    """Rows of at most three pairs, behind their query.

    Args:
        cells: maps are drawn cell by cell instead of smoothly.
    Raises:
        UsageError: too many images for one figure.
    """
    draw_panels(path, _rows(found), _words(found.stage, found.method), cells=cells)


def _words(stage: str, method: str) -> Words:
    return Words(BAR, NOTE.format(method=METHODS[method], stage=stage))


def _rows(found: MatchMaps) -> list[PanelRow]:
    rows = []
    queries = found.pairs.query
    for query in dict.fromkeys(queries.tolist()):  # in their order
        numbers = np.flatnonzero(queries == query)
        for some in np.split(numbers, range(ACROSS, len(numbers), ACROSS)):
            rows.append(_row(found, query, some.tolist()))
    return rows


def _row(found: MatchMaps, query: int, numbers: Sequence[int]) -> PanelRow:
    images = found.images
    modality = Modality(int(images.modality[query])).name.lower()
    groups = [PanelGroup("query", [Panel(images.images[query])])]
    for number in numbers:
        match = int(found.pairs.match[number])
        own, other = found.maps[number]
        panels = [
            Panel(images.images[query], own),
            Panel(images.images[match], other),
            Panel(images.images[match]),
        ]
        similarity = f"similarity {found.similarity[number]:.2f}"
        title = ", ".join(filter(None, [str(found.pairs.titles[number]), similarity]))
        groups.append(PanelGroup(f"{title}\n{images.labels[match]}", panels))
    return PanelRow(f"{modality} query: {images.labels[query]}", groups)
