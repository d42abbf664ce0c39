"""Figures of runs as data URIs: drawn from saved numbers, or read from a run's ``figures/``."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vireid.errors import DataError
from vireid.figures.curves import draw_cmc, draw_learning_curves, mean_entry
from vireid.figures.distances import distances, draw_distances
from vireid.figures.names import short_names
from vireid.reports.run_files import RunFiles
from vireid.structures import FeatureSet
from vireid.utils.paths import is_hidden

OWN = ("learning_curves", "cmc")  # files that training draws from the same numbers
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
DPI = 150.0  # of PNG files that do not name theirs
UNITS = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "mm": 96 / 25.4, "cm": 96 / 2.54}


@dataclass(frozen=True, slots=True)
class PageFigure:
    """An image of the page.

    Args:
        uri: the image itself, as a ``data:`` address.
        width: CSS pixels, 96 of which are an inch.
    """

    caption: str
    uri: str
    width: float


def figures_of(run: RunFiles, label: str, features: FeatureSet | None) -> list[PageFigure]:
    """Learning and CMC curves, distances where there are features, and the run's saved figures."""
    protocols = run.results["results.json"]["protocols"]
    found = [
        drawn_figure(
            lambda path: draw_learning_curves({label: run.history}, path),
            f"Learning curves of {label}, over epochs",
        ),
        drawn_figure(
            lambda path: draw_cmc({label: protocols}, path), f"CMC curves of {label}, by protocol"
        ),
    ]
    if features is not None:
        with suppress(DataError):  # one identity only, for example
            pairs = distances(features)
            found.append(
                drawn_figure(
                    lambda path: draw_distances({label: pairs}, path),
                    f"Distances of {label} within and between identities, test images",
                )
            )
    return [*found, *saved_figures(run.folder, label)]


def compared_cmc(protocol: str, recipes: Mapping[str, Sequence[Mapping[str, Any]]]) -> PageFigure:
    """Mean CMC curves on a protocol, from each recipe's runs' entries of results.json."""
    means = {
        name: {protocol: mean_entry(entries)}
        for name, entries in zip(short_names(list(recipes)), recipes.values(), strict=True)
    }
    return drawn_figure(
        lambda path: draw_cmc(means, path), f"CMC curves on {protocol}, means over runs"
    )


def saved_figures(run: Path, label: str) -> list[PageFigure]:
    """The other PNG and SVG files of ``figures/``; :class:`DataError` if one is damaged."""
    found = sorted(
        path
        for path in run.glob("figures/*")
        if path.suffix.lower() in TYPES and not is_hidden(path.name)
    )
    return [_figure(path, f"{path.name} of {label}") for path in found if path.stem not in OWN]


def drawn_figure(draw: Callable[[Path], object], caption: str) -> PageFigure:
    """What ``draw`` writes into the file that it gets, an SVG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        draw(path)
        return _figure(path, caption)


def _figure(path: Path, caption: str) -> PageFigure:
    content, kind = path.read_bytes(), path.suffix.lower()
    try:
        width = _png_width(path) if kind == ".png" else _svg_width(content)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is a damaged picture: draw it again, or delete it") from error
    data = base64.b64encode(content).decode("ascii")
    return PageFigure(caption, f"data:{TYPES[kind]};base64,{data}", width)


def _png_width(path: Path) -> float:
    with Image.open(path) as image:
        image.load()
        density = float(image.info.get("dpi", (DPI, DPI))[0])
        return 96 * image.width / (density or DPI)


def _svg_width(content: bytes) -> float:
    start = re.search(rb"<svg\b[^>]*>", content)
    if start is None or b"</svg>" not in content[-200:]:
        raise ValueError("it has no beginning or no end")
    width = re.search(rb'\swidth="([\d.]+)(pt|px|in|mm|cm|)"', start[0])
    return float(width[1]) * UNITS[width[2].decode()] if width else 640.0
