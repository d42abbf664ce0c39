"""Images of data sets as small pictures inside a page; each is stored once."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, features

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError
from vireid.figures.image_rows import side_by_side

HEIGHT, LOWEST = 192, 48  # pixels: what pages hold by default, and at least
QUALITY = 75


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A reduced image, as a ``data:`` address."""

    uri: str
    width: int
    height: int


class ImageStore:
    """The images that a page shows, by short names; equal files share one."""

    def __init__(self) -> None:
        self._names: dict[tuple[Path, ...], str] = {}

    def add(self, *paths: Path) -> str:
        """The name in the page of an image, or of a strip of several."""
        return self._names.setdefault(paths, f"i{len(self._names)}")

    def __len__(self) -> int:
        return len(self._names)

    def encoded(self, room: int) -> EncodedImages:
        """All images, as high as fits into the room.

        Args:
            room: bytes for all of them together.
        """
        height = HEIGHT
        found = self._at(height)
        while found.size > room and height > LOWEST:
            share = math.sqrt(max(room, 1) / found.size)
            height = max(LOWEST, min(height - 16, int(0.9 * share * height)))
            found = self._at(height)
        return found

    def _at(self, height: int) -> EncodedImages:
        images: dict[str, Thumbnail] = {}
        unreadable: list[str] = []
        for paths, name in self._names.items():
            try:
                images[name] = _reduced(paths, height)
            except DataError as error:
                unreadable.append(str(error))
        return EncodedImages(images, height, tuple(unreadable))


@dataclass(frozen=True, slots=True)
class EncodedImages(Mapping[str, Thumbnail]):
    """Thumbnails by name.

    Args:
        height: pixels, at most.
        unreadable: messages about files that are missing or damaged; they have no thumbnail.
    """

    images: Mapping[str, Thumbnail]
    height: int
    unreadable: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all images in the page."""
        return sum(len(image.uri) for image in self.images.values())

    def __getitem__(self, name: str) -> Thumbnail:
        return self.images[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


def _reduced(paths: Sequence[Path], height: int) -> Thumbnail:
    frames = [read_image(path, SHOWN) for path in paths]
    for frame in frames:
        frame.thumbnail((2 * height, height), Image.Resampling.LANCZOS)
    image = side_by_side(frames) if len(frames) > 1 else frames[0]
    kind = "webp" if features.check("webp") else "jpeg"
    content = io.BytesIO()
    image.save(content, format=kind, quality=QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/{kind};base64,{data}", image.width, image.height)
