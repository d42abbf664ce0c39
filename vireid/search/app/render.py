"""Parts of the pages as HTML; images are in it as data, so that no file has an address."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from vireid.data.images import read_image
from vireid.data.pixels import SHOWN
from vireid.errors import DataError
from vireid.search.output import box_of
from vireid.search.query import Match
from vireid.utils.threads import threaded_map

THUMBNAIL = (240, 320)  # width and height at most, pixels


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def render(template: str, **content: Any) -> str:
    """A template's text; all values are escaped."""
    return _environment().get_template(f"{template}.html.j2").render(content)


def message(*texts: str, kind: str = "note") -> str:
    """Lines for people.

    Args:
        kind: ``note``, ``warning`` or ``error``.
    """
    return render("message", texts=[one for one in texts if one], kind=kind)


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def image_url(image: Image.Image) -> str:
    """A picture as WebP."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=82)
    return data_url(file.getvalue(), "image/webp")


def picture_url(values: np.ndarray) -> str:
    """(H, W, 3) in [0, 1]."""
    return image_url(Image.fromarray((values * 255).round().astype(np.uint8)))


def thumbnail_of(
    path: Path, size: tuple[int, int] = THUMBNAIL, box: str | None = None
) -> tuple[str, tuple[int, int]]:
    """A small picture as a data URL, and the (width, height) of the image.

    Args:
        box: of a person that was detected in it, ``x0,y0,x1,y1`` in pixels.
    Raises:
        DataError: the image cannot be read, or has too many pixels.
    """
    image = read_image(path, SHOWN)
    if box:
        image = image.crop(box_of(box))
    whole = image.size
    image.thumbnail(size)
    return image_url(image), whole


def thumbnails(
    paths: Sequence[Path],
    size: tuple[int, int] = THUMBNAIL,
    boxes: Sequence[str | None] | None = None,
) -> list[tuple[str, str]]:
    """Of each image a data URL, or empty and why there is none."""
    given = list(zip(paths, boxes or [None] * len(paths), strict=True))
    return list(threaded_map(partial(_thumbnail, size), given, doing="thumbnails", progress=False))


def _thumbnail(size: tuple[int, int], given: tuple[Path, str | None]) -> tuple[str, str]:
    path, box = given
    try:
        return thumbnail_of(path, size, box)[0], ""
    except DataError:
        return "", "not there any more" if not path.exists() else "cannot be read"


def describe(match: Match) -> list[tuple[str, str]]:
    """What a gallery knows of an image, by name; what is not known is left out."""
    values = {
        "identity": match.pid,
        "camera": match.camid,
        "time": match.time and f"{match.time:%Y-%m-%d %H:%M:%S}",
        "modality": match.modality,
        "file": match.name,
        **match.others,
    }
    return [(name, str(value)) for name, value in values.items() if value not in (None, "")]
