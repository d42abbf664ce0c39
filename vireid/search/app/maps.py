"""Query and match side by side, with the maps of what the model looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from vireid.data.build import pixel_rules
from vireid.data.images import read_image
from vireid.data.pixels import PixelRule
from vireid.data.transforms import normalize
from vireid.deploy.extractor import EXPORTED
from vireid.deploy.preprocessing import load_resized
from vireid.errors import DataError
from vireid.figures.activations import energy_maps
from vireid.figures.match_maps import MatchImages, Pairs, run_match_maps
from vireid.figures.overlays import covered
from vireid.runs.options import checkpoint_config, run_config
from vireid.runs.trained_run import open_model
from vireid.search.app.render import describe, picture_url, render, thumbnails
from vireid.search.app.service import Found, Service, title
from vireid.search.columns import BOX
from vireid.search.output import box_of
from vireid.structures import Modality, modality_named

ENERGY, SIMILARITY = "activation", "similarity"
ABOUT = {
    ENERGY: "Right of each image: its activation map, the energy of the model's last map. Bright "
    "regions make the feature. Each map is drawn from 0 to its own largest value.",
    SIMILARITY: "Right of each image: its similarity map. Bright regions raise the similarity of "
    "the two images. Each map is drawn from 0 to its own largest value.",
}
TITLES = {ENERGY: "activation map", SIMILARITY: "similarity map"}
NO_MAPS = (
    "Activation maps need the weights in torch, and this gallery is searched with an exported "
    "file: start the server with --run RUN_DIR or with --model MODEL_FOLDER to see them."
)
LARGE = (360, 480)  # pixels of the images side by side, width and height at most


@dataclass
class Maps:
    """Maps by the model in torch, which is read when the first is asked for."""

    service: Service
    _opened: tuple[Any, CfgNode, torch.device] | None = field(default=None)

    @property
    def kinds(self) -> list[str]:
        """What can be drawn; nothing by an exported file."""
        if self.service.model.suffix in EXPORTED:
            return []
        return [ENERGY, SIMILARITY] if find_spec("pytorch_grad_cam") else [ENERGY]

    def compare(self, found: Found, rank: int, kind: str = ENERGY) -> str:
        """The HTML of query and match side by side.

        Raises:
            DataError: there is no such rank.
        """
        if not 1 <= rank <= len(found.matches):
            raise DataError(f"there is no rank {rank} in these results")
        match = found.matches[rank - 1]
        paths = [*(one.path for one in found.uploads), match.path]
        names = [f"query {one.name}" for one in found.uploads] + [f"match {title(match)}"]
        modalities = [found.modality] * len(found.uploads) + [modality_named(match.modality)]
        boxes = [*[None] * len(found.uploads), match.others.get(BOX)]
        shown = thumbnails(paths, LARGE, boxes)
        maps, about = [""] * len(paths), NO_MAPS
        if kind in self.kinds:
            about = ABOUT[kind]
            try:
                maps = self._draw(paths, boxes, modalities, kind)
            except DataError as error:
                about = f"No maps: {error}"
        pictures = [
            {"title": name, "url": url, "problem": problem, "map": drawn}
            for name, (url, problem), drawn in zip(names, shown, maps, strict=True)
        ]
        return render(
            "compare",
            rank=rank,
            match=match,
            pictures=pictures,
            facts=describe(match),
            about=about,
            map_title=TITLES.get(kind, ""),
        )

    def _draw(
        self,
        paths: Sequence[Path],
        boxes: Sequence[str | None],
        modalities: Sequence[Modality],
        kind: str,
    ) -> list[str]:
        with self.service.lock:
            model, cfg, device = self._model()
            rules: dict[Modality, PixelRule] = pixel_rules(cfg)
            size = tuple(cfg.INPUT.SIZE)
            images = [
                _input(path, box, size, rules[modality])
                for path, box, modality in zip(paths, boxes, modalities, strict=True)
            ]
            if kind == SIMILARITY:
                heat = self._similarity(cfg, images, modalities)
            else:
                heat = [
                    _energy(model, image, modality, cfg, device)
                    for image, modality in zip(images, modalities, strict=True)
                ]
        height, width = size
        large = (2 * height, 2 * width)
        return [
            picture_url(covered(image, one, large)) for image, one in zip(images, heat, strict=True)
        ]

    def _model(self) -> tuple[Any, CfgNode, torch.device]:
        if self._opened is None:
            path = self.service.model
            options = ("DEVICE", self.service.device)
            cfg = (checkpoint_config if path.is_file() else run_config)(path, options)
            model, device = open_model(cfg, path)
            self._opened = model.eval(), cfg, device
        return self._opened

    def _similarity(
        self, cfg: CfgNode, images: Sequence[np.ndarray], modalities: Sequence[Modality]
    ) -> list[np.ndarray]:
        """Of every query with the match; the match's own is the mean over the queries."""
        count = len(images) - 1
        names = np.array([str(k) for k in range(len(images))])
        of_each = np.array([int(one) for one in modalities], dtype=np.uint8)
        compared = MatchImages(np.stack(images), names, names, of_each)
        pairs = Pairs(np.arange(count), np.full(count, count), names[:count])
        maps = run_match_maps(cfg, compared, pairs, run=self.service.model).maps
        return [*maps[:, 0], maps[:, 1].mean(axis=0)]


def _input(path: Path, box: str | None, size: tuple[int, int], rule: PixelRule) -> np.ndarray:
    """(H, W, 3) uint8 as the model takes it."""
    return load_resized(read_image(path, rule).crop(box_of(box)) if box else path, size, rule)


def _energy(
    model: Any, image: np.ndarray, modality: Modality, cfg: CfgNode, device: torch.device
) -> np.ndarray:
    """(h, w) energy of the exit whose features are compared."""
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].to(device)
    inputs = normalize(tensor, cfg.INPUT.MEAN, cfg.INPUT.STD)
    infrared = torch.tensor([modality is Modality.INFRARED], device=device)
    found = energy_maps(model, inputs, infrared)
    heat: np.ndarray = found.get(cfg.TEST.EXIT, found["deep"])[0]
    return heat
