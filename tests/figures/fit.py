"""Whether the text of a figure fits: for the tests of every kind of figure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from vireid.figures.style import DPI


@contextmanager
def saved_figures() -> Iterator[list[Figure]]:
    """The figures that would be saved in the block; their files stay empty, which saves time."""
    found: list[Figure] = []

    def keep(figure: Figure, *words: Any, **options: Any) -> None:
        found.append(figure)

    with patch.object(Figure, "savefig", keep):
        yield found


def text_boxes(figure: Figure) -> dict[Text, tuple[float, float, float, float]]:
    """Every text that is drawn, with the left, lower, right and upper edge of its box in inches."""
    drawn: list[Text] = []
    draw = Text.draw

    def keep(text: Text, renderer: Any, *words: Any, **options: Any) -> None:
        drawn.append(text)
        draw(text, renderer, *words, **options)

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with patch.object(Text, "draw", keep), patch.object(AxesImage, "draw"):
        canvas.draw()
    shown = [text for text in dict.fromkeys(drawn) if text.get_visible() and text.get_text()]
    boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in shown}
    return {text: tuple(value / DPI for value in box.extents) for text, box in boxes.items()}


def assert_texts_fit(figure: Figure, *, points: float = 7.0, slack: float = 0.01) -> None:
    """No text is cut off by the figure's edge, covers another one, or is too small for print.

    Args:
        points: smallest letters.
        slack: inches by which boxes, which are a little larger than the ink, may overlap.
    """
    boxes = text_boxes(figure)
    assert boxes, "no text is drawn"
    texts = [text.get_text() for text in boxes]
    small = {text.get_text(): text.get_fontsize() for text in boxes if text.get_fontsize() < points}
    assert not small, f"smaller than {points} points: {small}"
    left, lower, right, upper = np.array(list(boxes.values())).T
    width, height = figure.get_size_inches()
    out = (np.minimum(left, lower) < -slack) | (right > width + slack) | (upper > height + slack)
    assert not out.any(), f"cut off: {[texts[k] for k in np.flatnonzero(out)]}"
    across = np.minimum(right, right[:, None]) - np.maximum(left, left[:, None])
    along = np.minimum(upper, upper[:, None]) - np.maximum(lower, lower[:, None])
    pairs = np.argwhere(np.triu((across > slack) & (along > slack), 1))
    covered = [(texts[one], texts[other]) for one, other in pairs]
    assert not covered, f"one covers the other: {covered[:5]}"
