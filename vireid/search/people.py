"""Images of one person each, from files or from the parts of photos that a detector finds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError
from vireid.search.detection import Box, PersonCrop
from vireid.search.listing import Listed, Listing, Skipped
from vireid.structures import Modality
from vireid.utils.threads import threaded_map

ID_DIGITS = 32
# Raises DataError, also for an image without a person.
Detect = Callable[[Path], Sequence[PersonCrop]]


class Extracts(Protocol):
    """What makes features of images; ``deploy.Extractor`` is one."""

    dim: int
    fingerprint: str
    modalities: tuple[str, ...]

    def __call__(self, images: Sequence[Path | Image.Image], modality: str) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class PersonImage:
    """
    Args:
        id: of the file's content, and of the box; empty if the file cannot be read.
        path: of the file.
        listed: what its folder or CSV file says.
        box: of the person in the photo; None where the whole image is of one person.
        pixels: of the box.
    """

    id: str
    path: Path
    listed: Listed
    box: Box | None = None
    pixels: Image.Image | None = None

    @property
    def box_text(self) -> str | None:
        """``x0,y0,x1,y1`` in pixels of the upright photo."""
        return None if self.box is None else ",".join(map(str, self.box[:4]))


def find_people(
    listing: Listing, images: Sequence[Listed], detect: Detect | None = None
) -> tuple[list[PersonImage], list[Skipped]]:
    """The persons in images, and the images without any.

    Args:
        detect: finds them in a file; None: each image is a crop of one person.
    """
    paths = [listing.full_path(image) for image in images]
    ids = list(threaded_map(content_id, paths, doing="reading images", progress=False))
    files = [
        PersonImage(one, path, image) for one, path, image in zip(ids, paths, images, strict=True)
    ]
    if detect is None:
        return files, []
    people: list[PersonImage] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            crops = detect(file.path)
        except DataError as error:
            skipped.append((file.listed.path, str(error)))
            continue
        people += [
            PersonImage(crop.id_in(file.id), file.path, file.listed, crop.box, crop.image)
            for crop in crops
        ]
    return people, skipped


def content_id(path: Path) -> str:
    """Of a file; empty if it cannot be read, or is a device, which may never end."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:ID_DIGITS]
    except OSError:  # its reason is found when it is decoded
        return ""


def features_of(
    extractor: Extracts, people: Sequence[PersonImage], modality: Modality
) -> tuple[np.ndarray, list[PersonImage], list[Skipped]]:
    """Features of the images that can be read, these images, and the others with the reason.

    Raises:
        DataError: the extractor's own about images that can be read.
    """
    name = modality.name.lower()
    empty = np.empty((0, extractor.dim), dtype=np.float32)
    if not people:
        return empty, [], []
    try:
        return extractor([_input(one) for one in people], name), list(people), []
    except DataError:  # some cannot be read: rare, so that they are looked for only now
        reasons = list(threaded_map(_why_unreadable, people, doing="looking at images"))
        good = [one for one, reason in zip(people, reasons, strict=True) if not reason]
        if len(good) == len(people):
            raise
        skipped = [
            (one.listed.path, reason) for one, reason in zip(people, reasons, strict=True) if reason
        ]
        vectors = extractor([_input(one) for one in good], name) if good else empty
        return vectors, good, skipped


def _input(one: PersonImage) -> Path | Image.Image:
    return one.path if one.pixels is None else one.pixels


def _why_unreadable(one: PersonImage) -> str:
    if one.pixels is not None:
        return ""
    try:
        read_image(one.path, SHOWN)
    except DataError as error:
        return str(error)
    return ""
