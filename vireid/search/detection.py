"""Finds the people in whole photos, by torchvision's detector: ``--detect``.

The detector is Faster R-CNN with MobileNetV3-Large and a feature pyramid, trained on COCO. Of
torchvision's detectors it is the one between fast and accurate: 32.8 box mAP, where the smaller
ones (SSDlite, and the same at 320 pixels) have 21 to 23 and miss small people, and ResNet-50's has
37.0 at 30 times the multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import PLAIN, PixelRule
from vireid.engine.precision import resolve_device, use_threads
from vireid.errors import CheckpointError, DataError, UsageError
from vireid.models.weight_files import read_tensors, state_dict_of

ARCHITECTURE = "fasterrcnn_mobilenet_v3_large_fpn"  # a function of torchvision.models.detection
MIN_SCORE = 0.5  # of a person; not tuned
MIN_HEIGHT = 24  # pixels; the features of smaller people say little (benchmarks/crops.py)


class Box(NamedTuple):
    """A person in an image: pixels, the last column and row not included, and the score."""

    x0: int
    y0: int
    x1: int
    y1: int
    score: float


@dataclass(frozen=True, slots=True)
class PersonCrop:
    """One person of a photo.

    Args:
        image: RGB.
        box: where in the upright photo.
    """

    image: Image.Image
    box: Box

    def id_in(self, file_id: str) -> str:
        """The id of this crop, from the id of its file: other boxes of a file are other images."""
        return f"{file_id}-{'-'.join(map(str, self.box[:4]))}"


class Detector:
    """torchvision's person detector with weights that lie in torch's cache; it never downloads.

    Args:
        device: auto, cpu, cuda or cuda:N.
        threads: torch's, for the whole process; None: its own choice.
        min_score: a person's, in [0, 1].
        min_height: pixels of a person.
    Raises:
        UsageError: the weights are not there; says how to get them.
        CheckpointError: the file is damaged or of another model.
    """

    def __init__(
        self,
        device: str = "auto",
        threads: int | None = None,
        *,
        min_score: float = MIN_SCORE,
        min_height: int = MIN_HEIGHT,
    ) -> None:
        if not 0 <= min_score <= 1 or min_height < 1:
            raise UsageError(
                f"a person's score must be in [0, 1] and the height at least 1, got {min_score} "
                f"and {min_height}"
            )
        self._min_score, self._min_height = min_score, min_height
        self._device = resolve_device(device)
        if threads is not None:
            use_threads(threads)
        self._model, self._person = _load(self._device)

    def __call__(self, image: Image.Image) -> list[Box]:
        """People in an RGB image, the most certain first."""
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(self._device)
        with torch.inference_mode():
            (found,) = self._model([pixels.float() / 255])
        people = found["labels"] == self._person
        return chosen_boxes(
            found["boxes"][people].tolist(),
            found["scores"][people].tolist(),
            image.size,
            min_score=self._min_score,
            min_height=self._min_height,
        )


def chosen_boxes(
    corners: Sequence[Sequence[float]],
    scores: Sequence[float],
    size: tuple[int, int],
    *,
    min_score: float,
    min_height: int,
) -> list[Box]:
    """Boxes of whole pixels within the image, the most certain first, then from left to right.

    Args:
        corners: (x0, y0, x1, y1) of each box, pixels; also beyond the image.
        scores: one a box.
        size: (width, height) of the image.
        min_score, min_height: of boxes that are kept; both bounds are included.
    """
    width, height = size
    boxes = [
        Box(
            *(max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))),
            *(min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))),
            score,
        )
        for (x0, y0, x1, y1), score in zip(corners, scores, strict=True)
        if score >= min_score
    ]
    kept = [box for box in boxes if box.x1 > box.x0 and box.y1 - box.y0 >= min_height]
    return sorted(kept, key=lambda box: (-box.score, box.x0, box.y0))


def person_crops(
    path: Path, detect: Callable[[Image.Image], Sequence[Box]], rule: PixelRule = PLAIN
) -> list[PersonCrop]:
    """The people in an image file, the most certain first.

    Args:
        detect: a ``Detector``.
        rule: of more than eight bits and of transparent pixels, as for the model's images:
            ``extractor.metadata.rule(modality)``.
    Raises:
        DataError: the image cannot be read, or shows no person; names it.
    """
    image = read_image(path, rule)
    crops = [PersonCrop(image.crop(box[:4]), box) for box in detect(image)]
    if not crops:
        raise DataError(f"no person was found in {path}: crop it by hand, without --detect")
    return crops


def weights_file() -> Path:
    """The detector's weights in torch's cache, which TORCH_HOME moves.

    Raises:
        UsageError: they are not there; says how to get them.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / _published().url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    raise UsageError(
        f"--detect needs the weights {path.name}, which are not in {path.parent}, and downloads "
        "nothing: copy the file there, or on a machine with internet access run: "
        f"python -c \"import torchvision; torchvision.models.get_model('{ARCHITECTURE}', "
        "weights='DEFAULT')\""
    )


def _published() -> Any:
    """torchvision's description of the weights: address, names of the classes."""
    from torchvision.models import get_model_weights

    return get_model_weights(ARCHITECTURE).DEFAULT


def _load(device: torch.device) -> tuple[torch.nn.Module, int]:
    """The model, and its number of the class "person"."""
    from torchvision.models import get_model

    path, names = weights_file(), _published().meta["categories"]
    model = get_model(ARCHITECTURE, weights=None, weights_backbone=None, num_classes=len(names))
    state = state_dict_of(read_tensors(path, what="the detector's weights"), path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds the weights of another model than {ARCHITECTURE}: get the file again"
        ) from error
    return model.eval().to(device), names.index("person")
