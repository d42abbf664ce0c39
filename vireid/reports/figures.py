"""Figures of runs as data URIs: drawn from saved numbers, or as they lie in ``figures/``."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vireid.errors import DataError
from vireid.figures.curves import draw_cmc, draw_learning_curves
from vireid.reports.html import Markup, element
from vireid.reports.run_files import RunFiles

DRAWN_HERE = ("learning_curves", "cmc")  # names of figures that training draws of the same numbers
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
DPI = 150.0  # of this project's PNG files, where they do not tell
SHRINK = 0.8  # a figure shrinks to this share of its size, so that its text stays readable
LENGTHS = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "mm": 96 / 25.4, "cm": 96 / 2.54}


def curves_of(run: RunFiles, label: str) -> list[Markup]:
    """Learning curves and the CMC curve of every protocol."""
    protocols = run.results["results.json"]["protocols"]
    return [
        _drawn(
            lambda path: draw_learning_curves({label: run.history}, path),
            f"Learning curves of {label}, over epochs",
        ),
        _drawn(
            lambda path: draw_cmc({label: protocols}, path), f"CMC curves of {label}, by protocol"
        ),
    ]


def compared_cmc(protocol: str, recipes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """The mean CMC curve of every recipe on one protocol.

    Args:
        recipes: name → its runs' entries of results.json.
    """
    means = {name: {protocol: _mean_entry(entries)} for name, entries in recipes.items()}
    return _drawn(lambda path: draw_cmc(means, path), f"CMC curves on {protocol}, means over runs")


def _mean_entry(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    length = min(len(entry["cmc"]) for entry in entries)
    rank1 = float(np.mean([entry["mean"]["rank1"] for entry in entries]))
    cmc = np.mean([entry["cmc"][:length] for entry in entries], axis=0)
    return {"mean": {"rank1": rank1}, "cmc": [float(value) for value in cmc]}


def saved_figures(folder: Path, label: str) -> list[Markup]:
    """The other PNG and SVG files of a run's ``figures/``.

    Raises:
        DataError: one is damaged.
    """
    found = sorted(path for path in folder.glob("figures/*") if path.suffix.lower() in TYPES)
    return [
        _figure(path.read_bytes(), path, f"{path.name} of {label}")
        for path in found
        if path.stem not in DRAWN_HERE
    ]


def _drawn(draw: Callable[[Path], None], caption: str) -> Markup:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        draw(path)
        return _figure(path.read_bytes(), path, caption)


def _figure(content: bytes, path: Path, caption: str) -> Markup:
    """The image in a box of its own, which scrolls on a screen that is much narrower."""
    kind = path.suffix.lower()
    width = _png_width(path) if kind == ".png" else _svg_width(content, path)
    data = base64.b64encode(content).decode("ascii")
    style = f"max-width:{width:.0f}px;min-width:{SHRINK * width:.0f}px"
    image = element("img", src=f"data:{TYPES[kind]};base64,{data}", alt=caption, style=style)
    box = element(
        "div", image, class_="scroll", role="region", tabindex="0", aria_label=f"figure: {caption}"
    )
    return element("figure", box, element("figcaption", caption))


def _png_width(path: Path) -> float:
    """In CSS pixels, 96 of which are an inch."""
    try:
        with Image.open(path) as image:
            image.load()
            density = float(image.info.get("dpi", (DPI, DPI))[0])
            return 96 * image.width / (density or DPI)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is a damaged picture: draw it again, or delete it") from error


def _svg_width(content: bytes, path: Path) -> float:
    start = re.search(rb"<svg\b[^>]*>", content)
    if start is None or b"</svg>" not in content[-200:]:
        raise DataError(f"{path} is a damaged picture: draw it again, or delete it")
    width = re.search(rb'\swidth="([\d.]+)(pt|px|in|mm|cm|)"', start[0])
    return float(width[1]) * LENGTHS[width[2].decode()] if width else 640.0
